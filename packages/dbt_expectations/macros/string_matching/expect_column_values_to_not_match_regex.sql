{% test expect_column_values_to_not_match_regex(
    model, column_name, regex, row_condition=None, is_raw=False, flags=""
) %}
{%- do dbt_expectations.check_given('regex', regex) -%}
{{ dbt_expectations.expression_is_true(
    model,
    'not ' ~ dbt_expectations.regexp_matches(column_name, regex, is_raw, flags),
    row_condition=row_condition,
    shown={'actual_value': column_name}
) }}
{% endtest %}
