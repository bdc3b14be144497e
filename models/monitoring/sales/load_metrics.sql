{{ config(
    schema='prod',
    contract={'enforced': true},
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key='source_file'
) }}

-- depends_on: {{ source('landing', 'landed_files') }}
with newest as (

    {{ newest_landings() }}

),

metrics as (

    select
        verdicts.source_file,
        verdicts.content_hash,
        verdicts.file_date,
        verdicts.received,
        verdicts.valid,
        verdicts.rejected,
        verdicts.sales,
        verdicts.recent_sales,
        verdicts.verdict,
        verdicts.failed_checks
    from {{ ref('file_verdicts') }} as verdicts
    inner join newest on verdicts.landing_id = newest.landing_id

)

select *
from metrics
{% if is_incremental() -%}
where
    not exists (
        select 1
        from {{ this }} as known
        where
            known.source_file = metrics.source_file
            and known.content_hash = metrics.content_hash
            and known.verdict = metrics.verdict
    )
{%- endif %}
