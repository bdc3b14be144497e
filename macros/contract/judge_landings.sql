{#- After typing, in its transaction: what was measured of each landing, and which checks of the gate it fails. A
    file is judged alone, by its own rows. Only an extract is also compared with the one before it, so extracts are
    judged one by one, in their order. -#}
{% macro judge_landings(feed, typed) %}
    {%- set landed = ref('landed_files') -%}
    {%- if feed.shrinks_by is defined and typed != 'null' -%}
        {%- set in_order -%}
            select landing_id from {{ landed }} where landing_id in ({{ typed }}) order by source_file, landing_id
        {%- endset -%}
        {%- for landing_id in run_query(in_order).columns[0].values() -%}
            {{ judge_landing(feed, landed, landing_id) }};
        {% endfor -%}
    {%- else -%}
        {{ judge_landing(feed, landed, typed) }};
    {%- endif -%}
{% endmacro %}


{#- The share of a file's rows above which it is held for those that are rejected. -#}
{% macro max_reject_rate() %}
    {%- set share = var('max_reject_rate') -%}
    {%- if share is not number or not 0 <= share <= 1 -%}
        {{ exceptions.raise_compiler_error(
            'The var max_reject_rate is ' ~ share ~ '. It is a share: from 0 to 1, so that 0.05 is 5 %.'
        ) }}
    {%- endif -%}
    {{ return(share) }}
{% endmacro %}


{% macro judge_landing(feed, landed, landing_ids) %}
update {{ landed }}
set
    is_typed = true,
    typed = judged.typed,
    valid = judged.valid,
    rejected = judged.rejected,
    distinct_keys = judged.distinct_keys,
    recent = judged.recent,
    commonest_reason = judged.commonest_reason,
    failed_checks = nullif(substr(
        {% if feed.judged -%}
        case when judged.received = 0 then ', row_count' else '' end
        || case when judged.rejected > {{ max_reject_rate() }} * judged.received then ', reject_rate' else '' end
        || {% endif -%}
        case when judged.received > 0 and judged.recent = 0 then ', freshness' else '' end
        || case when judged.has_shrunk then ', volume' else '' end,
        3
    ), '')
from (
    select
        landings.landing_id,
        landings.received,
        coalesce(measures.typed, 0) as typed,
        coalesce(measures.valid, 0) as valid,
        coalesce(measures.rejected, 0) as rejected,
        coalesce(measures.distinct_keys, 0) as distinct_keys,
        {{ 'coalesce(measures.recent, 0)' if feed.fresh else 'cast(null as bigint)' }} as recent,
        commonest.reject_reasons as commonest_reason,
        {{ has_shrunk(feed, landed, landing_ids) if feed.shrinks_by is defined else 'false' }} as has_shrunk
    from {{ landed }} as landings
    left join (
        select
            landing_id,
            count(*) as typed,
            count(case when reject_reasons is null then 1 end) as valid,
            count(case when reject_reasons <> '' then 1 end) as rejected,
            count(case when reject_reasons is null and not is_overtaken then 1 end) as distinct_keys
            {%- if feed.fresh %},
            count(
                case
                    when
                        reject_reasons is null
                        and {{ feed.fresh.column }} >= file_date - interval '{{ feed.fresh.days - 1 }} day'
                        and {{ feed.fresh.column }} < file_date + interval '1 day'
                        then 1
                end
            ) as recent
            {%- endif %}
        from {{ this }}
        where landing_id in ({{ landing_ids }})
        group by landing_id
    ) as measures on landings.landing_id = measures.landing_id
    left join (
        select landing_id, reject_reasons
        from {{ this }}
        where landing_id in ({{ landing_ids }}) and reject_reasons <> ''
        group by landing_id, reject_reasons
        qualify row_number() over (partition by landing_id order by count(*) desc, reject_reasons) = 1
    ) as commonest on landings.landing_id = commonest.landing_id
    where landings.landing_id in ({{ landing_ids }})
) as judged
where {{ landed }}.landing_id = judged.landing_id
{%- endmacro %}


{#- Whether an extract has far fewer rows than the last one before it that was let through. That is a judgement of its
    time: a content that was judged already keeps it, in a full refresh, in an audit, and when it comes back. The
    path comes by its number, for Snowflake lets no subquery look outside by an order. -#}
{% macro has_shrunk(feed, landed, landing_id) %}
coalesce(
    (
        select max(case when judged_before.failed_checks like '%volume%' then 1 else 0 end) = 1
        from {{ landed }} as judged_before
        where judged_before.source_file = landings.source_file
            and judged_before.content_hash = landings.content_hash
            and judged_before.valid is not null
    ),
    coalesce(measures.valid, 0) < (
        select (1 - {{ feed.shrinks_by }}) * max_by(earlier.valid, earlier.source_file)
        from ({{ typed_and_let_through(landed, feed.name) }}) as earlier
        where earlier.source_file < (
            select max(one.source_file) from {{ landed }} as one where one.landing_id = {{ landing_id }}
        )
    ),
    false
)
{%- endmacro %}


{#- What file_verdicts says of the files of a feed that are let through, while the typing goes on: that view comes
    after it. -#}
{% macro typed_and_let_through(landed, feed) %}
select
    source_file,
    valid
from {{ landed }}
where
    is_typed
    and {{ of_feed(feed) }}
    and (failed_checks is null or (source_file, content_hash) in ({{ released_contents() }}))
qualify landing_id = max(landing_id) over (partition by source_file)
{% endmacro %}
