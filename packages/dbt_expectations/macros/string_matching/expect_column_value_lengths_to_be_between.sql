{% test expect_column_value_lengths_to_be_between(
    model, column_name, min_value=None, max_value=None, row_condition=None, strictly=False
) %}
{{ dbt_expectations.expression_between(
    model, dbt.length(column_name) | trim, min_value, max_value, row_condition=row_condition, strictly=strictly
) }}
{% endtest %}
