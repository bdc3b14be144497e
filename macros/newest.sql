{#- Which version of a key wins, everywhere: the newest `updated_at`; on a tie the greater typed content, column by
    column in the contract's order, null the smallest; then the smaller path and the smaller record number. -#}

{% macro newest_first(columns, version='updated_at', row=none) %}
    {%- set of = row ~ '.' if row else '' -%}
    {%- set order = [of ~ version ~ ' desc'] -%}
    {%- for column in columns if column != version -%}
        {%- do order.append(of ~ column ~ ' desc nulls last') -%}
    {%- endfor -%}
    {{ return((order + [of ~ 'source_file', of ~ 'source_record']) | join(', ')) }}
{% endmacro %}


{#- The same order between two rows: whether the row `a` beats the row `b`. -#}
{% macro is_newer(a, b, columns, version='updated_at') %}
case
    when {{ a }}.{{ version }} <> {{ b }}.{{ version }} then {{ a }}.{{ version }} > {{ b }}.{{ version }}
    {%- for column in columns if column != version %}
    when {{ a }}.{{ column }} is distinct from {{ b }}.{{ column }}
        then {{ b }}.{{ column }} is null or coalesce({{ a }}.{{ column }} > {{ b }}.{{ column }}, false)
    {%- endfor %}
    when {{ a }}.source_file <> {{ b }}.source_file then {{ a }}.source_file < {{ b }}.source_file
    else {{ a }}.source_record < {{ b }}.source_record
end
{%- endmacro %}


{#- The rows of a query that another one of the same key overtakes. Only keys that stand more than once are put in order,
    and the other rows stay as they came: a window over all would shuffle them, and with them the ranges of keys and
    days by which both engines skip the history. Read it as a subquery: DuckDB keeps a CTE that is read twice in memory. -#}
{% macro overtaken_rows(rows, key, columns) %}
select rows_of_key.source_file, rows_of_key.source_record
from ({{ rows }}) as rows_of_key
where rows_of_key.{{ key }} in (select repeated.{{ key }} from ({{ rows }}) as repeated group by repeated.{{ key }} having count(*) > 1)
qualify row_number() over (
    partition by rows_of_key.{{ key }}
    order by {{ newest_first(columns, row='rows_of_key') }}
) > 1
{% endmacro %}
