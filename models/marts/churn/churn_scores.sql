{{ config(materialized='view', tags=['churn_scores']) }}

select
    customer_id,
    cast(snapshot_day as date) as snapshot_date,
    model_hash,
    probability,
    reason_1,
    moved_1,
    reason_2,
    moved_2,
    reason_3,
    moved_3,
    updated_at as scored_at,
    source_file,
    source_record
from {{ ref('newest_churn_scores') }}
where not is_deleted
