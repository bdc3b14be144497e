{#- dbt-duckdb writes what an incremental model selects into a temporary table before it goes where it belongs. Where it
    is read once, as in an append, that is a copy for nothing; a view does, as dbt-snowflake has it too. A merge says by
    a comment in its query that it can do without the copy. -#}
{% macro duckdb__create_table_as(temporary, relation, compiled_code, language='sql', partitioned_by=none, sorted_by=none) %}
    {%- if temporary and (config.get('incremental_strategy') == 'append' or '-- read in place' in compiled_code) -%}
        create temporary view {{ relation.include(database=false, schema=false) }} as (
            {{ compiled_code }}
        );
    {%- else -%}
        {{ dbt.duckdb__create_table_as(temporary, relation, compiled_code, language, partitioned_by, sorted_by) }}
    {%- endif -%}
{% endmacro %}
