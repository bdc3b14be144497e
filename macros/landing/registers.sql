{#- The materialization `register`: a table that is made empty, once, and is never made anew, for its rows are
    written by others, in transactions of theirs. Its columns are those of its properties file; one that they have
    gained is null for what was there before.
      meta.formerly  the name that it had in an earlier version of this project -#}
{% materialization register, default %}
    {%- set relation = this.incorporate(type='table') -%}
    {%- set is_there = load_relation(relation) or take_over(relation, config.meta_get('formerly')) -%}

    {% do adapter.dispatch('set_query_tag')() %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {%- set changes = create_or_extend(relation, model.columns.values()) -%}
    {%- if changes -%}
        {% call statement('main') %}
            {{ changes | join(';\n') }}
        {% endcall %}
    {%- else -%}
        {% do store_raw_result(name='main', message='unchanged', code='unchanged', rows_affected='0') %}
    {%- endif -%}
    {% do apply_grants(relation, config.get('grants'), should_revoke(is_there, full_refresh_mode=false)) %}
    {% do persist_docs(relation, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [relation]}) }}
{% endmaterialization %}


{#- The statements after which a table that loads write to has some columns: none if it has. One that an earlier
    version of this project made may lack some. -#}
{% macro create_or_extend(table, columns) %}
    {%- set known = load_relation(table) -%}
    {%- if not known -%}{{ return([create_if_missing(table, columns)]) }}{%- endif -%}
    {%- set there = adapter.get_columns_in_relation(known) | map(attribute='name') | map('lower') | list -%}
    {%- set statements = [] -%}
    {%- for column in columns if column.name not in there -%}
        {%- do statements.append('alter table ' ~ known ~ ' add column ' ~ column.name ~ ' ' ~ column.data_type) -%}
    {%- endfor -%}
    {{ return(statements) }}
{% endmacro %}


{% macro create_if_missing(table, columns) %}
create table if not exists {{ table }} (
    {% for column in columns %}{{ column.name }} {{ column.data_type }}{{ ', ' if not loop.last }}{% endfor %}
)
{% endmacro %}


{#- The register under the name that it had before, renamed; none if there is none. -#}
{% macro take_over(relation, formerly) %}
    {%- set former = load_relation(relation.incorporate(path={'identifier': formerly})) if formerly -%}
    {%- if former -%}{%- do adapter.rename_relation(former, relation) -%}{%- endif -%}
    {{ return(load_relation(relation) if former else none) }}
{% endmacro %}


{#- What the order of loads hangs on: a pre-hook of landed_files. The numbers of landings must grow, which
    Snowflake's sequences do in ORDER only; and its transactions come one after the other by a lock, a row that each
    of them updates. DuckDB has one writer, which counts. The statements by which it is there.
      last  the number of the last landing, where the register was copied -#}
{% macro create_what_orders_loads(last=none) %}
    {{ return(adapter.dispatch('create_what_orders_loads')(relation_of('landed_files'), last)) }}
{% endmacro %}

{% macro duckdb__create_what_orders_loads(landed, last) %}{{ return([]) }}{% endmacro %}

{% macro snowflake__create_what_orders_loads(landed, last) %}
    {%- set statements, first = [], (last or 0) + 1 -%}
    {%- if schema_prefix() -%}{%- do statements.append(create_session_schema()) -%}{%- endif -%}
    {%- if last is not none or not load_relation(landed) -%}
        {%- set ids = landed.include(identifier=false) ~ '.landing_ids' -%}
        {%- do statements.append('create sequence if not exists ' ~ ids ~ ' start ' ~ first ~ ' increment 1 order') -%}
    {%- endif -%}
    {%- if not load_relation(merge_lock()) -%}
        {%- set row = 'select cast(0 as bigint) as turn' -%}
        {%- do statements.append('create table if not exists ' ~ merge_lock() ~ ' as ' ~ row) -%}
        {#- Its name in an earlier version of this project. -#}
        {%- set former = merge_lock().incorporate(path={'identifier': 'merge_turns'}) -%}
        {%- do statements.append('drop table if exists ' ~ former) -%}
    {%- endif -%}
    {{ return(statements) }}
{% endmacro %}


{#- The table with the row that is the lock. -#}
{% macro merge_lock() %}
    {{ return(relation_of('landed_files').incorporate(path={'identifier': 'merge_lock'})) }}
{% endmacro %}


{#- A session has its temporary tables in the target's schema. Beside production no model is there, so that dbt does not
    make it. -#}
{% macro create_session_schema() %}
create schema if not exists {{ target.database }}.{{ target.schema }}
{%- endmacro %}
