{#- Compares with the type's name as the warehouse lists it, whatever the case. A column that does not exist is of no
    other type: expect_column_to_exist is the test for that. -#}
{% test expect_column_values_to_be_of_type(model, column_name, column_type) %}
{%- if execute -%}
{%- set others = [] -%}
{%- for column in dbt_expectations.columns_of(model) -%}
    {%- if column.name | upper == column_name | upper and column.dtype | upper != column_type | upper -%}
        {%- do others.append([
            dbt_expectations.text_literal(column.name),
            dbt_expectations.text_literal(column.dtype),
            dbt_expectations.text_literal(column_type),
        ]) -%}
    {%- endif -%}
{%- endfor -%}
{{ dbt_expectations.literal_rows(['column_name', 'column_type', 'expected_type'], others) }}
{%- endif -%}
{% endtest %}
