{{ config(materialized='view', tags=['events']) }}

-- depends_on: {{ ref('usage_events') }}
with landed as (

    {{ newest_landings() }}

)

select
    cast(split_part(landed.source_file, '/', 3) as varchar) as kafka_topic,
    cast(split_part(landed.source_file, '/', 4) as integer) as kafka_generation,
    cast(split_part(landed.source_file, '/', 5) as integer) as kafka_partition,
    landed.first_offset,
    landed.next_offset,
    landed.received as received_events,
    ledger.current_rows as current_events,
    ledger.superseded_rows as duplicate_events,
    ledger.rejected_rows as rejected_events,
    landed.source_file
from landed
left join {{ ref('load_ledger') }} as ledger on landed.source_file = ledger.source_file
where {{ of_feed('events', 'landed.source_file') }}
