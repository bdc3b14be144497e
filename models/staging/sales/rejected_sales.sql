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
    raw.*,
    rejected.reject_reasons
from {{ ref('raw_sales') }} as raw
inner join rejected
    on raw.landing_id = rejected.landing_id and raw.source_record = rejected.source_record
