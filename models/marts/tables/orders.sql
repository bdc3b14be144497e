{{ config(materialized='view', tags=['orders']) }}

select
    order_id,
    customer_id,
    product_id,
    quantity,
    order_total,
    currency,
    status,
    ordered_at,
    updated_at,
    source_file,
    source_record
from {{ ref('newest_orders') }}
where not is_deleted
