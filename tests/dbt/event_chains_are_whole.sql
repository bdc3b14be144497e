{{ config(tags=['events']) }}

{#- The ranges of offsets of a partition follow one another from where its generation began. An object that is missing
    between two others was taken away after it had landed. -#}
with starts as (

    {{ rows_of_json(ref('topic_generations'), 'document', 'partitions') }}

),

firsts as (

    select
        split_part(source_file, '/', 3) as kafka_topic,
        cast(split_part(source_file, '/', 4) as integer) as kafka_generation,
        cast({{ json_text('element', 'partition') }} as integer) as kafka_partition,
        cast({{ json_text('element', 'first') }} as bigint) as first_offset
    from starts

),

ranges as (

    select
        *,
        lag(source_file) over (
            partition by kafka_topic, kafka_generation, kafka_partition
            order by first_offset
        ) as follows,
        lag(next_offset) over (
            partition by kafka_topic, kafka_generation, kafka_partition
            order by first_offset
        ) as follows_to
    from {{ ref('event_ledger') }}

),

expected as (

    select
        ranges.kafka_topic,
        ranges.kafka_generation,
        ranges.kafka_partition,
        ranges.first_offset,
        ranges.follows,
        ranges.source_file,
        -- A partition that was added later begins at 0.
        case
            when ranges.follows is null then coalesce(firsts.first_offset, 0)
            else ranges.follows_to
        end as expected_offset
    from ranges
    left join firsts
        on
            ranges.kafka_topic = firsts.kafka_topic
            and ranges.kafka_generation = firsts.kafka_generation
            and ranges.kafka_partition = firsts.kafka_partition

)

select *
from expected
where first_offset <> expected_offset
