{#- Which version of a key wins, everywhere: the newest `updated_at`; on a tie the greater typed content, column by
    column in the contract's order, null the smallest; then the smaller path and the smaller record number. Of a feed
    that says `first_by`, the version that is the first by those columns. The terms in their order, each with whether
    the greater value wins. -#}
{% macro version_order(feed, columns) %}
    {%- set terms = [] -%}
    {%- if feed.first_by is defined -%}
        {%- for column in feed.first_by -%}{%- do terms.append((column, false)) -%}{%- endfor -%}
    {%- else -%}
        {%- do terms.append(('updated_at', true)) -%}
        {%- for column in columns if column != 'updated_at' -%}{%- do terms.append((column, true)) -%}{%- endfor -%}
    {%- endif -%}
    {{ return(terms + [('source_file', false), ('source_record', false)]) }}
{% endmacro %}


{#- The order as an ORDER BY, the winner first. -#}
{% macro newest_first(feed, columns, row=none) %}
    {%- set order = [] -%}
    {%- for column, greater_wins in version_order(feed, columns) -%}
        {%- do order.append((row ~ '.' if row else '') ~ column ~ (' desc nulls last' if greater_wins else '')) -%}
    {%- endfor -%}
    {{ return(order | join(', ')) }}
{% endmacro %}


{#- The order between two rows: whether the row `a` beats the row `b`. -#}
{% macro is_newer(feed, columns, a, b) %}
case
    {%- for column, greater_wins in version_order(feed, columns) %}
    when {{ a }}.{{ column }} is distinct from {{ b }}.{{ column }}
        then {% if greater_wins -%}
        {{ b }}.{{ column }} is null or coalesce({{ a }}.{{ column }} > {{ b }}.{{ column }}, false)
        {%- else -%}
        {{ a }}.{{ column }} < {{ b }}.{{ column }}
        {%- endif %}
    {%- endfor %}
    else false
end
{%- endmacro %}


{#- The rows of a query that another one of the same key overtakes. Only keys that stand more than once are put in
    order, and the other rows stay as they came: a window over all would shuffle them, and with them the ranges of
    keys and days by which both engines skip the history. The query is a subquery each time: DuckDB keeps in memory
    what is read twice from a CTE. -#}
{% macro overtaken_rows(feed, columns, rows) %}
{%- set key = feed.key -%}
select versions.source_file, versions.source_record
from ({{ rows }}) as versions
where {{ key_value(key, 'versions') }} in (
    select {{ key_list(key, 'repeated') }}
    from ({{ rows }}) as repeated
    group by {{ key_list(key, 'repeated') }}
    having count(*) > 1
)
qualify row_number() over (
    partition by {{ key_list(key, 'versions') }}
    order by {{ newest_first(feed, columns, row='versions') }}
) > 1
{% endmacro %}
