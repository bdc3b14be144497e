{{ config(materialized='view', tags=['customers']) }}

select
    customer_id,
    name,
    email,
    country,
    signed_up_at,
    cancelled_at,
    updated_at,
    source_file,
    source_record
from {{ ref('newest_customers') }}
where not is_deleted
