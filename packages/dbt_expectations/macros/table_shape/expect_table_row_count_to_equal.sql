{% test expect_table_row_count_to_equal(model, value, group_by=None, row_condition=None) %}
{%- do dbt_expectations.check_given('value', value) -%}
{{ dbt_expectations.expression_is_true(
    model,
    'count(*) = ' ~ value,
    group_by_columns=group_by,
    row_condition=row_condition,
    shown={'actual_value': 'count(*)', 'expected_value': value}
) }}
{% endtest %}
