{#- Totals of the days that a merge touched. Which days are stale is stored with the merge, so a run that was killed
    before its totals leaves them to the next. -#}

{#- The stale `days` as ISO dates, and the `merges` that touched them. -#}
{% macro touched_days() %}
    {%- if not at_work() -%}{{ return({'days': [], 'merges': []}) }}{%- endif -%}
    {%- set query = 'select day, touched_by from ' ~ source('landing', 'touched_days') ~ ' order by day, touched_by' -%}
    {%- set rows = run_query(query).rows -%}
    {{ return({
        'days': rows | map('first') | map('string') | unique | list, 'merges': rows | map('last') | unique | list
    }) }}
{% endmacro %}


{#- The condition that a timestamp is of one of the days: a range of literals for each run of days, which lets the engine
    skip the history; of very many runs only the whole. -#}
{% macro in_days(column, days, most_runs=30) %}
    {%- if not days -%}{{ return('false') }}{%- endif -%}
    {%- set runs, day = [], modules.datetime.timedelta(days=1) -%}
    {%- for iso in days -%}
        {%- set date = modules.datetime.date.fromisoformat(iso) -%}
        {%- if runs and runs[-1][1] == date -%}
            {%- do runs[-1].insert(1, date + day) -%}
        {%- else -%}
            {%- do runs.append([date, date + day]) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set runs = runs if runs | length <= most_runs else [[runs[0][0], runs[-1][1]]] -%}
    {%- set conditions = [] -%}
    {%- for run in runs -%}
        {%- do conditions.append(
            column ~ " >= cast('" ~ run[0] ~ "' as timestamp) and " ~ column ~ " < cast('" ~ run[1] ~ "' as timestamp)"
        ) -%}
    {%- endfor -%}
    {{ return('(' ~ conditions | join(' or ') ~ ') and cast(' ~ column ~ ' as date) in (' ~ day_list(days) ~ ')') }}
{% endmacro %}


{% macro day_list(days) %}
    {{ return("cast('" ~ days | join("' as date), cast('") ~ "' as date)" if days else 'null') }}
{% endmacro %}


{#- The incremental strategy `replace_days`: the rows of the touched days are counted anew, rows of a day that has no
    sale any more go. -#}
{% macro get_incremental_replace_days_sql(arguments) %}
    {%- set columns = arguments.dest_columns | map(attribute='name') | join(', ') -%}
    {% call in_transaction() %}
delete from {{ arguments.target_relation }} where {{ arguments.unique_key }} in ({{ day_list(counted_days(sql).days) }});

insert into {{ arguments.target_relation }} ({{ columns }})
select {{ columns }} from {{ arguments.temp_relation }};
    {% endcall %}
{% endmacro %}


{#- What a compiled query has counted: what another merge has touched since then stays marked. -#}
{% macro counted_days(compiled) %}
    {%- set found = modules.re.search('stale days: (.*); touched by: (.*)', compiled) -%}
    {{ return({
        'days': found.group(1).split(', ') if found.group(1) else [], 'merges': found.group(2).split(', ')
    }) }}
{% endmacro %}


{#- After the totals: a run that is killed in between counts these days once more. -#}
{% macro forget_touched_days() %}
    {%- set counted = counted_days(sql) -%}
delete from {{ source('landing', 'touched_days') }}
where day in ({{ day_list(counted.days) }}) and touched_by in ('{{ counted.merges | join("', '") }}')
{% endmacro %}
