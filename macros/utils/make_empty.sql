{#- Makes a table with the columns of a query and no row in it, for a first run or a full refresh; whether it is that
    now.
      existing  what is there under its name, if anything
      shape     a relation with the columns of the query
      before    statements that must have come true before the rows are gone -#}
{% macro make_empty(table, existing, shape, query, before) %}
    {{ return(adapter.dispatch('make_empty')(table, existing, shape, query, before)) }}
{% endmacro %}


{#- In the transaction of what fills it, which this statement begins. -#}
{% macro duckdb__make_empty(table, existing, shape, query, before) %}
    {% call statement('make_empty') %}
        {{ before }}
        {{ 'drop ' ~ existing.type ~ ' ' ~ existing ~ ';' if existing }}
        {{ create_table_as(false, table, query) }}
    {% endcall %}
    {{ return(true) }}
{% endmacro %}


{#- DDL ends a transaction. So a table whose columns stay keeps its rows, for the transaction that fills it to
    delete: who reads it meanwhile sees what was there. -#}
{% macro snowflake__make_empty(table, existing, shape, query, before) %}
    {%- if existing and existing.is_table and not check_for_schema_changes(shape, existing).schema_changed -%}
        {{ return(false) }}
    {%- endif -%}
    {% call statement('before_make_empty') %}
        {{ before }}
    {% endcall %}
    {%- if existing and not existing.is_table -%}{%- do adapter.drop_relation(existing) -%}{%- endif -%}
    {% call statement('make_empty') %}
        {{ create_table_as(false, table, query) }}
    {% endcall %}
    {{ return(true) }}
{% endmacro %}


{#- A relation of this session with the columns of a query, and none of its rows. -#}
{% macro relation_like(query) %}
    {{ return(adapter.dispatch('relation_like')(query)) }}
{% endmacro %}


{% macro duckdb__relation_like(query) %}
    {% call statement('relation_like', auto_begin=False) %}
        create or replace temporary view columns_of_the_query as {{ query }}
    {% endcall %}
    {{ return(api.Relation.create(database='temp', schema='main', identifier='columns_of_the_query')) }}
{% endmacro %}


{% macro snowflake__relation_like(query) %}
    {%- set relation = make_temp_relation(this) -%}
    {% call statement('relation_like', auto_begin=False) %}
        create or replace temporary table {{ relation }} as {{ query }} limit 0
    {% endcall %}
    {{ return(relation) }}
{% endmacro %}
