{{ config(materialized='view', tags=['products']) }}

select
    product_id,
    name,
    category,
    unit_price,
    is_active,
    valid_from,
    valid_to,
    source_file,
    source_record
from {{ ref('versions_products') }}
where not is_deleted
