{#- Strict typing. The engines' own casts take too much: DuckDB reads '1_000', '1.5' as 2 and drops the offset of a
    timestamp, Snowflake takes '1e3' and rounds. So a value must match a pattern, the same on both, before it is cast.
    The patterns have no backslash, which the engines read differently. -#}

{% macro full_match(value, pattern) %}
    {{ return(adapter.dispatch('full_match')(value, pattern)) }}
{% endmacro %}


{% macro duckdb__full_match(value, pattern) %}
    {{ return("regexp_full_match(" ~ value ~ ", '" ~ pattern ~ "')") }}
{% endmacro %}


{% macro snowflake__full_match(value, pattern) %}
    {{ return("regexp_like(" ~ value ~ ", '" ~ pattern ~ "')") }}
{% endmacro %}


{#- The pattern of a type's values; empty for text. -#}
{% macro type_pattern(data_type) %}
    {%- set type = data_type | lower -%}
    {%- set decimal = modules.re.fullmatch('decimal[(] *([0-9]+) *, *([0-9]+) *[)]', type) -%}
    {%- set scale = decimal[2] | int if decimal else 0 -%}
    {%- set whole = decimal[1] | int - scale if decimal else 0 -%}
    {%- if type in ('varchar', 'text') -%}
        {%- set pattern = '' -%}
    {%- elif type == 'boolean' -%}
        {%- set pattern = '(true|false|True|False|TRUE|FALSE)' -%}
    {%- elif type == 'integer' -%}
        {%- set pattern = '[+-]?[0-9]{1,18}' -%}
    {%- elif whole > 0 -%}
        {%- set pattern = '[+-]?[0-9]{1,' ~ whole ~ '}' ~ ('([.][0-9]{1,' ~ scale ~ '})?' if scale else '') -%}
    {%- elif type == 'timestamp' -%}
        {%- set pattern = '(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]'
            ~ '([.][0-9]{1,6})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?' -%}
    {%- else -%}
        {{ exceptions.raise_compiler_error("The contract has an unknown type: " ~ data_type) }}
    {%- endif -%}
    {{ return(pattern) }}
{% endmacro %}


{#- A text value as a type of the contract; null where it is not one. -#}
{% macro typed(value, data_type) %}
    {%- set type, pattern = data_type | lower, type_pattern(data_type) | trim -%}
    {%- set cast = 'try_cast(' ~ value ~ ' as ' ~ type ~ ')' -%}
    {%- if type == 'timestamp' -%}
        {%- set cast = iso_to_utc(value) -%}
    {%- elif type == 'integer' -%}
        {%- set cast = adapter.dispatch('within_32_bits')(cast) -%}
    {%- endif -%}
    {{ return('case when ' ~ full_match(value, pattern) ~ ' then ' ~ cast ~ ' end' if pattern else value) }}
{% endmacro %}


{#- An integer of DuckDB has 32 bits, one of Snowflake has 38 digits. A value that only one of them takes is none. -#}
{% macro duckdb__within_32_bits(cast) %}{{ return(cast) }}{% endmacro %}


{% macro snowflake__within_32_bits(cast) %}
    {{ return('case when ' ~ cast ~ ' between -2147483648 and 2147483647 then ' ~ cast ~ ' end') }}
{% endmacro %}


{#- What empty stands for, as a literal of the column's type: never SQL, and as strict as the values of a file. -#}
{% macro default_value(name, data_type, default) %}
    {%- set type, pattern, text = data_type | lower, type_pattern(data_type) | trim, default | string -%}
    {%- if not pattern and default is not string -%}
        {{ exceptions.raise_compiler_error(
            'The default of the column ' ~ name ~ ' is no text: YAML reads it as ' ~ text ~ '. Write it in quotes.'
        ) }}
    {%- elif default is float and text | length > 16 -%}
        {{ exceptions.raise_compiler_error(
            'The default ' ~ text ~ ' of the column ' ~ name ~ ' has more digits than YAML keeps. Write it in quotes.'
        ) }}
    {%- elif pattern and not modules.re.fullmatch(pattern, text) -%}
        {{ exceptions.raise_compiler_error(
            'The default ' ~ text ~ ' of the column ' ~ name ~ ' is not ' ~ data_type
            ~ '. Write a value as a file would have it.'
        ) }}
    {%- endif -%}
    {%- if type == 'timestamp' -%}
        {%- set time = modules.datetime.datetime.fromisoformat(text) -%}
        {%- set time = time.astimezone(modules.pytz.utc) if time.tzinfo else time -%}
        {%- set text = time.strftime('%Y-%m-%d %H:%M:%S.%f') -%}
    {%- endif -%}
    {{ return('cast(' ~ text_literal(text | lower) ~ ' as ' ~ type ~ ')' if pattern else text_literal(text)) }}
{% endmacro %}


{#- An ISO 8601 date and time as a timestamp in UTC: its offset is honoured, without one it is UTC. -#}
{% macro iso_to_utc(value) %}
    {{ return(adapter.dispatch('iso_to_utc')(value)) }}
{% endmacro %}


{% macro duckdb__iso_to_utc(value) %}
    {#- A plain cast drops an offset, and is the cheaper one where there is none to honour. -#}
    {%- set has_offset = "substr(" ~ value ~ ", -6, 1) in ('+', '-') and substr(" ~ value ~ ", -3, 1) = ':'" -%}
    {{ return(
        "case when " ~ has_offset ~ " then timezone('UTC', try_cast(" ~ value ~ " as timestamptz))"
        ~ " else try_cast(" ~ value ~ " as timestamp) end"
    ) }}
{% endmacro %}


{% macro snowflake__iso_to_utc(value) %}
    {%- set zoned = "replace(case when regexp_like(" ~ value ~ ", '.*[+-][0-9]{2}:[0-9]{2}') then " ~ value
        ~ " else replace(" ~ value ~ ", 'Z', '') || '+00:00' end, ' ', 'T')" -%}
    {{ return(
        "cast(convert_timezone('UTC', coalesce(try_to_timestamp_tz(" ~ zoned ~ ", 'YYYY-MM-DDTHH24:MI:SSTZH:TZM'), "
        ~ "try_to_timestamp_tz(" ~ zoned ~ ", 'YYYY-MM-DDTHH24:MI:SS.FFTZH:TZM'))) as timestamp_ntz)"
    ) }}
{% endmacro %}
