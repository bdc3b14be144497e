{{ config(materialized='view', tags=['model_runs']) }}

select
    run_id,
    started_at,
    cast(snapshot_day as date) as snapshot_date,
    customers,
    churners,
    trained_on,
    measured_on,
    held_out,
    data_hash,
    parameters,
    measures,
    auc,
    logistic_regression_auc,
    base_rate_auc,
    model_hash,
    artefact,
    decision,
    why,
    configuration_before,
    configuration_after,
    updated_at as decided_at,
    source_file,
    source_record
from {{ ref('newest_model_runs') }}
where not is_deleted
