{#- Whether the value of a message is one JSON object in which no key stands twice, on either engine. -#}

{#- The columns of a contract that are objects of their own. -#}
{% macro object_columns(contract) %}
    {%- set objects = contract | selectattr('data_type', 'equalto', 'json') -%}
    {{ return(objects | rejectattr('config.meta.unknown_fields', 'true') | list) }}
{% endmacro %}


{#- The keys of a text that is JSON, and of its fields that are objects: columns that is_json_object reads. -#}
{% macro keys_of_objects(value, contract) %}
    {{ return(adapter.dispatch('keys_of_objects')(value, object_columns(contract))) }}
{% endmacro %}

{#- Deeper than in the fields that are objects keys are not compared. -#}
{% macro duckdb__keys_of_objects(value, objects) %}
    {%- for path in ['$'] + field_paths(objects) -%}
,
        case when json_valid({{ value }}) then json_keys({{ value }}, '{{ path }}') end as keys_{{ loop.index0 }}
    {%- endfor -%}
{% endmacro %}

{% macro snowflake__keys_of_objects(value, objects) %}{% endmacro %}


{#- Whether a text is a JSON object, strictly: both engines also take NaN, infinities and a comma at the end. -#}
{% macro is_json_object(value, contract) %}
    {{ return(adapter.dispatch('is_json_object')(value, object_columns(contract))) }}
{% endmacro %}


{% macro duckdb__is_json_object(value, objects) %}
case
            when keys_0 is null then false
            when json_type({{ value }}) <> 'OBJECT' then false
            {%- for number in range(objects | length + 1) %}
            when {{ has_repeats('keys_' ~ number) }} then false
            {%- endfor %}
            when {{ has_lax_json(value) }}
                then not ({{ has_lax_json('regexp_replace(' ~ value ~ ', ' ~ json_string() ~ ", '\"\"', 'g')") }})
            else true
        end
{%- endmacro %}


{#- For a few keys it costs half to look where each stands first, for many far more. With an arrow, for the linter knows
    no `lambda`. -#}
{% macro has_repeats(keys) %}
    {{ return(
        'case when len(' ~ keys ~ ') <= 30 then len(list_filter(' ~ keys ~ ', (key, place) -> list_position(' ~ keys
        ~ ', key) <> place)) > 0 else len(list_distinct(' ~ keys ~ ')) < len(' ~ keys ~ ') end'
    ) }}
{% endmacro %}


{#- Snowflake takes no object in which a key stands twice, however deep, but takes `[1,,2]`, and more than it documents. So
    each string and each other value of JSON becomes a 0 first, and what is left must look like JSON. -#}
{% macro snowflake__is_json_object(value, objects) %}
{%- set space = '[[:space:]]*' -%}
{%- set scalar = 'true|false|null|-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?' -%}
{%- set values_side_by_side, no_value = '0' ~ space ~ '0', '[[{,:]' ~ space ~ '[,:]|[,:]' ~ space ~ '[]}]' -%}
{%- set odd = '[^][{}:,0[:space:]]|' ~ values_side_by_side ~ '|' ~ no_value -%}
(
                coalesce(is_object(try_parse_json({{ value }})), false)
                and regexp_instr(
                    regexp_replace(regexp_replace({{ value }}, {{ json_string() }}, ' 0 '), '{{ scalar }}', '0'), '{{ odd }}'
                ) = 0
            )
{%- endmacro %}


{#- What no JSON has outside of its strings. A pattern each for what it begins with: one that begins with a character of
    its own is looked for several times faster. -#}
{% macro has_lax_json(value) %}
    {%- set no_number = '[-+]?([nN][aA][nN]|[iI][nN][fF])' -%}
    {%- set conditions = [] -%}
    {%- for pattern in [
        ':[[:space:]]*' ~ no_number, '[[][[:space:]]*' ~ no_number, ',[[:space:]]*([]}]|' ~ no_number ~ ')'
    ] -%}
        {%- do conditions.append('regexp_matches(' ~ value ~ ', ' ~ text_literal(pattern) ~ ')') -%}
    {%- endfor -%}
    {{ return(conditions | join(' or ')) }}
{% endmacro %}


{% macro json_string() %}
    {{ return(text_literal('"([^"\\\\]|\\\\.)*"')) }}
{% endmacro %}


{% macro field_paths(columns) %}
    {%- set paths = [] -%}
    {%- for column in columns -%}{%- do paths.append('$.' ~ column.name) -%}{%- endfor -%}
    {{ return(paths) }}
{% endmacro %}
