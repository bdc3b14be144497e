{#- No test calls these; models written for the public package may. -#}
{% macro log_natural(x) %}
    {{ return('ln(' ~ x ~ ')') }}
{% endmacro %}


{% macro rand() %}
    {{ return(adapter.dispatch('rand', 'dbt_expectations')()) }}
{% endmacro %}

{% macro default__rand() %}
    {{ return('random()') }}
{% endmacro %}

{% macro snowflake__rand() %}
    {{ return('uniform(0::float, 1::float, random())') }}
{% endmacro %}
