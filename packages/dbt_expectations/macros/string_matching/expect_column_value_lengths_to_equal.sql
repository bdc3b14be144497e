{% test expect_column_value_lengths_to_equal(model, column_name, value, row_condition=None) %}
{%- do dbt_expectations.check_given('value', value) -%}
{%- set length = dbt.length(column_name) | trim -%}
{{ dbt_expectations.expression_is_true(
    model, length ~ ' = ' ~ value, row_condition=row_condition, shown={'actual_value': length, 'expected_value': value}
) }}
{% endtest %}
