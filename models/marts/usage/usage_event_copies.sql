{{ config(materialized='view', tags=['events']) }}

select
    typed.event_id,
    typed.user_id,
    typed.event_type,
    typed.event_timestamp,
    -- A log may have no times of its own.
    coalesce(typed.sent_at, typed.event_timestamp) as known_at,
    typed.source_file,
    typed.source_record
from {{ ref('typed_events') }} as typed
inner join {{ ref('file_verdicts') }} as verdicts on typed.landing_id = verdicts.landing_id
where typed.reject_reasons is null and {{ lets_through('verdicts.verdict') }}
