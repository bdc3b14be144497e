{#- The present without a zone, as the clock shows it in that of the variable `dbt_date:time_zone`, or in UTC. -#}
{% macro now() %}
    {{ return(adapter.dispatch('now', 'dbt_expectations')(var('dbt_date:time_zone', 'UTC'))) }}
{% endmacro %}

{% macro duckdb__now(zone) %}
    {{ return("cast(current_timestamp at time zone '" ~ zone ~ "' as timestamp)") }}
{% endmacro %}

{% macro snowflake__now(zone) %}
    {{ return("cast(convert_timezone('" ~ zone ~ "', current_timestamp()) as timestamp_ntz)") }}
{% endmacro %}


{#- The types of a time without a zone. -#}
{% macro type_timestamp() %}
    {{ return(adapter.dispatch('type_timestamp', 'dbt_expectations')()) }}
{% endmacro %}

{% macro default__type_timestamp() %}
    {{ return('timestamp') }}
{% endmacro %}

{% macro snowflake__type_timestamp() %}
    {{ return('timestamp_ntz') }}
{% endmacro %}


{% macro type_datetime() %}
    {{ return(dbt_expectations.type_timestamp()) }}
{% endmacro %}
