{{ config(materialized='view', tags=['events']) }}

with losses as (

    {{ rows_of_json(ref('topic_generations'), 'document', 'losses') }}

)

select
    cast(split_part(source_file, '/', 3) as varchar) as kafka_topic,
    cast({{ json_text('element', 'generation') }} as integer) as kafka_generation,
    cast({{ json_text('element', 'partition') }} as integer) as kafka_partition,
    {{ json_text('element', 'kind') }} as kind,
    cast({{ json_text('element', 'first') }} as bigint) as first_offset,
    cast({{ json_text('element', 'next') }} as bigint) as next_offset,
    {{ json_text('element', 'message') }} as message,
    source_file
from losses
