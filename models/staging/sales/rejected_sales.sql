{{ config(materialized='view') }}

with passed as (

    {{ passed_landings(ref('file_verdicts')) }}

),

rejected as (

    select
        typed.landing_id,
        typed.source_record,
        typed.reject_reasons
    from {{ ref('typed_sales') }} as typed
    inner join passed on typed.landing_id = passed.landing_id
    where typed.reject_reasons is not null

)

select
    arrived.sale_id,
    arrived.store_id,
    arrived.customer_id,
    arrived.product_id,
    arrived.quantity,
    arrived.unit_price,
    arrived.discount_amount,
    arrived.currency,
    arrived.sold_at,
    arrived.updated_at,
    arrived.source_file,
    arrived.content_hash,
    arrived.source_record,
    arrived.file_date,
    arrived.landing_id,
    rejected.reject_reasons
from {{ ref('raw_sales') }} as arrived
inner join rejected
    on arrived.landing_id = rejected.landing_id and arrived.source_record = rejected.source_record
