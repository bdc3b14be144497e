{#- The columns that a relation has in the warehouse, in their order. Call it at run time. -#}
{% macro columns_of(model) %}
    {%- if model is string -%}
        {{ exceptions.raise_compiler_error("This test looks at columns, not at rows: it takes no `where`.") }}
    {%- endif -%}
    {{ return(adapter.get_columns_in_relation(model)) }}
{% endmacro %}


{#- A column's name without its quotes, as the catalog has it. -#}
{% macro unquoted(column_name) %}
    {{ return(column_name | replace('"', '')) }}
{% endmacro %}


{#- A list of names after a Jinja filter, such as upper or lower. -#}
{% macro transformed(names, transform) %}
    {{ return(names | map(transform) | list) }}
{% endmacro %}


{#- A select of literal rows; `rows` is a list of lists of SQL expressions, each as long as `names`. -#}
{% macro literal_rows(names, rows) %}
{%- for row in rows %}
    select
        {%- for name in names %}
        {{ row[loop.index0] }} as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    {%- if not loop.last %}
    union all
    {%- endif %}
{%- else %}
    select
        {%- for name in names %}
        null as {{ name }}{{ ',' if not loop.last }}
        {%- endfor %}
    where 1 = 0
{%- endfor %}
{% endmacro %}


{#- A text as an SQL literal of the warehouse's text type. -#}
{% macro text_literal(text) %}
    {{ return("cast('" ~ dbt.escape_single_quotes(text) ~ "' as " ~ dbt.type_string() ~ ")") }}
{% endmacro %}
