{% test expect_column_values_to_not_be_in_set(model, column_name, value_set, quote_values=True, row_condition=None) %}
{{ dbt_expectations.rows_by_set(model, column_name, value_set, quote_values, row_condition, 'exists') }}
{% endtest %}
