{#- The fields of the value of a message, on either engine: as JSON, as text, and those that no contract names. -#}

{#- What the fields are taken from. -#}
{% macro json_document(value, fields) %}
    {{ return(adapter.dispatch('json_document')(value, fields)) }}
{% endmacro %}


{#- All fields at once, for each call reads the whole value. -#}
{% macro duckdb__json_document(value, fields) -%}
{{ value }} as document,
        json_transform({{ value }}, '{{ fields_as('JSON', fields) }}') as json_fields,
        json_transform({{ value }}, '{{ fields_as('VARCHAR', fields) }}') as text_fields
{%- endmacro %}


{% macro fields_as(type, fields) %}
    {%- set types = [] -%}
    {%- for column in fields -%}{%- do types.append('"' ~ column.name ~ '": "' ~ type ~ '"') -%}{%- endfor -%}
    {{ return('{' ~ types | join(', ') ~ '}') }}
{% endmacro %}


{% macro snowflake__json_document(value, fields) -%}
try_parse_json({{ value }}) as document
{%- endmacro %}


{% macro field_as_json(fields, column) %}
    {{ return(adapter.dispatch('field_as_json')(fields, column)) }}
{% endmacro %}

{% macro duckdb__field_as_json(fields, column) %}
    {{ return("cast(json_fields['" ~ column.name ~ "'] as varchar)") }}
{% endmacro %}

{% macro snowflake__field_as_json(fields, column) %}
    {{ return("cast(to_json(get(document, '" ~ column.name ~ "')) as varchar)") }}
{% endmacro %}


{% macro field_as_text(fields, column) %}
    {{ return(adapter.dispatch('field_as_text')(fields, column)) }}
{% endmacro %}

{% macro duckdb__field_as_text(fields, column) %}
    {{ return("text_fields['" ~ column.name ~ "']") }}
{% endmacro %}

{% macro snowflake__field_as_text(fields, column) %}
    {{ return("cast(get(document, '" ~ column.name ~ "') as varchar)") }}
{% endmacro %}


{#- The document without some fields. -#}
{% macro other_fields(fields) %}
    {{ return(adapter.dispatch('other_fields')(fields | map(attribute='name') | list)) }}
{% endmacro %}

{#- RFC 7396: a null in the patch takes the field away. The document is read once more only if it has other fields. -#}
{% macro duckdb__other_fields(names) %}
    {%- set found = [] -%}
    {%- for name in names -%}
        {%- do found.append("cast(json_fields['" ~ name ~ "'] is not null as integer)") -%}
    {%- endfor -%}
    {{ return(
        'case when len(keys_0) > ' ~ found | join(' + ') ~ " then cast(json_merge_patch(document, '{\""
        ~ names | join('": null, "') ~ "\": null}') as varchar) end"
    ) }}
{% endmacro %}

{% macro snowflake__other_fields(names) %}
    {{ return(
        "cast(to_json(cast(object_delete(cast(document as object), '" ~ names | join("', '")
        ~ "') as variant)) as varchar)"
    ) }}
{% endmacro %}
