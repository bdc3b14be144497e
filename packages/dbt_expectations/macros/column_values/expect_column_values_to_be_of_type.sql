{% test expect_column_values_to_be_of_type(model, column_name, column_type) %}
{%- do dbt_expectations.check_given('column_type', column_type) -%}
{{ dbt_expectations.columns_of_other_types(model, column_name, [column_type]) }}
{% endtest %}


{#- Compares with the type's name as the warehouse lists it, whatever the case. A column that does not exist is of no
    other type: expect_column_to_exist is the test for that. -#}
{% macro columns_of_other_types(model, column_name, column_types) %}
{%- if execute -%}
{%- set expected = column_types | map('string') | map('upper') | list -%}
{%- set others = [] -%}
{%- for column in dbt_expectations.columns_of(model) -%}
    {%- if column.name | upper == dbt_expectations.unquoted(column_name) | upper
        and column.dtype | upper not in expected -%}
        {%- do others.append([
            dbt_expectations.text_literal(column.name),
            dbt_expectations.text_literal(column.dtype),
            dbt_expectations.text_literal(column_types | join(', ')),
        ]) -%}
    {%- endif -%}
{%- endfor -%}
{{ dbt_expectations.literal_rows(['column_name', 'column_type', 'expected_type'], others) }}
{%- endif -%}
{% endmacro %}
