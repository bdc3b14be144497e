{{ config(materialized='view', tags=['payments']) }}

select
    payment_id,
    customer_id,
    amount,
    currency,
    status,
    paid_at,
    updated_at,
    source_file,
    source_record
from {{ ref('newest_payments') }}
where not is_deleted
