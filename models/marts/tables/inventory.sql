{{ config(materialized='view', tags=['inventory']) }}

select
    product_id,
    warehouse_id,
    quantity_on_hand,
    updated_at,
    source_file,
    source_record
from {{ ref('newest_inventory') }}
where not is_deleted
