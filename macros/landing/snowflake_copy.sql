{#- Copies files of one header and registers them; those that are malformed are refused, and no row of them is left. -#}
{% macro snowflake_take(relation, landed, refused, contract, header, files) %}
    {%- set columns, names = contract | map(attribute='name') | list, header_names(header) -%}
    {%- set extra = names | reject('in', columns) | join(', ') -%}
    {%- set by_path, bad, good = {}, [], [] -%}
    {%- for file in files -%}{%- do by_path.update({file['source_file']: file}) -%}{%- endfor -%}
    {%- do run_query('begin') -%}
    {%- set copied = run_query(snowflake_copy_files(relation, columns, names, files)).rows -%}
    {%- set hashes, nul = {}, {} -%}
    {%- for path, content_hash, record in run_query(snowflake_loaded(relation, columns, files)).rows -%}
        {%- do hashes.update({path: content_hash}) -%}
        {%- if record is not none -%}{%- do nul.update({path: record}) -%}{%- endif -%}
    {%- endfor -%}
    {%- for row in copied -%}
        {%- set file = by_path[snowflake_path(row['file'])] -%}
        {%- if row['status'] | upper != 'LOADED' -%}
            {%- set odd = modules.re.search("'(.*) in record ([0-9]+)'", row['first_error'] or '') -%}
            {%- set record = odd.group(2) if odd else row['first_error_line'] -%}
            {%- set problem = odd.group(1) if odd else row['first_error'] or 'not well-formed CSV' -%}
            {%- do bad.append((file, record, problem)) -%}
        {%- elif file['source_file'] in nul -%}
            {%- do bad.append((file, nul[file['source_file']], 'a NUL byte')) -%}
        {%- else -%}
            {#- A file without a row has no metadata. -#}
            {%- do good.append((file, row['rows_loaded'], hashes.get(file['source_file'], file['fingerprint']))) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if nul -%}{%- do run_query(snowflake_forget_rows(relation, files, nul)) -%}{%- endif -%}
    {%- if good -%}{%- do run_query(snowflake_register(landed, good, extra)) -%}{%- endif -%}
    {%- set mended = good | map('first') | selectattr('change', 'equalto', 'mended') -%}
    {%- set mended = mended | map(attribute='source_file') | list -%}
    {%- if mended -%}{%- do run_query(snowflake_mended(refused, mended)) -%}{%- endif -%}
    {%- do run_query('commit') -%}
    {%- for file, record, problem in bad -%}{%- do snowflake_refuse(refused, file, record, problem) -%}{%- endfor -%}
    {%- for file, received, content_hash in good -%}
        {%- do log(file['source_file'] ~ ': ' ~ received ~ ' records', info=true) -%}
        {%- if extra -%}
            {%- do exceptions.warn(
                file['source_file'] ~ ': ' ~ received ~ ' records; ignored the extra column(s) ' ~ extra
            ) -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}


{#- A query of staged files takes a record of any number of fields, so a wrong one is made an error of conversion,
    which skips the file and names the record. FORCE, since a restated file may come back to a content that the load
    history remembers; it forgets after 64 days, the registers never do. -#}
{% macro snowflake_copy_files(relation, columns, names, files) %}
{%- set path = "concat('raw/', split_part(concat('/', metadata$filename), '/raw/', -1))" -%}
copy into {{ relation }} (
    {{ columns | join(', ') }}, source_file, content_hash, source_record, file_date, landing_id
)
from (
    select
        {% for column in columns -%}
        {{ '$' ~ (names.index(column) + 1) if column in names else 'null' }},
        {% endfor -%}
        {{ path }},
        metadata$file_content_key,
        case
            when ${{ names | length }} is null or ${{ names | length + 1 }} is not null
                then cast('other fields than the header in record ' || metadata$file_row_number as number)
            else metadata$file_row_number
        end,
        to_date(split_part({{ path }}, '/', 3)),
        case {{ path }}
            {% for file in files -%}
            when {{ text_literal(file['source_file']) }} then {{ file['landing_id'] }}
            {% endfor -%}
        end
    from @{{ var('landing_stage') }}
)
files = ({% for file in files %}{{ text_literal(file['source_file']) }}{{ ', ' if not loop.last }}{% endfor %})
file_format = (format_name = '{{ snowflake_format('landing_csv') }}')
on_error = skip_file
purge = false
force = true
{% endmacro %}


{% macro snowflake_landing_ids(files) %}
{%- for file in files %}{{ file['landing_id'] }}{{ ', ' if not loop.last }}{% endfor -%}
{% endmacro %}


{#- Of each file just copied: the checksum of what was read, which may be newer than what was listed, and the first
    record with a NUL byte. -#}
{% macro snowflake_loaded(relation, columns, files) %}
select
    source_file,
    max(content_hash) as content_hash,
    min(case
        when {% for column in columns %}contains({{ column }}, char(0)){{ ' or ' if not loop.last }}{% endfor %}
            then source_record
    end) as record_with_nul
from {{ relation }}
where landing_id in ({{ snowflake_landing_ids(files) }})
group by source_file
{% endmacro %}


{% macro snowflake_forget_rows(relation, files, paths) %}
delete from {{ relation }}
where
    landing_id in ({{ snowflake_landing_ids(files) }})
    and source_file in ({% for path in paths %}{{ text_literal(path) }}{{ ', ' if not loop.last }}{% endfor %})
{% endmacro %}


{#- Each of `files` is (file, its records, its checksum). -#}
{% macro snowflake_register(landed, files, extra) %}
insert into {{ landed }} (
    source_file, content_hash, file_date, landing_id, is_typed, received, extra_columns, fingerprint
)
values
{%- for file, received, content_hash in files %}
(
    {{ text_literal(file['source_file']) }}, {{ text_literal(content_hash) }}, to_date('{{ file['file_date'] }}'),
    {{ file['landing_id'] }}, false, {{ received }}, {{ text_literal(extra) if extra else 'null' }},
    {{ text_literal(file['fingerprint']) }}
){{ ',' if not loop.last }}
{%- endfor %}
{% endmacro %}
