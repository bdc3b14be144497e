{{ config(materialized='view', tags=['payments']) }}

select
    payment_id,
    customer_id,
    amount,
    currency,
    status,
    paid_at,
    valid_from,
    valid_to,
    source_file,
    source_record
from {{ ref('versions_payments') }}
where not is_deleted
