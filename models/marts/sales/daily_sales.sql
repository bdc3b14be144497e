{{ config(
    materialized='incremental',
    incremental_strategy='merge_newest',
    unique_key='sale_id',
    feed={'raw': 'raw_sales', 'contract': 'typed_sales', 'verdicts': 'file_verdicts', 'day': 'sold_at'},
    pre_hook=['{{ stop_if_rows_are_missing() if execute }}', '{{ create_touched_days() }}'],
    post_hook=[
        '{{ recount_ledger() if execute and not is_incremental() }}',
        '{{ mark_all_days() if execute and not (is_incremental() or is_audit()) }}',
        '{{ drop_temporary_tables() if execute }}'
    ]
) }}

-- Every model that a test of the gate reads is named, so that a failing one stops the merge:
-- depends_on: {{ ref('raw_sales') }}, {{ ref('typed_sales') }}, {{ ref('file_verdicts') }}, {{ ref('clean_sales') }}
-- depends_on: {{ ref('rejected_sales') }}, {{ ref('load_ledger') }}, {{ source('landing', 'landed_files') }}
{{ newest_versions(ref('typed_sales'), ref('clean_sales'), key='sale_id') }}
