{{ config(materialized="view") }}

-- depends_on: {{ ref("raw_sales") }}

with refused as (

    select * from {{ source('landing', 'refused_files') }}

),

held as (

    {{ held_landings(ref('file_verdicts')) }}

)

select
    source_file,
    file_date,
    'refused' as state,
    'well_formed' as failed_check,
    source_record,
    cast(null as bigint) as affected_rows,
    cast(null as bigint) as received_rows,
    reason
from refused

union all

select
    source_file,
    file_date,
    'held' as state,
    failed_checks as failed_check,
    cast(null as bigint) as source_record,
    case when failed_checks like '%reject_rate%' then rejected else received end as affected_rows,
    received as received_rows,
    case failed_checks
        when 'row_count' then 'the file has a header and no row'
        when 'freshness' then 'no sale in the two days up to ' || file_date
        else
            rejected || ' of ' || received || ' rows are rejected, more than {{ var("max_reject_rate") * 100 }} %'
            || case
                when failed_checks like '%freshness' then '; no sale in the two days up to ' || file_date else ''
            end
    end as reason
from held
-- One that has since been restated badly is refused.
where held.source_file not in (select refused.source_file from refused)
