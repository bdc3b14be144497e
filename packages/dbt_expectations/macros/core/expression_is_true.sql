{#- The core of most tests: evaluates an expression per row, or per group, and returns those for which it is false.
    Null is not false, so a row whose expression is null passes. -#}
{% macro expression_is_true(model, expression, test_condition="= true", group_by_columns=None, row_condition=None) %}
    {{ return(adapter.dispatch('expression_is_true', 'dbt_expectations')(
        model, expression, test_condition, group_by_columns, row_condition
    )) }}
{% endmacro %}

{% macro default__expression_is_true(model, expression, test_condition, group_by_columns, row_condition) %}
{%- set groups = group_by_columns or [] -%}
with evaluated as (

    select
        {%- for column in groups %}
        {{ column }} as col_{{ loop.index }},
        {%- endfor %}
        {{ expression }} as expression
    from {{ model }}
    {{- dbt_expectations.where(row_condition) }}
    {%- if groups %}
    group by {{ groups | join(', ') }}
    {%- endif %}

)

select *
from evaluated
where not (expression {{ test_condition }})
{% endmacro %}


{% test expression_is_true(model, expression, test_condition="= true", group_by_columns=None, row_condition=None) %}
{{ dbt_expectations.expression_is_true(model, expression, test_condition, group_by_columns, row_condition) }}
{% endtest %}
