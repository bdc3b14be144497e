{#- Null is in no set: leave such rows out by a row_condition. -#}
{% test expect_column_values_to_be_in_set(model, column_name, value_set, quote_values=True, row_condition=None) %}
{{ dbt_expectations.rows_by_set(model, column_name, value_set, quote_values, row_condition, 'not exists') }}
{% endtest %}


{#- The values for which a row of the set exists, or does not. -#}
{% macro rows_by_set(model, column_name, value_set, quote_values, row_condition, found) %}
with all_values as (

    select {{ column_name }} as value_field
    from {{ model }}
    {{- dbt_expectations.where(row_condition) }}

),

value_set as (
    {{ dbt_expectations.value_set_rows(value_set, quote_values) }}
)

select *
from all_values
where {{ found }} (select 1 from value_set where value_set.set_value = all_values.value_field)
{% endmacro %}


{#- A set of values as rows. Quoted values are put between quotes as they stand, so a quote within one is written twice;
    without `quote_values` they are SQL expressions. -#}
{% macro value_set_rows(value_set, quote_values) %}
    {%- do dbt_expectations.check_filled_list('value_set', value_set) -%}
    {%- set rows = [] -%}
    {%- for value in value_set or [] -%}
        {%- set quoted = "cast('" ~ value ~ "' as " ~ dbt.type_string() ~ ")" -%}
        {%- do rows.append([quoted if quote_values else dbt_expectations.expression(value)]) -%}
    {%- endfor -%}
    {{ return(dbt_expectations.literal_rows(['set_value'], rows)) }}
{% endmacro %}
