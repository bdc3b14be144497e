{#- The files with their headers; those of which a record is malformed, whose header is wrong, or that cannot be read
    at all, are refused here. By COPY, for it skips a file that is broken where a query of the stage would fail; line
    by line, for COPY takes more than a record may be, and says of a line, or of nothing, which one it does not
    take. -#}
{% macro snowflake_headers(refused, contract, files) %}
    {%- set columns, optional = contract | map(attribute='name') | list, optional_columns(contract) -%}
    {%- do run_query(snowflake_landing_lines()) -%}
    {%- set copied = run_query(snowflake_copy_lines(files)).rows -%}
    {%- set headers, unreadable, malformed, good = {}, {}, {}, [] -%}
    {%- for row in copied if row['status'] | upper != 'LOADED' -%}
        {%- do unreadable.update({snowflake_path(row['file']): row['first_error'] or 'it cannot be read'}) -%}
    {%- endfor -%}
    {%- for path, header, record, problem in run_query(snowflake_malformed()).rows -%}
        {%- do headers.update({path: header}) -%}
        {%- if problem is not none -%}{%- do malformed.update({path: (record | int, problem)}) -%}{%- endif -%}
    {%- endfor -%}
    {%- for file in files -%}
        {%- set path = file['source_file'] -%}
        {%- set names = header_names(headers.get(path, '')) -%}
        {%- set record, odd = malformed.get(path, (none, none)) -%}
        {%- set of_header = header_problem(path in headers, headers.get(path), names, columns, optional) -%}
        {%- if path in unreadable -%}
            {%- do snowflake_refuse(refused, file, none, unreadable[path]) -%}
        {%- elif of_header and record != 1 -%}
            {%- do snowflake_refuse(refused, file, 1 if path in headers else none, of_header) -%}
        {%- elif odd -%}
            {%- do snowflake_refuse(refused, file, record, odd) -%}
        {%- else -%}
            {%- do good.append({'header': headers[path], 'file': file}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(good) }}
{% endmacro %}


{% macro snowflake_landing_lines() %}
create or replace temporary table landing_lines (source_file varchar, line number, content varchar)
{% endmacro %}


{% macro snowflake_copy_lines(files, folder='raw/') %}
copy into landing_lines (source_file, line, content)
from (
    select
        concat('{{ folder }}', split_part(concat('/', metadata$filename), '/{{ folder }}', -1)),
        metadata$file_row_number,
        $1
    from @{{ var('landing_stage') }}
)
files = ({% for file in files %}{{ text_literal(file['source_file']) }}{{ ', ' if not loop.last }}{% endfor %})
file_format = (format_name = '{{ snowflake_format('landing_line') }}')
on_error = skip_file
purge = false
force = true
{% endmacro %}


{#- The names in a header, which is a CSV record. -#}
{% macro header_names(header) %}
    {%- set names = [] -%}
    {%- for quoted, plain in modules.re.findall('(?:^|,)(?:"((?:[^"]|"")*)"|([^",]*))', header) -%}
        {%- do names.append(quoted | replace('""', '"') or plain) -%}
    {%- endfor -%}
    {{ return(names) }}
{% endmacro %}


{#- What is wrong with a header; none for a good one. -#}
{% macro header_problem(is_there, header, names, columns, optional) %}
    {%- set lacking = columns | reject('in', names + optional) | join(', ') -%}
    {%- if not is_there -%}
        {{ return('0 bytes: not even a header') }}
    {%- elif not header -%}
        {{ return('the first line is blank: a header is expected') }}
    {%- elif names | map('lower') | unique | list | length < names | length -%}
        {{ return('column ' ~ repeated_name(names) ~ ' stands more than once in the header') }}
    {%- elif lacking -%}
        {{ return('the header lacks ' ~ lacking) }}
    {%- endif -%}
    {{ return(none) }}
{% endmacro %}


{% macro repeated_name(names) %}
    {%- set lower = names | map('lower') | list -%}
    {%- for name in names if lower.count(name | lower) > 1 -%}{{ return(name) }}{%- endfor -%}
{% endmacro %}
