{#- Rows or groups whose expression lies outside of a range; either end may be left open, but not both. -#}
{% macro expression_between(
    model, expression, min_value=None, max_value=None, group_by_columns=None, row_condition=None, strictly=False
) %}
    {%- if min_value is none and max_value is none -%}
        {{ exceptions.raise_compiler_error("A range needs min_value, max_value or both.") }}
    {%- endif -%}
    {%- set equal = '' if strictly else '=' -%}
    {%- set expression = dbt_expectations.expression(expression) -%}
    {%- set bounds = [] -%}
    {%- set shown = {'actual_value': expression} -%}
    {%- if min_value is not none -%}
        {%- do bounds.append(expression ~ ' >' ~ equal ~ ' ' ~ dbt_expectations.expression(min_value)) -%}
        {%- do shown.update({'expected_min': min_value}) -%}
    {%- endif -%}
    {%- if max_value is not none -%}
        {%- do bounds.append(expression ~ ' <' ~ equal ~ ' ' ~ dbt_expectations.expression(max_value)) -%}
        {%- do shown.update({'expected_max': max_value}) -%}
    {%- endif -%}
    {{ return(dbt_expectations.expression_is_true(
        model,
        bounds | join(' and '),
        group_by_columns=group_by_columns,
        row_condition=row_condition,
        shown=shown
    )) }}
{% endmacro %}


{% test expression_between(
    model, expression, min_value=None, max_value=None, group_by_columns=None, row_condition=None, strictly=False
) %}
{%- do dbt_expectations.check_given('expression', expression) -%}
{{ dbt_expectations.expression_between(
    model, expression, min_value, max_value, group_by_columns, row_condition, strictly
) }}
{% endtest %}
