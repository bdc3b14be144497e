-- Fails while a file of the run is refused or held. Nothing descends from the view: the other files have gone on.
select *
from {{ ref('files_to_mend') }}
where {{ of_run() }}
order by source_file
