{#- dbt-duckdb writes what an incremental model selects into a temporary table before it goes where it belongs. Where it
    is read once, as in an append, that is a copy for nothing; a view does, as dbt-snowflake has it too. A merge says by
    a comment in its query that it can do without the copy.
    With the rows of a first run or a full refresh comes their ledger. -#}
{% macro duckdb__create_table_as(temporary, relation, compiled_code, language='sql', partitioned_by=none, sorted_by=none) %}
    {%- if temporary and (config.get('incremental_strategy') == 'append' or '-- read in place' in compiled_code) -%}
        create temporary view {{ relation.include(database=false, schema=false) }} as (
            {{ compiled_code }}
        );
    {%- else -%}
        {{ dbt.duckdb__create_table_as(temporary, relation, compiled_code, language, partitioned_by, sorted_by) }}
        {%- if not temporary and config.get('incremental_strategy') == 'merge_newest' %}
            {{ write_whole_ledger(relation, config.meta_require('loads'), compiled_plan(compiled_code)[0]) }}
            {{ mark_all_days(relation) if config.meta_get('day') }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}


{#- On Snowflake CREATE commits what is open, so that a table that is made with its rows takes no turn: what another run
    writes meanwhile would be lost or counted twice. Where several runs write, it is made empty, if it is missing or its
    columns are others, and filled by a transaction like any other. Until that is through, its earlier rows are there. -#}
{% macro snowflake__create_table_as(temporary, relation, compiled_code, language='sql') %}
    {%- set strategy = config.get('incremental_strategy') -%}
    {%- if temporary or not (strategy in ['merge_newest', 'replace_days'] or config.meta_get('types')) -%}
        {{ dbt.snowflake__create_table_as(temporary, relation, compiled_code, language) }}
    {%- else -%}
        {%- set rows, there = make_temp_relation(relation).incorporate(type='view'), load_relation(relation) -%}
        {%- do run_query(dbt.snowflake__create_view_as_with_temp_flag(rows, compiled_code, true)) -%}
        {%- if not there or check_for_schema_changes(rows, there).schema_changed %}
            {{ before_it_is_empty(rows) }};
            {#- Another first run may have been faster. -#}
            {%- set made = dbt.snowflake__create_table_as(false, relation, 'select * from ' ~ rows ~ ' limit 0') %}
            {{ made if there else modules.re.sub('create or replace ((transient )?table)', 'create \\1 if not exists', made) }}
        {%- endif %}
        {{ fill(relation, rows, compiled_code) }}
    {%- endif -%}
{% endmacro %}


{#- What lets the next run count all rows, should this one be killed while the table is empty. -#}
{% macro before_it_is_empty(rows) %}
    {%- if config.meta_get('types') -%}
        update {{ source('landing', 'landed_files') }} set is_typed = false where {{ of_feed(config.meta_get('types')) }}
    {%- elif config.get('incremental_strategy') == 'merge_newest' -%}
        {{ forget_ledger(config.meta_require('loads')) }}
    {%- else -%}
        insert into {{ source('landing', 'touched_days') }} (day, touched_by)
        select distinct {{ config.get('unique_key') }}, '{{ invocation_id }}' from {{ rows }}
    {%- endif -%}
{% endmacro %}


{% macro fill(relation, rows, compiled_code) %}
    {%- set names = adapter.get_columns_in_relation(rows) | map(attribute='name') | join(', ') -%}
    {%- if config.meta_get('types') -%}
        {{ snowflake__get_incremental_append_sql({
            'target_relation': relation, 'temp_relation': rows, 'dest_columns': adapter.get_columns_in_relation(rows)
        }) }}
    {%- elif config.get('incremental_strategy') == 'merge_newest' -%}
        {%- set feed, plan = config.meta_require('loads'), compiled_plan(compiled_code) -%}
        {% call in_transaction() %}
{{ stop_if_overtaken(feed, plan[1]) }}
{{ replace_rows(relation, rows, names) }}
{{ write_whole_ledger(relation, feed, plan[0]) }}
{{ mark_all_days(relation) if config.meta_get('day') }}
        {% endcall %}
    {%- else -%}
        {% call in_transaction() %}
{{ replace_rows(relation, rows, names) }}
delete from {{ source('landing', 'touched_days') }} where touched_by = '{{ invocation_id }}';
        {% endcall %}
    {%- endif -%}
{% endmacro %}


{% macro replace_rows(relation, rows, names) %}
delete from {{ relation }};

insert into {{ relation }} ({{ names }})
select {{ names }} from {{ rows }};
{% endmacro %}
