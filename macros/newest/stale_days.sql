{#- Before all rows of a table go: the totals of every day are stale, those of days that are gone too. -#}
{% macro mark_days_of(table) %}
    {%- set totals = load_relation(relation_of('sales_by_day')) %}
insert into {{ ref('stale_days') }} (day, touched_by)
select day, '{{ invocation_id }}'
from (
    select cast(null as date) as day where false
    {%- if table %}
    union
    select {{ day_of_row() }} from {{ table }}
    {%- endif %}
    {%- if totals %}
    union
    select day from {{ totals }}
    {%- endif %}
) as days;
{% endmacro %}


{#- The days whose totals are stale from now on, until sales_by_day has counted them again. -#}
{% macro mark_stale_days() %}
insert into {{ ref('stale_days') }} (day, touched_by)
select distinct day, '{{ invocation_id }}'
from (
    select old_day as day from merge_changes where leaves
    union all
    select day from merge_entering
) as days;
{% endmacro %}


{#- Before all totals go. -#}
{% macro mark_days(query, day) %}
insert into {{ ref('stale_days') }} (day, touched_by, counted_by)
select distinct {{ day }}, '{{ invocation_id }}', '{{ invocation_id }}' from ({{ query }}) as totals;
{% endmacro %}


{#- The condition that a timestamp is of a day that is to be counted: true if all are, or if somebody only looks. -#}
{% macro of_stale_days(column) %}
    {%- if not is_executing() or flags.WHICH == 'show' -%}{{ return('true') }}{%- endif -%}
    {%- set days = take_stale_days() -%}
    {{ return('true' if counts_all_days() else in_days(column, days)) }}
{% endmacro %}


{#- Takes the stale days upon this invocation, and returns them as ISO dates. What a merge marks from here on stays
    for the next run. What a killed run had taken is taken over. -#}
{% macro take_stale_days() %}
    {%- do run_query('update ' ~ ref('stale_days') ~ " set counted_by = '" ~ invocation_id ~ "'") -%}
    {{ return(taken_days()) }}
{% endmacro %}


{#- On Snowflake another run may take days over meanwhile: it counts them. -#}
{% macro taken_days() %}
    {%- set query -%}
        select distinct day from {{ ref('stale_days') }} where counted_by = '{{ invocation_id }}' order by day
    {%- endset -%}
    {{ return(run_query(query).columns[0].values() | map('string') | list) }}
{% endmacro %}


{#- The condition that a timestamp is of one of the days: a range of literals for each run of days, which lets the
    engine skip the history. -#}
{% macro in_days(column, days) %}
    {%- if not days -%}{{ return('false') }}{%- endif -%}
    {%- set conditions = [] -%}
    {%- for first, after in runs_of_days(days) -%}
        {%- do conditions.append(
            column ~ " >= cast('" ~ first ~ "' as timestamp) and " ~ column ~ " < cast('" ~ after ~ "' as timestamp)"
        ) -%}
    {%- endfor -%}
    {{ return('(' ~ conditions | join(' or ') ~ ') and cast(' ~ column ~ ' as date) in (' ~ day_list(days) ~ ')') }}
{% endmacro %}


{#- Runs of days, from ISO dates in their order: the first day of each and the day after its last, with some time around;
    of very many runs only the whole. -#}
{% macro runs_of_days(days, around=modules.datetime.timedelta(0), most_runs=30) %}
    {%- set runs, day = [], modules.datetime.timedelta(days=1) -%}
    {%- for iso in days -%}
        {%- set date = modules.datetime.date.fromisoformat(iso) -%}
        {%- if runs and runs[-1][1] >= date - around -%}
            {%- do runs[-1].insert(1, date + day + around) -%}
        {%- else -%}
            {%- do runs.append([date - around, date + day + around]) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set whole = [] -%}
    {%- for run in runs -%}{%- do whole.append(run[:2]) -%}{%- endfor -%}
    {{ return(whole if whole | length <= most_runs else [[whole[0][0], whole[-1][1]]]) }}
{% endmacro %}


{% macro day_list(days) %}
    {{ return("cast('" ~ days | join("' as date), cast('") ~ "' as date)" if days else 'null') }}
{% endmacro %}
