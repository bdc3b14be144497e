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
