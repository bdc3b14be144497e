{{ config(materialized='view', tags=['products']) }}

select
    product_id,
    name,
    category,
    unit_price,
    is_active,
    updated_at,
    source_file,
    source_record
from {{ ref('newest_products') }}
where not is_deleted
