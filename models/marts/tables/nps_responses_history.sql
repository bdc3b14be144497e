{{ config(materialized='view', tags=['nps_responses']) }}

select
    response_id,
    customer_id,
    score,
    responded_at,
    valid_from,
    valid_to,
    source_file,
    source_record
from {{ ref('versions_nps_responses') }}
where not is_deleted
