{#- Messages of a topic, whose values are JSON objects (`files: topics` in feeds.sql). A field of the contract is the field
    of that name; a column named like one of a message's own (message_columns) is that. Under `config.meta` a column may
    say `numbers: true` (text that may come as a JSON number) or `unknown_fields: true` (an object of all fields that the
    contract does not name).
    Text is a JSON string; a timestamp a string in ISO 8601 with an offset, or a number of milliseconds since 1970;
    json an object. Null and "" are empty. -#}

{#- What a message is besides its value, in the raw table: names and types. Without a length a text has at most 16 MB on
    Snowflake. On DuckDB Zstandard takes half the space that is taken otherwise, and less time to write. -#}
{% macro message_columns() %}
    {%- set long_text = 'varchar(134217728)' if target.type == 'snowflake' else 'varchar using compression zstd' -%}
    {{ return([
        ('kafka_topic', 'varchar'), ('kafka_generation', 'integer'), ('kafka_partition', 'integer'),
        ('kafka_offset', 'bigint'), ('sent_at', 'timestamp'), ('message_key', 'varchar'),
        ('message_value', long_text), ('message_bytes', long_text)
    ]) }}
{% endmacro %}


{#- The columns of a contract that are fields of the value, and not of the message. -#}
{% macro field_columns(contract) %}
    {%- set own = message_columns() | map('first') | list -%}
    {%- set fields = contract | rejectattr('name', 'in', own) -%}
    {{ return(fields | rejectattr('config.meta.unknown_fields', 'true') | list) }}
{% endmacro %}


{#- CTEs that end in `arrived`: of each column of the contract `raw_<name>`, as JSON of a field of the value, with
    `text_<name>`; and `value_problem`, why the value cannot be read at all. -#}
{% macro arrived_messages(contract, raw, landings) %}
{%- set fields, own = field_columns(contract), message_columns() | map('first') | list -%}
landed as (

    select
        *
        {{- keys_of_objects('message_value', contract) }}
    from {{ raw }}
    {%- if landings %}
    where landing_id in ({{ landings }})
    {%- endif %}

),

messages as (

    select
        *,
        case
            when message_value is null and message_bytes is null then 'value is missing'
            when message_value is null then 'value is not UTF-8'
            when not {{ is_json_object('message_value', contract) }}
                then 'value is not a JSON object in which each key stands once'
        end as value_problem
    from landed

),

documents as (

    select
        *,
        {{ json_document('case when value_problem is null then message_value end', fields) }}
    from messages

),

arrived as (

    select
        {% for column in contract -%}
        {%- if column.name in own -%}
        {{ column.name }} as raw_{{ column.name }},
        {% elif column.config.meta.unknown_fields -%}
        nullif({{ other_fields(fields) }}, '{}') as raw_{{ column.name }},
        {% else -%}
        nullif(nullif({{ field_as_json(fields, column) }}, 'null'), '""') as raw_{{ column.name }},
        {{ field_as_text(fields, column) }} as text_{{ column.name }},
        {% endif -%}
        {%- endfor -%}
        value_problem,
        source_file,
        source_record,
        file_date,
        landing_id
    from documents

)
{%- endmacro %}


{#- What a column of `arrived` is as its type; null where it is not one. -#}
{% macro typed_field(column) %}
    {%- set type, raw, text = column.data_type | lower, 'raw_' ~ column.name, 'text_' ~ column.name -%}
    {%- set is_text = 'left(' ~ raw ~ ", 1) = '\"'" -%}
    {%- if column.name in message_columns() | map('first') -%}
        {{ return(raw) }}
    {%- elif type == 'json' -%}
        {{ return('case when left(' ~ raw ~ ", 1) = '{' then " ~ as_json(raw) ~ ' end') }}
    {%- elif type == 'timestamp' -%}
        {#- An offset is not left to be guessed here. -#}
        {%- set pattern = (type_pattern(type) | trim)[:-1] -%}
        {%- set number = 'case when ' ~ full_match(raw, '-?[0-9]{1,13}') ~ ' then try_cast(' ~ raw ~ ' as bigint) end' -%}
        {{ return(
            'case when ' ~ is_text ~ ' then case when ' ~ full_match(text, pattern) ~ ' then ' ~ iso_to_utc(text)
            ~ ' end when ' ~ number ~ ' between -2208988800000 and 4102444799999 then ' ~ epoch_to_utc(number) ~ ' end'
        ) }}
    {%- elif type in ('varchar', 'text') -%}
        {%- set number = ' when ' ~ full_match(raw, '-?[0-9]{1,20}') ~ ' then ' ~ raw -%}
        {{ return(
            'case when ' ~ is_text ~ ' then ' ~ text ~ (number if column.config.meta.numbers else '') ~ ' end'
        ) }}
    {%- else -%}
        {{ exceptions.raise_compiler_error(
            'The column ' ~ column.name ~ ' is ' ~ type ~ ', which no field of a JSON value is read as: text, '
            ~ 'timestamp or json.'
        ) }}
    {%- endif -%}
{% endmacro %}


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


{#- A text that is JSON as a value of that type. -#}
{% macro as_json(text) %}
    {{ return(adapter.dispatch('as_json')(text)) }}
{% endmacro %}

{% macro duckdb__as_json(text) %}{{ return('cast(' ~ text ~ ' as json)') }}{% endmacro %}

{% macro snowflake__as_json(text) %}{{ return('cast(try_parse_json(' ~ text ~ ') as variant)') }}{% endmacro %}


{#- Milliseconds since 1970 as a timestamp in UTC. -#}
{% macro epoch_to_utc(milliseconds) %}
    {{ return(adapter.dispatch('epoch_to_utc')(milliseconds)) }}
{% endmacro %}

{% macro duckdb__epoch_to_utc(milliseconds) %}{{ return('epoch_ms(' ~ milliseconds ~ ')') }}{% endmacro %}

{% macro snowflake__epoch_to_utc(milliseconds) %}
    {{ return('cast(to_timestamp_ntz(' ~ milliseconds ~ ', 3) as timestamp_ntz)') }}
{% endmacro %}
