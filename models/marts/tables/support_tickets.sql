{{ config(materialized='view', tags=['support_tickets']) }}

select
    ticket_id,
    customer_id,
    severity,
    opened_at,
    closed_at,
    updated_at,
    source_file,
    source_record
from {{ ref('newest_support_tickets') }}
where not is_deleted
