{{ config(materialized='view', tags=['support_tickets']) }}

select
    ticket_id,
    customer_id,
    severity,
    opened_at,
    closed_at,
    valid_from,
    valid_to,
    source_file,
    source_record
from {{ ref('versions_support_tickets') }}
where not is_deleted
