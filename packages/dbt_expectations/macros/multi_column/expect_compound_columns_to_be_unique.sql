{% test expect_compound_columns_to_be_unique(
    model, column_list, quote_columns=False, ignore_row_if="all_values_are_missing", row_condition=None
) %}
{{ dbt_expectations.repeated_rows(
    model, dbt_expectations.quoted(column_list, quote_columns), ignore_row_if, row_condition
) }}
{% endtest %}


{#- One row per combination of values that stands more than once. -#}
{% macro repeated_rows(model, columns, ignore_row_if, row_condition) %}
select
    {{ columns | join(',\n    ') }},
    count(*) as {{ adapter.quote('n_records') }}
from {{ model }}
where
    {%- if row_condition %}
    {{ dbt_expectations.condition(row_condition) }} and
    {%- endif %}
    {{ dbt_expectations.is_not_missing(columns, ignore_row_if) }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endmacro %}


{% macro quoted(column_list, quote_columns) %}
    {%- do dbt_expectations.check_filled_list('column_list', column_list) -%}
    {%- if quote_columns is not boolean -%}
        {{ exceptions.raise_compiler_error("quote_columns is true or false, not '" ~ quote_columns ~ "'.") }}
    {%- endif -%}
    {%- set columns = [] -%}
    {%- for column in column_list or [] -%}
        {%- do columns.append(adapter.quote(column) if quote_columns else dbt_expectations.expression(column)) -%}
    {%- endfor -%}
    {{ return(columns) }}
{% endmacro %}
