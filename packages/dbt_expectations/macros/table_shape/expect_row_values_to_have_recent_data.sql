{#- Later times than the present are taken for errors and left out. -#}
{% test expect_row_values_to_have_recent_data(model, column_name, datepart, interval, row_condition=None) %}
{%- do dbt_expectations.check_given('datepart', datepart) -%}
{%- do dbt_expectations.check_given('interval', interval) -%}
{%- if interval and interval is not number -%}
    {{ exceptions.raise_compiler_error("interval is a number, not '" ~ interval ~ "'.") }}
{%- endif -%}
{%- set timestamp = dbt_expectations.type_timestamp() -%}
{%- set now = dbt_expectations.now() -%}
with newest as (

    select
        max(cast({{ column_name }} as {{ timestamp }})) as max_timestamp,
        cast({{ dbt.dateadd(datepart, -(interval or 0), now) | trim }} as {{ timestamp }}) as expected_min
    from {{ model }}
    where
        {%- if row_condition %}
        {{ dbt_expectations.condition(row_condition) }} and
        {%- endif %}
        cast({{ column_name }} as {{ timestamp }}) <= {{ now }}

)

select *
from newest
where
    max_timestamp is null
    or max_timestamp < expected_min
{% endtest %}
