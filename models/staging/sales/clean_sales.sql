{{ config(materialized='view') }}

with passed as (

    {{ passed_landings(ref('file_verdicts')) }}

),

clean as (

    select typed.*
    from {{ ref('typed_sales') }} as typed
    inner join passed on typed.landing_id = passed.landing_id
    where typed.reject_reasons is null and not typed.is_overtaken

)

select
    sale_id,
    store_id,
    customer_id,
    product_id,
    quantity,
    unit_price,
    discount_amount,
    currency,
    sold_at,
    updated_at,
    source_file,
    source_record,
    file_date,
    landing_id
from clean
