{#- Fails while a file of the run is refused or held. The other files have gone on: no model reads both a table and
    files_to_mend, so that nothing waits for this test. -#}
{% test no_file_to_mend(model, feed) %}
-- depends_on: {{ model }}
{{ files_of_run_to_mend(ref('files_to_mend'), feed) }}
{% endtest %}
