{{ config(materialized='view') }}

with landed as (

    select *
    from {{ ref('landed_files') }}
    where is_typed

),

released as (

    {{ released_contents() }}

)

select
    landed.landing_id,
    landed.source_file,
    landed.content_hash,
    landed.file_date,
    landed.received,
    landed.typed,
    landed.valid,
    landed.rejected,
    landed.distinct_keys,
    landed.recent,
    landed.commonest_reason,
    cast(case
        when landed.failed_checks is null then 'passed'
        when released.source_file is not null then 'released'
        else 'held'
    end as varchar) as verdict,
    landed.failed_checks
from landed
left join released
    on landed.source_file = released.source_file and landed.content_hash = released.content_hash
