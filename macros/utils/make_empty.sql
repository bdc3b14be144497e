{#- Makes a table with the columns of a query for a first run or a full refresh, of which no row is to stay; whether
    what was there is gone already. The transaction that fills it empties it again: another run may have been faster.
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
    delete: who reads it meanwhile sees what was there. And one that is not there is made only if it still is not,
    where dbt's own statement would replace what another run has filled. -#}
{% macro snowflake__make_empty(table, existing, shape, query, before) %}
    {%- set is_table = existing and existing.is_table -%}
    {%- if is_table and not check_for_schema_changes(shape, existing).schema_changed -%}{{ return(false) }}{%- endif -%}
    {% call statement('before_make_empty') %}
        {{ before }}
    {% endcall %}
    {%- set made = create_table_as(false, table, query) -%}
    {%- if not existing -%}
        {%- set made = modules.re.sub('create or replace (.*?)table', 'create \\1table if not exists', made, count=1) -%}
    {%- elif not is_table -%}
        {%- do adapter.drop_relation(existing) -%}
    {%- endif -%}
    {% call statement('make_empty') %}
        {{ made }}
    {% endcall %}
    {{ return(existing is not none) }}
{% endmacro %}


{#- What is there under the name of a table. dbt knows what was there as its run began. -#}
{% macro existing_now(table) %}
    {{ return(load_relation(table) or adapter.dispatch('made_meanwhile')(table)) }}
{% endmacro %}


{% macro duckdb__made_meanwhile(table) %}{{ return(none) }}{% endmacro %}


{% macro snowflake__made_meanwhile(table) %}
    {%- set query -%}
        select 1
        from {{ table.information_schema('tables') }}
        where
            table_schema = {{ text_literal(table.schema | upper) }}
            and table_name = {{ text_literal(table.identifier | upper) }}
    {%- endset -%}
    {{ return(table if run_query(query).rows else none) }}
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
