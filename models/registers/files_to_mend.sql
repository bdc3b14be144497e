{{ config(materialized='view') }}

-- depends_on: {{ ref('typed_sales') }}

with refused as (

    select *
    from {{ ref('refused_files') }}
    where {{ of_known_feeds() }}

),

held as (

    {{ held_landings(ref('file_verdicts')) }}

)

select
    source_file,
    file_date,
    cast('refused' as varchar) as state,
    cast('well_formed' as varchar) as failed_check,
    source_record,
    cast(null as bigint) as affected_rows,
    cast(null as bigint) as received_rows,
    reason
from refused

union all

select
    source_file,
    file_date,
    cast('held' as varchar) as state,
    failed_checks as failed_check,
    cast(null as bigint) as source_record,
    case when failed_checks like '%reject_rate%' then rejected else received end as affected_rows,
    received as received_rows,
    cast(substr(
        case when failed_checks like '%row_count%' then '; the file has a header and no row' else '' end
        || case
            when failed_checks like '%reject_rate%'
                then
                    '; ' || rejected || ' of ' || received
                    || ' rows are rejected, more than {{ "%g" % (max_reject_rate() * 100) }} %'
                    || coalesce('; most often: ' || commonest_reason, '')
                    || case
                        when commonest_reason like '% is not integer%' or commonest_reason like '% is not decimal(%'
                            then
                                '. If the sender means it so, widen the type in the contract as docs/add-a-table.md'
                                || ' says, or release the file'
                        else ''
                    end
            else ''
        end
        || case
            when failed_checks like '%freshness%'
                then '; no row of the days up to ' || file_date || ' that the contract calls fresh'
            else ''
        end
        || case
            when failed_checks like '%volume%'
                then '; ' || valid || ' valid rows, far fewer than in the extract before'
            else ''
        end,
        3
    ) as varchar) as reason
from held
-- One that has since been restated badly is refused.
where held.source_file not in (select refused.source_file from refused) and {{ of_known_feeds('held.source_file') }}
