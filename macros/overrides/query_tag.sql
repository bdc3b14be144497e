{#- Which DAG, run and model a statement is of, in Snowflake's query history. A model has a session of its own
    (profiles.yml), so that the tag ends with it. -#}
{% macro snowflake__set_query_tag() %}
    {%- set tag = {
        'dag': env_var('AIRFLOW_CTX_DAG_ID', ''), 'run': env_var('AIRFLOW_CTX_DAG_RUN_ID', ''), 'node': model.unique_id
    } -%}
    {%- do run_query('alter session set query_tag = ' ~ text_literal(tojson(tag))) -%}
    {{ return(none) }}
{% endmacro %}


{% macro duckdb__set_query_tag() %}{% endmacro %}


{% macro snowflake__unset_query_tag(original_query_tag) %}{% endmacro %}
