{{ config(materialized='view', tags=['nps_responses']) }}

select
    response_id,
    customer_id,
    score,
    responded_at,
    updated_at,
    source_file,
    source_record
from {{ ref('newest_nps_responses') }}
where not is_deleted
