{#- Totals by day: which days are stale is stored with each merge that touches them, so that a run that was killed before its
    totals leaves them to the next. -#}

{#- The materialization `totals_by_day`: the rows of the stale days are counted anew, rows of a day that has no sale any more go.
    The model's query is of the stale days (of_stale_days); in a first run and a full refresh, of all.
      unique_key  the column that holds the day -#}
{% materialization totals_by_day, default %}
    {%- set target, existing, day = this.incorporate(type='table'), load_relation(this), config.require('unique_key') -%}
    {%- set anew, is_empty = counts_all_days(), true -%}

    {% do adapter.dispatch('set_query_tag')() %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- set shape = relation_like(sql) -%}
    {%- if anew -%}
        {%- set is_empty = make_empty(target, existing, shape, 'select * from (' ~ sql ~ ') as totals where false', mark_days(sql, day)) -%}
    {%- else -%}
        {% do process_schema_changes('fail', shape, existing) %}
    {%- endif -%}
    {%- set columns = adapter.get_columns_in_relation(shape) | map(attribute='name') | map('lower') | join(', ') -%}
    {%- set of_days = '' if anew else ' where ' ~ day ~ ' in (' ~ day_list(taken_days()) ~ ')' -%}
    {% call statement('main') %}
        {% call in_transaction() %}
        {{ 'delete from ' ~ target ~ of_days ~ ';' if not (anew and is_empty) }}

        insert into {{ target }} ({{ columns }})
        select {{ columns }}
        from (
        {{ sql }}
        ) as totals
        {{- of_days }};

        delete from {{ source('landing', 'touched_days') }} where counted_by = '{{ invocation_id }}';
        {% endcall %}
    {% endcall %}

    {% do apply_grants(target, config.get('grants'), should_revoke(existing, full_refresh_mode=anew)) %}
    {% do persist_docs(target, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target]}) }}
{% endmaterialization %}


{#- Whether all days are counted. -#}
{% macro counts_all_days() %}
    {%- set existing = load_relation(this) -%}
    {{ return(existing is none or not existing.is_table or should_full_refresh()) }}
{% endmacro %}


{#- The condition that a timestamp is of a day that is to be counted: true if all are. -#}
{% macro of_stale_days(column) %}
    {%- if not at_work() -%}{{ return('true') }}{%- endif -%}
    {%- set days = take_stale_days() -%}
    {{ return('true' if counts_all_days() else in_days(column, days)) }}
{% endmacro %}


{#- Takes the stale days upon this invocation, and returns them as ISO dates. What a merge marks from here on stays for the
    next run. What a killed run had taken is taken over. -#}
{% macro take_stale_days() %}
    {%- do run_query('update ' ~ source('landing', 'touched_days') ~ " set counted_by = '" ~ invocation_id ~ "'") -%}
    {{ return(taken_days()) }}
{% endmacro %}


{#- On Snowflake another run may take days over meanwhile: it counts them. -#}
{% macro taken_days() %}
    {%- set query -%}
        select distinct day from {{ source('landing', 'touched_days') }} where counted_by = '{{ invocation_id }}' order by day
    {%- endset -%}
    {{ return(run_query(query).columns[0].values() | map('string') | list) }}
{% endmacro %}


{#- Before all totals go. -#}
{% macro mark_days(query, day) %}
insert into {{ source('landing', 'touched_days') }} (day, touched_by, counted_by)
select distinct {{ day }}, '{{ invocation_id }}', '{{ invocation_id }}' from ({{ query }}) as totals;
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
