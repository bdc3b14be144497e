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
    days by which both engines skip the history. The query is a subquery each time: DuckDB keeps in memory what is read
    twice from a CTE. -#}
{% macro overtaken_rows(rows, key, columns) %}
select versions.source_file, versions.source_record
from ({{ rows }}) as versions
where {{ key_value(key, 'versions') }} in (
    select {{ key_list(key, 'repeated') }} from ({{ rows }}) as repeated group by {{ key_list(key, 'repeated') }} having count(*) > 1
)
qualify row_number() over (
    partition by {{ key_list(key, 'versions') }}
    order by {{ newest_first(columns, row='versions') }}
) > 1
{% endmacro %}
