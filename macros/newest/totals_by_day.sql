{#- Totals by day: which days are stale is stored with each merge that touches them, so that a run that was killed
    before its totals leaves them to the next. -#}

{#- The materialization `totals_by_day`: the rows of the stale days are counted anew, rows of a day that has no sale
    any more go. The model's query is of the stale days (of_stale_days); in a first run and a full refresh, of all.
      unique_key  the column that holds the day -#}
{% materialization totals_by_day, default %}
    {%- set target, existing = this.incorporate(type='table'), load_relation(this) -%}
    {%- set day = config.require('unique_key') -%}
    {%- set anew, is_empty = counts_all_days(), true -%}

    {% do adapter.dispatch('set_query_tag')() %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- set shape = relation_like(sql) -%}
    {%- if anew -%}
        {%- set no_row = 'select * from (' ~ sql ~ ') as totals where false' -%}
        {%- set is_empty = make_empty(target, existing, shape, no_row, mark_days(sql, day)) -%}
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

        delete from {{ ref('stale_days') }} where counted_by = '{{ invocation_id }}';
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
