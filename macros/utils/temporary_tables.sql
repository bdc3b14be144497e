{#- A post-hook after large loads: dbt leaves a model's temporary table until the connection closes, and on DuckDB it
    takes memory that the next model needs. -#}
{% macro drop_temporary_tables() %}
    {{ return(adapter.dispatch('drop_temporary_tables')()) }}
{% endmacro %}


{% macro duckdb__drop_temporary_tables() %}
    {%- set tables = 'select table_name from duckdb_tables() where temporary order by table_name' -%}
    {%- for name in run_query(tables).columns[0].values() -%}drop table {{ adapter.quote(name) }};{%- endfor -%}
{% endmacro %}


{% macro snowflake__drop_temporary_tables() %}{% endmacro %}
