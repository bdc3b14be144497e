{#- A landing is one content of one file, as `landed_files` registers it. Staging rows carry its number, so that a run
    finds its own rows by a short list of numbers, whatever the history, and never those of another run. -#}

{#- The newest landing of each file. -#}
{% macro newest_landings() %}
select *
from {{ source('landing', 'landed_files') }}
qualify landing_id = max(landing_id) over (partition by source_file)
{% endmacro %}


{#- Whether a verdict lets a file through: it passed the gate, or a person has released it. -#}
{% macro lets_through(verdict) %}
    {{ return(verdict ~ " in ('passed', 'released')") }}
{% endmacro %}


{#- The contents that persons have let through. -#}
{% macro released_contents() %}
select distinct
    source_file,
    content_hash
from {{ source('landing', 'released_files') }}
{% endmacro %}


{#- The newest landing of each file that passed the gate or was released: what production is to be made of. A
    restatement that is held leaves the earlier content there. -#}
{% macro passed_landings(verdicts, feed=none) %}
select *
from {{ verdicts }}
where {{ lets_through('verdict') }}{{ ' and ' ~ of_feed(feed) if feed }}
qualify landing_id = max(landing_id) over (partition by source_file)
{% endmacro %}


{#- The files of which something has landed or was released that production, or its ledger, does not have yet. -#}
{% macro unfinished_files(verdicts, ledger) %}
select landed.source_file
from {{ source('landing', 'landed_files') }} as landed
where not landed.is_typed and {{ of_known_feeds('landed.source_file') }}

union

select judged.source_file
from (
    {{ passed_landings(verdicts) }}

    union all

    {{ held_landings(verdicts) }}
) as judged
left join {{ ledger }} as ledger
    on judged.source_file = ledger.source_file
    and judged.content_hash = ledger.content_hash
    and (judged.verdict = 'held') = (ledger.verdict = 'held')
where ledger.source_file is null and {{ of_known_feeds('judged.source_file') }}
{% endmacro %}


{#- The landings that production is made of now, by its ledger. A file may have come back to its content in force: until
    the new landing is typed, it is the old one whose rows are there. -#}
{% macro landings_in_force(ledger, feed) %}
select max(landed.landing_id) as landing_id
from {{ source('landing', 'landed_files') }} as landed
inner join {{ ledger }} as ledger
    on landed.source_file = ledger.source_file
    and landed.content_hash = ledger.content_hash
    and {{ lets_through('ledger.verdict') }}
where landed.is_typed and {{ of_feed(feed, 'landed.source_file') }}
group by landed.source_file
{% endmacro %}


{#- The numbers of some landings as a list of literals, 'null' for none: literals let both engines skip the history. -#}
{% macro landing_ids(query) %}
    {%- if not at_work() -%}{{ return('null') }}{%- endif -%}
    {%- set ids = run_query('select landing_id from (' ~ query ~ ') as landings order by landing_id').columns[0] -%}
    {{ return(ids.values() | join(', ') or 'null') }}
{% endmacro %}


{#- After typing, in its transaction: what was measured of each landing, and which checks of the gate it fails. A file is
    judged alone, by its own rows. Only an extract is also compared with the one before it, so extracts are judged one by
    one, in their order. -#}
{% macro judge_landings(feed, typed) %}
    {%- set landed = source('landing', 'landed_files') -%}
    {%- if feed.shrinks_by is defined and typed != 'null' -%}
        {%- set in_order = 'select landing_id from ' ~ landed ~ ' where landing_id in (' ~ typed ~ ') order by source_file, landing_id' -%}
        {%- for landing_id in run_query(in_order).columns[0].values() -%}
            {{ judge_landing(feed, landed, landing_id) }};
        {% endfor -%}
    {%- else -%}
        {{ judge_landing(feed, landed, typed) }};
    {%- endif -%}
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
        case when judged.received = 0 then ', row_count' else '' end
        || case when judged.rejected > {{ var('max_reject_rate') }} * judged.received then ', reject_rate' else '' end
        || case when judged.received > 0 and judged.recent = 0 then ', freshness' else '' end
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
        from ({{ passed_landings(ref('file_verdicts'), feed.name) }}) as earlier
        where earlier.source_file < (select max(one.source_file) from {{ landed }} as one where one.landing_id = {{ landing_id }})
    ),
    false
)
{%- endmacro %}


{#- The day of the newest file of a feed that the ledger knows; none without. -#}
{% macro newest_file_date(ledger, feed) %}
    {%- if not at_work() or not load_relation(ledger) -%}{{ return(none) }}{%- endif -%}
    {{ return(run_query('select max(file_date) from ' ~ ledger ~ ' where ' ~ of_feed(feed)).rows[0][0]) }}
{% endmacro %}


{#- A post-hook after large loads: dbt leaves a model's temporary table until the connection closes, and on DuckDB it takes
    memory that the next model needs. -#}
{% macro drop_temporary_tables() %}
    {{ return(adapter.dispatch('drop_temporary_tables')()) }}
{% endmacro %}

{% macro duckdb__drop_temporary_tables() %}
    {%- set names = run_query('select table_name from duckdb_tables() where temporary order by table_name').columns[0] -%}
    {%- for name in names.values() -%}drop table {{ adapter.quote(name) }};{%- endfor -%}
{% endmacro %}

{% macro snowflake__drop_temporary_tables() %}{% endmacro %}
