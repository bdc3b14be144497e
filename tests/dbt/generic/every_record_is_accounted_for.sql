{#- Of the contents that are typed and that no ledger knows yet: every record is typed, valid or rejected with a
    reason, as the gate has counted, and none passed against its own counts. The registers are named without ref(),
    by which dbt would run the tests of every feed for each. -#}
{% test every_record_is_accounted_for(model, feed) %}
{%- set judged = feed_of(feed).judged if execute %}
{%- set arriving = landing_ids(typed_and_not_in_ledger(feed), model) if execute else 'null' %}
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
from {{ relation_of('landed_files') if execute }} as landed
left join counted on landed.landing_id = counted.landing_id
where
    landed.landing_id in ({{ arriving }})
    and (
        landed.received <> coalesce(counted.typed, 0)
        or landed.received <> coalesce(counted.valid + counted.rejected, 0)
        or landed.received <> landed.valid + landed.rejected
        or landed.failed_checks is null
        and (
            {% if judged -%}
            landed.received = 0
            or landed.rejected > {{ max_reject_rate() }} * landed.received
            or {% endif -%}
            landed.recent = 0
        )
    )
{% endtest %}
