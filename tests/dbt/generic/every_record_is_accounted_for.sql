{#- Of the files that are about to be merged: every record is typed, valid or rejected with a reason, as the verdict has
    counted, and no file passed against its own counts. -#}
{% test every_record_is_accounted_for(model, feed) %}
{%- set ledger = load_relation(relation_of('load_ledger')) if execute %}
{%- set arriving = landing_ids(arriving_landings(relation_of('file_verdicts'), ledger, feed)) if execute else 'null' %}
with counted as (
    select
        landing_id,
        count(*) as typed,
        count(case when reject_reasons is null then 1 end) as valid,
        count(case when reject_reasons <> '' then 1 end) as rejected
    from {{ model }}
    where landing_id in ({{ arriving }})
    group by landing_id
)
select
    landed.source_file,
    landed.received,
    counted.typed,
    counted.valid,
    counted.rejected,
    landed.failed_checks
from {{ ref('landed_files') }} as landed
left join counted on landed.landing_id = counted.landing_id
where
    landed.landing_id in ({{ arriving }})
    and (
        landed.received <> coalesce(counted.typed, 0)
        or landed.received <> coalesce(counted.valid + counted.rejected, 0)
        or landed.received <> landed.valid + landed.rejected
        or landed.failed_checks is null
        and (landed.received = 0 or landed.rejected > {{ var('max_reject_rate') }} * landed.received or landed.recent = 0)
    )
{% endtest %}
