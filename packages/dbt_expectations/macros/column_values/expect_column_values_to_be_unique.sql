{% test expect_column_values_to_be_unique(model, column_name, row_condition=None) %}
{{ dbt_expectations.repeated_rows(model, [column_name], 'all_values_are_missing', row_condition) }}
{% endtest %}
