-- Every row of every file is in exactly one state.
-- depends_on: {{ ref("daily_sales") }}
select
    source_file,
    received_rows,
    current_rows,
    superseded_rows,
    rejected_rows,
    held_rows
from {{ ref('load_ledger') }}
where
    received_rows <> current_rows + superseded_rows + rejected_rows + held_rows
    or least(current_rows, superseded_rows, rejected_rows, held_rows) < 0
