{{ config(materialized='view') }}

with newest as (

    {{ newest_landings() }}

),

refused as (

    select * from {{ ref('refused_files') }}

),

unfinished as (

    {{ unfinished_files(ref('file_verdicts'), ref('load_ledger')) }}

)

select
    coalesce(refused.source_file, newest.source_file) as source_file,
    case when refused.source_file is null then newest.fingerprint else refused.fingerprint end as fingerprint,
    refused.source_file is not null as is_refused,
    unfinished.source_file is not null as is_unfinished
from newest
full outer join refused on newest.source_file = refused.source_file
left join unfinished on newest.source_file = unfinished.source_file
