{% test expect_column_pair_values_A_to_be_greater_than_B(
    model, column_A, column_B, or_equal=False, row_condition=None
) %}
{{ dbt_expectations.compared_pairs(model, column_A, '>=' if or_equal else '>', column_B, row_condition) }}
{% endtest %}


{% macro compared_pairs(model, column_A, operator, column_B, row_condition) %}
    {%- do dbt_expectations.check_given('column_A', column_A) -%}
    {%- do dbt_expectations.check_given('column_B', column_B) -%}
    {{ return(dbt_expectations.expression_is_true(
        model,
        dbt_expectations.expression(column_A) ~ ' ' ~ operator ~ ' ' ~ column_B,
        row_condition=row_condition,
        shown={'value_a': column_A, 'value_b': column_B}
    )) }}
{% endmacro %}
