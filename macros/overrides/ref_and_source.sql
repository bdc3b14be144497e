{#- What a model or a source is called in a query. On DuckDB without the file's own catalog, whose name is that of
    the file: a view keeps the names that it was made with, and would not survive that somebody copies the file,
    renames it or attaches it under another name. DuckDB looks for them in the catalog of the view. What is deferred
    to production is in another file and keeps its whole name. -#}
{% macro ref() %}
    {{ return(by_schema(builtins.ref(*varargs, **kwargs))) }}
{% endmacro %}


{% macro source() %}
    {{ return(by_schema(builtins.source(*varargs, **kwargs))) }}
{% endmacro %}


{% macro by_schema(relation) %}
    {%- if target.type == 'duckdb' and relation.database == target.database -%}
        {{ return(relation.include(database=false)) }}
    {%- endif -%}
    {{ return(relation) }}
{% endmacro %}
