{#- JSON that the project wrote itself. -#}

{#- A row per element of an array in a JSON column: the columns of the table, and `element`. -#}
{% macro rows_of_json(table, column, array) %}
    {{ return(adapter.dispatch('rows_of_json')(table, column, array)) }}
{% endmacro %}

{% macro duckdb__rows_of_json(table, column, array) %}
select *, unnest(json_extract({{ column }}, '$.{{ array }}[*]')) as element
from {{ table }}
{% endmacro %}

{% macro snowflake__rows_of_json(table, column, array) %}
select documents.*, elements.value as element
from {{ table }} as documents, lateral flatten(input => get(parse_json(documents.{{ column }}), '{{ array }}')) as elements
{% endmacro %}


{#- A field of a JSON object as text. -#}
{% macro json_text(object, field) %}
    {{ return(adapter.dispatch('json_text')(object, field)) }}
{% endmacro %}

{% macro duckdb__json_text(object, field) %}
    {{ return("json_extract_string(" ~ object ~ ", '$." ~ field ~ "')") }}
{% endmacro %}

{% macro snowflake__json_text(object, field) %}
    {{ return("cast(get(" ~ object ~ ", '" ~ field ~ "') as varchar)") }}
{% endmacro %}
