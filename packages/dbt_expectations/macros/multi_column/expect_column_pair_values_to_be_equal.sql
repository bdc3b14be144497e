{% test expect_column_pair_values_to_be_equal(model, column_A, column_B, row_condition=None) %}
{{ dbt_expectations.compared_pairs(model, column_A, '=', column_B, row_condition) }}
{% endtest %}
