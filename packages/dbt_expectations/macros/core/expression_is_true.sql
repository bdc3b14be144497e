{#- The core of most tests: evaluates an expression per row, or per group, and returns those for which it is false.
    Null is not false, so a row whose expression is null passes. `shown` are further columns of the failing rows, by
    name, each an expression of the same grain. -#}
{% macro expression_is_true(
    model, expression, test_condition="= true", group_by_columns=None, row_condition=None, shown={}
) %}
    {%- do dbt_expectations.check_list('group_by_columns', group_by_columns) -%}
    {{ return(adapter.dispatch('expression_is_true', 'dbt_expectations')(
        model, expression, test_condition, group_by_columns, row_condition, shown
    )) }}
{% endmacro %}

{% macro default__expression_is_true(model, expression, test_condition, group_by_columns, row_condition, shown={}) %}
{%- set expression = dbt_expectations.expression(expression) -%}
{%- set test_condition = dbt_expectations.expression(test_condition) -%}
{%- if not group_by_columns and dbt_expectations.is_of_one_row(expression) -%}
select
    {%- for name, value in shown.items() %}
    {{ dbt_expectations.expression(value) }} as {{ name }},
    {%- endfor %}
    {{ expression }} as expression,
    *
from {{ model }}
where
    {%- if row_condition %}
    {{ dbt_expectations.condition(row_condition) }} and
    {%- endif %}
    not (({{ expression }}) {{ test_condition }})
{%- else -%}
with evaluated as (

    select
        {%- for column in group_by_columns or [] %}
        {{ dbt_expectations.expression(column) }} as col_{{ loop.index }},
        {%- endfor %}
        {%- for name, value in shown.items() %}
        {{ dbt_expectations.expression(value) }} as {{ name }},
        {%- endfor %}
        {{ expression }} as expression
    from {{ model }}
    {{- dbt_expectations.where(row_condition) }}
    {%- if group_by_columns %}
    group by {% for column in group_by_columns %}{{ dbt_expectations.expression(column) }}{{ ', ' if not loop.last }}{% endfor %}
    {%- endif %}

)

select *
from evaluated
where not (expression {{ test_condition }})
{%- endif %}
{% endmacro %}


{#- Whether an expression is certainly of one row, so that the whole row can be shown: all that it calls is known not to
    aggregate. -#}
{% macro is_of_one_row(expression) %}
    {%- set without_text = modules.re.sub("'[^']*'", "''", expression | string | lower) -%}
    {%- set calls = modules.re.findall('(\\w+)"?\\s*[(]', without_text) -%}
    {{ return(calls | reject('in', [
        'and', 'or', 'not', 'in', 'when', 'then', 'else', 'between', 'like',
        'abs', 'cast', 'coalesce', 'date', 'decimal', 'length', 'lower', 'nullif', 'number', 'numeric', 'regexp_instr',
        'regexp_matches', 'round', 'trim', 'try_cast', 'upper', 'varchar',
    ]) | list | length == 0) }}
{% endmacro %}


{% test expression_is_true(model, expression, test_condition="= true", group_by_columns=None, row_condition=None) %}
{%- do dbt_expectations.check_given('expression', expression) -%}
{{ dbt_expectations.expression_is_true(model, expression, test_condition, group_by_columns, row_condition) }}
{% endtest %}
