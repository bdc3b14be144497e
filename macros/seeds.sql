{#- dbt-snowflake empties a seed in one transaction and fills it in the next: a load beside it would find no currency and reject
    every row. Begun here, the transaction ends with the COMMIT that follows dbt's insert. -#}
{% macro snowflake__reset_csv_table(model, full_refresh, old_relation, agate_table) %}
    {%- if full_refresh -%}
        {{ return(default__reset_csv_table(model, full_refresh, old_relation, agate_table)) }}
    {%- endif -%}
    {%- set empty = 'delete from ' ~ old_relation -%}
    {%- do adapter.add_query('begin', auto_begin=False) -%}
    {%- do adapter.add_query(empty, auto_begin=False) -%}
    {{ return(empty) }}
{% endmacro %}
