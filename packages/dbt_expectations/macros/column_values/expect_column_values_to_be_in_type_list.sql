{% test expect_column_values_to_be_in_type_list(model, column_name, column_type_list) %}
{%- do dbt_expectations.check_filled_list('column_type_list', column_type_list) -%}
{{ dbt_expectations.columns_of_other_types(model, column_name, column_type_list) }}
{% endtest %}
