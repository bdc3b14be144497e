{#- One row a key that is there already or leaves: `old_file` and `old_day` of the row that is there, `new_file` of the
    newest version of this merge, if it has one. `wins` says that the new one takes its place, `leaves` that the old one
    goes. Keys that are not here are new. Content is compared only where the versions tie. -#}
{% macro collect_changes(target, winners, feed, columns, plan, ranges) %}
    {%- set key, replacing = feed.key, plan.replaced != 'null' -%}
    {%- set version, greater_wins = version_order(feed, plan.compared)[0] -%}
with existing as (
    select
        {{ key_list(key) }},
        {{ version }},
        source_file,
        {{ is_current(columns) }} as was_current,
        {{ day_of_row() }} as day
        {%- if replacing %},
        source_file in (
            select source_file from {{ ref('landed_files') }} where landing_id in ({{ plan.replaced }})
        ) as is_replaced
        {%- endif %}
    from {{ target }}
    where {{ within(ranges) }}
),
met as (
    select
        {{ key_list(key, 'existing') }},
        existing.source_file as old_file,
        existing.was_current,
        existing.day as old_day,
        winners.source_file as new_file,
        {{ 'existing.is_replaced or ' if replacing }}winners.{{ version }} {{ '>' if greater_wins else '<' }} existing.{{ version }} as is_newer,
        {{ 'not existing.is_replaced and ' if replacing }}winners.{{ version }} = existing.{{ version }} as ties
    from existing
    inner join {{ winners }} as winners on {{ same_key('existing', 'winners', key) }}
),
tied as (
    select {{ key_list(key, 'existing') }}
    from (select {{ key_list(key) }} from met where ties) as ties
    inner join {{ winners }} as winners on {{ same_key('ties', 'winners', key) }}
    inner join {{ target }} as existing
        on {{ same_key('ties', 'existing', key) }} and {{ within(ranges, 'existing') }}
    where
        {{ is_newer(feed, plan.compared, 'winners', 'existing') }}
        -- The same row: of a first run that was killed before it wrote the ledger.
        or (winners.source_file = existing.source_file and winners.source_record = existing.source_record)
),
compared as (
    select
        {{ key_list(key) }},
        old_file,
        was_current,
        old_day,
        new_file,
        is_newer or {{ key_value(key) }} in (select {{ key_list(key) }} from tied) as wins
    from met
    {%- if replacing %}
    union all
    select {{ key_list(key) }}, source_file, was_current, day, null, false
    from existing
    where
        is_replaced
        and not exists (select 1 from {{ winners }} as winners where {{ same_key('winners', 'existing', key) }})
    {%- endif %}
)
select *, wins or new_file is null as leaves
from compared
{% endmacro %}


{#- The same for an extract, which takes the place of all that is there. -#}
{% macro collect_extract(target, winners, feed, columns, ranges) %}
select
    {{ key_list(feed.key, 'existing') }},
    existing.source_file as old_file,
    {{ is_current(columns, 'existing') }} as was_current,
    {{ day_of_row() }} as old_day,
    winners.source_file as new_file,
    winners.source_file is not null as wins,
    true as leaves
from {{ target }} as existing
left join {{ winners }} as winners on {{ same_key('existing', 'winners', feed.key) }}
where {{ within(ranges) }}
{% endmacro %}


{#- What of the winners goes in. -#}
{% macro entering(winners, key) %}
    {{ return(rows_without(
        winners, 'winners', 'merge_changes', same_key('winners', 'merge_changes', key) ~ ' and not merge_changes.wins'
    )) }}
{% endmacro %}


{#- FROM some rows those for which no row of another table fulfils a condition. -#}
{% macro rows_without(rows, name, other, condition) %}
    {{ return(adapter.dispatch('rows_without')(rows, name, other, condition)) }}
{% endmacro %}


{#- Where DuckDB guesses that the rows are few it keeps all of them in memory to answer a NOT EXISTS. -#}
{% macro duckdb__rows_without(rows, name, other, condition) %}
from {{ rows }} as {{ name }}
anti join {{ other }} on {{ condition }}
{%- endmacro %}


{% macro default__rows_without(rows, name, other, condition) %}
from {{ rows }} as {{ name }}
where not exists (
    select 1 from {{ other }} where {{ condition }}
)
{%- endmacro %}


{#- Whether a row stands in production: one that says that its key is deleted is kept, so that no older version comes
    back, but does not. -#}
{% macro is_current(columns, row=none) %}
    {%- set of = row ~ '.' if row else '' -%}
    {{ return('not ' ~ of ~ 'is_deleted' if 'is_deleted' in columns else 'true') }}
{% endmacro %}


{#- The day by which a model's totals are counted; null for a model without. -#}
{% macro day_of_row() %}
    {{ return('cast(' ~ (config.meta_get('day') or 'null') ~ ' as date)') }}
{% endmacro %}


{#- The same, counted by file and day. -#}
{% macro count_entering(winners, key, columns) %}
select
    source_file as file,
    {{ day_of_row() }} as day,
    cast(count(case when {{ is_current(columns) }} then 1 end) as bigint) as entering
{{ entering(winners, key) }}
group by source_file, {{ day_of_row() }}
{% endmacro %}
