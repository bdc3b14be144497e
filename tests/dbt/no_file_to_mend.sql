-- Fails while a sales file of the run is refused or held. Nothing descends from the view: the other files have gone on.
{{ files_of_run_to_mend(ref('files_to_mend'), 'sales') }}
