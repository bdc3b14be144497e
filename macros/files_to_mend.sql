{#- The files of a run and a feed that wait to be mended. -#}
{% macro files_of_run_to_mend(files, feed) %}
select
    source_file,
    state,
    failed_check,
    source_record,
    affected_rows,
    reason
from {{ files }}
where {{ of_run(feed) }}
order by source_file
{% endmacro %}


{#- Says on the console which these are: a failed test would only count them. -#}
{% macro show_files_to_mend(files, feed) %}
    {%- if at_work() -%}
        {%- for row in run_query(files_of_run_to_mend(files, feed)).rows -%}
            {%- set record = ', record ' ~ row['source_record'] if row['source_record'] else '' -%}
            {%- do log(row['state'] | upper ~ ' ' ~ row['source_file'] ~ record ~ ': ' ~ row['reason'], info=true) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}
