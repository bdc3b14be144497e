{{ config(materialized='view', tags=['customers']) }}

select
    customer_id,
    name,
    email,
    country,
    signed_up_at,
    cancelled_at,
    valid_from,
    valid_to,
    source_file,
    source_record
from {{ ref('versions_customers') }}
where not is_deleted
