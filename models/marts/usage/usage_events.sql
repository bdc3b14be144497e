{{ config(
    materialized='newest_version',
    unique_key=['event_id'],
    meta={'loads': 'events', 'duplicates_within_days': var('duplicates_within_days', none)},
    tags=['events'],
    pre_hook="{{ behind_the_gate('events') }}"
) }}

select
    -- ids
    event_id,
    user_id,

    -- what
    event_type,
    properties,
    other_fields,

    -- times
    event_timestamp,
    cast(extract(hour from event_timestamp) as integer) as hour_of_day,
    sent_at,

    -- where the event stands in the log
    kafka_topic,
    kafka_generation,
    kafka_partition,
    kafka_offset,

    -- and in the landing zone
    source_file,
    source_record,
    landing_id
from {{ ref('clean_events') }}
