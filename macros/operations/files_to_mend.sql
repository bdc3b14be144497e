{#- The files of a run and a feed that wait to be mended, each with the command that lets it through if it is held. -#}
{% macro files_of_run_to_mend(files, feed) %}
select
    state,
    source_file,
    source_record,
    failed_check,
    affected_rows,
    received_rows,
    reason,
    case
        -- A name of two lines is not to be typed.
        when state = 'held' and source_file not like '%' || chr(10) || '%'
            then 'make release FILE=''' || replace(source_file, '''', '''"''"''') || ''' REASON="..."'
    end as release_it_by
from {{ files }}
where {{ of_run(feed) }}
order by source_file
{% endmacro %}
