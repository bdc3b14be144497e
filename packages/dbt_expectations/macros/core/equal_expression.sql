{#- An expression of this table against one of another, or of the same, per group. What the other table is not given, it
    takes from this one: its expression, groups and condition. A group that one side lacks counts as 0 there. -#}
{% test equal_expression(
    model,
    expression,
    compare_model=None,
    compare_expression=None,
    group_by=None,
    compare_group_by=None,
    row_condition=None,
    compare_row_condition=None,
    tolerance=0.0,
    tolerance_percent=None
) %}
{%- do dbt_expectations.check_given('expression', expression) -%}
{%- do dbt_expectations.check_list('group_by', group_by) -%}
{%- do dbt_expectations.check_list('compare_group_by', compare_group_by) -%}
{%- set groups = group_by or [] -%}
{%- set compare_groups = compare_group_by or groups -%}
{%- if groups | length != compare_groups | length -%}
    {{ exceptions.raise_compiler_error("group_by and compare_group_by are of the same length.") }}
{%- endif -%}
with this_table as (
    {{ dbt_expectations.grouped(model, expression, groups, row_condition) }}

),

other_table as (
    {{ dbt_expectations.grouped(
        compare_model or model, compare_expression or expression, compare_groups, compare_row_condition or row_condition
    ) }}

),

compared as (

    select
        {%- for _ in groups %}
        coalesce(this_table.col_{{ loop.index }}, other_table.col_{{ loop.index }}) as col_{{ loop.index }},
        {%- endfor %}
        this_table.expression,
        other_table.expression as compare_expression,
        abs(coalesce(this_table.expression, 0) - coalesce(other_table.expression, 0)) as expression_difference
    from this_table
    {%- if groups %}
    full outer join other_table
        on
            {%- for _ in groups %}
            {{ 'and ' if not loop.first }}this_table.col_{{ loop.index }} = other_table.col_{{ loop.index }}
            {%- endfor %}
    {%- else %}
    cross join other_table
    {%- endif %}

),

measured as (

    select
        *,
        expression_difference / nullif(expression * 1.0, 0) as expression_difference_percent
    from compared

)

select *
from measured
{%- if tolerance_percent %}
where expression_difference_percent > {{ tolerance_percent }}
{%- else %}
where expression_difference > {{ tolerance }}
{%- endif %}
{% endtest %}


{#- By their numbers, so that a constant can be a group, too. -#}
{% macro grouped(model, expression, groups, row_condition) %}
    select
        {%- for group in groups %}
        {{ dbt_expectations.expression(group) }} as col_{{ loop.index }},
        {%- endfor %}
        {{ dbt_expectations.expression(expression) }} as expression
    from {{ model }}
    {{- dbt_expectations.where(row_condition) }}
    {%- if groups %}
    group by {{ range(1, groups | length + 1) | join(', ') }}
    {%- endif %}
{%- endmacro %}
