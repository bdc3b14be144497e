{{ config(
    materialized='newest_version',
    unique_key=['sale_id'],
    meta={'loads': 'sales', 'day': 'sold_at'},
    tags=['sales'],
    pre_hook="{{ behind_the_gate('sales') }}"
) }}

select
    -- ids
    sale_id,
    store_id,
    customer_id,
    product_id,

    -- amounts
    quantity,
    unit_price,
    discount_amount,
    currency,

    -- times
    sold_at,
    updated_at,

    -- where the version stands
    source_file,
    source_record,
    landing_id
from {{ ref('clean_sales') }}
