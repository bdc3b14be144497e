{{ config(materialized='view', schema='prod', contract={'enforced': true}) }}

with newest as (

    {{ newest_landings() }}

)

select
    verdicts.source_file,
    verdicts.content_hash,
    verdicts.file_date,
    verdicts.received,
    verdicts.valid,
    verdicts.rejected,
    verdicts.distinct_keys,
    verdicts.recent,
    verdicts.verdict,
    verdicts.failed_checks
from {{ ref('file_verdicts') }} as verdicts
inner join newest on verdicts.landing_id = newest.landing_id
