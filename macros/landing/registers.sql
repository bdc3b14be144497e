{#- A table that is made empty, once, and is never made anew: its rows are written by others, in transactions of theirs. A
    column that the contract has gained is null for what was there before. -#}
{% materialization register, default %}
    {%- set relation = this.incorporate(type='table') -%}
    {%- set is_there = load_relation(relation) -%}

    {% do adapter.dispatch('set_query_tag')() %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') %}
        {%- for change in create_or_extend(relation, model.columns.values()) %}
            {{ change }};
        {%- else -%}
            select 'unchanged' as status
        {%- endfor -%}
    {% endcall %}
    {% do apply_grants(relation, config.get('grants'), should_revoke(is_there, full_refresh_mode=false)) %}
    {% do persist_docs(relation, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [relation]}) }}
{% endmaterialization %}


{#- The statements after which a table that loads write to has some columns: none if it has. One that an earlier version of
    this project made may lack some. -#}
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


{#- What loads and merges write down: a pre-hook of the first model that reads it. -#}
{% macro create_registers() %}
    {{- adapter.dispatch('create_what_orders_runs')(source('landing', 'landed_files')) -}}
    {%- for name in ['landed_files', 'refused_files', 'released_files', 'touched_days'] -%}
        {%- for statement in create_or_extend(source('landing', name), source_columns(name).values()) %}
            {{ statement }};
        {%- endfor -%}
    {%- endfor %}
{% endmacro %}


{% macro source_columns(name) %}
    {%- set found = graph.sources.values() | selectattr('name', 'equalto', name) | list -%}
    {{ return(found[0].columns) }}
{% endmacro %}


{#- The numbers of landings must grow, which Snowflake's sequences do in ORDER only; and transactions take turns by a
    row that each of them updates. DuckDB has one writer, which counts. -#}
{% macro duckdb__create_what_orders_runs(landed) %}{% endmacro %}


{% macro snowflake__create_what_orders_runs(landed) %}
    {%- if not load_relation(landed) %}create sequence if not exists {{ landed.include(identifier=false) }}.landing_ids start 1 increment 1 order;{% endif -%}
    {%- if schema_prefix() %}{{ create_session_schema() }};{% endif -%}
    {%- set turns = source('landing', 'merge_turns') -%}
    {%- if not load_relation(turns) %}create table if not exists {{ turns }} as select cast(0 as bigint) as turn;{% endif -%}
{% endmacro %}


{#- A session has its temporary tables in the target's schema. Beside production no model is there, so that dbt does not
    make it. -#}
{% macro create_session_schema() %}
create schema if not exists {{ target.database }}.{{ target.schema }}
{%- endmacro %}
