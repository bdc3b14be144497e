{{ config(
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='landing_id'
) }}

{% set judged = landings_to_judge() %}

with landed as (

    select *
    from {{ source('landing', 'landed_files') }}
    where landing_id in ({{ judged }})

),

released as (

    {{ released_contents() }}

),

measures as (

    select
        landing_id,
        count(*) as typed,
        count(case when reject_reasons is null then 1 end) as valid,
        count(case when reject_reasons <> '' then 1 end) as rejected,
        count(distinct case when reject_reasons is null then sale_id end) as sales,
        count(
            case
                when
                    reject_reasons is null
                    and sold_at >= file_date - interval '1 day' and sold_at < file_date + interval '1 day'
                    then 1
            end
        ) as recent_sales
    from {{ ref('typed_sales') }}
    where landing_id in ({{ judged }})
    group by landing_id

),

measured as (

    select
        landed.landing_id,
        landed.source_file,
        landed.content_hash,
        landed.file_date,
        landed.received,
        released.source_file is not null as is_released,
        coalesce(measures.typed, 0) as typed,
        coalesce(measures.valid, 0) as valid,
        coalesce(measures.rejected, 0) as rejected,
        coalesce(measures.sales, 0) as sales,
        coalesce(measures.recent_sales, 0) as recent_sales
    from landed
    left join measures on landed.landing_id = measures.landing_id
    left join released
        on landed.source_file = released.source_file and landed.content_hash = released.content_hash

),

checked as (

    select
        *,
        substr(
            case when received = 0 then ', row_count' else '' end
            || case when rejected > {{ var('max_reject_rate') }} * received then ', reject_rate' else '' end
            || case when received > 0 and recent_sales = 0 then ', freshness' else '' end,
            3
        ) as failed_checks
    from measured

)

select
    landing_id,
    source_file,
    content_hash,
    file_date,
    received,
    typed,
    valid,
    rejected,
    sales,
    recent_sales,
    case when failed_checks = '' then 'passed' when is_released then 'released' else 'held' end as verdict,
    nullif(failed_checks, '') as failed_checks
from checked
