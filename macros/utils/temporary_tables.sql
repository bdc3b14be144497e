{#- A post-hook after large loads: dbt leaves a model's temporary table until the connection closes, and on DuckDB it takes
    memory that the next model needs. -#}
{% macro drop_temporary_tables() %}
    {{ return(adapter.dispatch('drop_temporary_tables')()) }}
{% endmacro %}


{% macro duckdb__drop_temporary_tables() %}
    {%- set names = run_query('select table_name from duckdb_tables() where temporary order by table_name').columns[0] -%}
    {%- for name in names.values() -%}drop table {{ adapter.quote(name) }};{%- endfor -%}
{% endmacro %}


{% macro snowflake__drop_temporary_tables() %}{% endmacro %}
