{#- Objects of messages as rows. A query of staged files takes few functions, so that they are copied as they are into a
    temporary table first. Without a length bytes have at most 8 MB, with the greatest one 64. -#}
{% macro snowflake_landing_messages() %}
create or replace temporary table landing_messages (
    source_file varchar, content_hash varchar, generation number, kafka_partition number, record_offset number,
    next_offset number, sent_at timestamp_ltz, message_key binary(67108864), message_value binary(67108864)
)
{% endmacro %}


{% macro snowflake_copy_messages(folder, objects) %}
copy into landing_messages (
    source_file, content_hash, generation, kafka_partition, record_offset, next_offset, sent_at, message_key,
    message_value
)
from (
    select
        concat('{{ folder }}', split_part(concat('/', metadata$filename), '/{{ folder }}', -1)),
        metadata$file_content_key,
        cast($1:"generation" as number),
        cast($1:"partition" as number),
        cast($1:"offset" as number),
        cast($1:"next" as number),
        cast($1:"timestamp" as timestamp_ltz),
        cast($1:"key" as binary(67108864)),
        cast($1:"value" as binary(67108864))
    from @{{ var('landing_stage') }}
)
files = ({% for object in objects %}{{ text_literal(object['source_file']) }}{{ ', ' if not loop.last }}{% endfor %})
file_format = (format_name = '{{ snowflake_format('landing_parquet') }}')
on_error = skip_file
purge = false
force = true
{% endmacro %}


{#- Of each object just copied what is to be registered, and why it is refused if it is not what its path says. -#}
{% macro snowflake_judge_messages(folder) %}
with counted as (
    select
        source_file,
        max(content_hash) as content_hash,
        count(*) as received,
        min(generation) as generation,
        min(kafka_partition) as kafka_partition,
        min(record_offset) as first_record,
        max(record_offset) as last_record,
        max(next_offset) as next_offset,
        count_if(
            generation is null or kafka_partition is null or record_offset is null or next_offset is null
        ) as incomplete,
        max(generation) - min(generation) + max(kafka_partition) - min(kafka_partition)
        + max(next_offset) - min(next_offset) as differing
    from landing_messages
    group by source_file
),

placed as (
    select
        *,
        '{{ folder }}' || split_part(source_file, '/', 3) || '/' || generation || '/' || kafka_partition || '/' as place,
        to_number(split_part(split_part(source_file, '/', 6), '.', 1)) as first_offset
    from counted
)

select
    source_file as "source_file",
    content_hash as "content_hash",
    received as "received",
    next_offset as "next_offset",
    case
        when incomplete > 0 then 'it has other columns than those that are landed'
        when differing > 0 then 'its rows are of several objects'
        when not startswith(source_file, place) then 'it says that it is of ' || place
        when first_record < first_offset or last_record >= next_offset
            then 'it holds offsets outside of those from its name to ' || next_offset
    end as "problem"
from placed
{% endmacro %}


{#- Each of `objects` is (object, what was found in it). -#}
{% macro snowflake_register_messages(landed, objects) %}
insert into {{ landed }} (
    source_file, content_hash, landing_id, is_typed, received, first_offset, next_offset, fingerprint
)
values
{%- for object, one in objects %}
{%- set path, fingerprint = object['source_file'], object['fingerprint'] %}
(
    {{ text_literal(path) }}, {{ text_literal(one['content_hash'] or fingerprint) }}, {{ object['landing_id'] }}, false,
    {{ one['received'] }}, {{ path.split('/')[-1].split('.')[0] | int }},
    {{ 'null' if one['next_offset'] is none else one['next_offset'] }}, {{ text_literal(fingerprint) }}
){{ ',' if not loop.last }}
{%- endfor %}
{% endmacro %}


{#- What is not UTF-8 is kept as hexadecimal digits. -#}
{% macro snowflake_insert_messages(relation, landed, objects) %}
insert into {{ relation }} (
    kafka_topic, kafka_generation, kafka_partition, kafka_offset, sent_at, message_key, message_value, message_bytes,
    source_file, content_hash, source_record, file_date, landing_id
)
select
    split_part(arrived.source_file, '/', 3),
    arrived.generation,
    arrived.kafka_partition,
    arrived.record_offset,
    cast(convert_timezone('UTC', arrived.sent_at) as timestamp_ntz),
    coalesce(
        try_hex_decode_string(hex_encode(arrived.message_key)), '0x' || hex_encode(arrived.message_key)
    ),
    try_hex_decode_string(hex_encode(arrived.message_value)),
    case
        when try_hex_decode_string(hex_encode(arrived.message_value)) is null then hex_encode(arrived.message_value)
    end,
    arrived.source_file,
    landed.content_hash,
    arrived.record_offset,
    null,
    landed.landing_id
from landing_messages as arrived
inner join {{ landed }} as landed
    on arrived.source_file = landed.source_file and landed.landing_id in ({{ snowflake_landing_ids(objects) }})
{% endmacro %}


{#- Registers generations: what their start.json say, line by line as they are. -#}
{% macro snowflake_take_generations(generations, folder, starts) %}
    {%- do run_query(snowflake_landing_lines()) -%}
    {%- set copied = run_query(snowflake_copy_lines(starts, folder)).rows -%}
    {%- for row in copied if row.get('file') and row['status'] | upper != 'LOADED' -%}
        {%- do exceptions.warn('Not read: ' ~ snowflake_path(row['file'], folder) ~ ': ' ~ row['first_error']) -%}
    {%- endfor -%}
    {%- do run_query(snowflake_register_generations(generations)) -%}
{% endmacro %}


{% macro snowflake_register_generations(generations) %}
insert into {{ generations }} (source_file, document)
select
    source_file,
    listagg(content, '\n') within group (order by line)
from landing_lines
group by source_file
{% endmacro %}
