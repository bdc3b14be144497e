{#- The filter of an optional row_condition. -#}
{% macro where(row_condition=None) %}
{%- if row_condition %}
    where {{ dbt_expectations.expression(row_condition) }}
{%- endif -%}
{% endmacro %}


{#- A condition beside others: an `or` in it, or a comment at its end, is its own. -#}
{% macro condition(text) %}
    {{ return('(' ~ dbt_expectations.expression(text) ~ ')') }}
{% endmacro %}


{#- An expression after which the line may go on: a comment at its end would take the rest along. -#}
{% macro expression(text) %}
    {{ return(text ~ ('\n' if '--' in text | string else '')) }}
{% endmacro %}


{#- True for the rows that `ignore_row_if` leaves in: those with a value in any, or in each, of the columns. -#}
{% macro is_not_missing(columns, ignore_row_if) %}
    {%- set operators = {'all_values_are_missing': ' or ', 'any_value_is_missing': ' and '} -%}
    {%- if ignore_row_if not in operators -%}
        {{ exceptions.raise_compiler_error(
            "ignore_row_if is one of " ~ operators.keys() | join(', ') ~ ", not '" ~ ignore_row_if ~ "'."
        ) }}
    {%- endif -%}
    {%- set present = [] -%}
    {%- for column in columns -%}
        {%- do present.append(column ~ ' is not null') -%}
    {%- endfor -%}
    {{ return('(' ~ present | join(operators[ignore_row_if]) ~ ')') }}
{% endmacro %}
