-- Fails while a file of the run is refused or held. Nothing descends from the view: the other files have gone on.
{% do show_files_to_mend(ref('files_to_mend')) %}
select
    source_file,
    state,
    failed_check,
    source_record,
    affected_rows,
    reason
from {{ ref('files_to_mend') }}
where {{ of_run() }}
order by source_file
