{#- Says on the console which files of the run wait to be mended: a failed test would only count them. -#}
{% macro show_files_to_mend(files) %}
    {%- if at_work() -%}
        {%- set query = 'select state, source_file, source_record, reason from ' ~ files ~ ' where ' ~ of_run() -%}
        {%- for state, file, record, reason in run_query(query ~ ' order by source_file').rows -%}
            {%- do log(state | upper ~ ' ' ~ file ~ (', record ' ~ record if record else '') ~ ': ' ~ reason, info=true) -%}
        {%- endfor -%}
    {%- endif -%}
{% endmacro %}
