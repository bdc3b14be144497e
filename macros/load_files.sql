{#- A table of what arrived: every column of the contract as text, plus the file, its content hash and the record number.
    New and restated files only; a malformed file goes to `refused_files` whole. The table is never dropped, not by
    --full-refresh either: the files may be gone. A column that the contract has gained is null for what came before. -#}
{% materialization load_files, default %}
    {%- set relation = this.incorporate(type='table') -%}
    {%- set feed = feed_of(config.require('feed')) -%}
    {%- set contract = contract_columns(feed.name) -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {%- for change in create_raw_table(relation, contract) %}
        {% call statement('create_' ~ loop.index, auto_begin=False) %}
            {{ change }}
        {% endcall %}
    {%- endfor %}
    {% do load_new_files(
        relation, source('landing', 'landed_files'), source('landing', 'refused_files'), feed, contract, run_date()
    ) %}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') %}
        select 1
    {% endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [relation]}) }}
{% endmaterialization %}


{#- The statements after which a raw table has all columns of the contract. -#}
{% macro create_raw_table(relation, contract) %}
    {%- set known = load_relation(relation) -%}
    {%- set statements = [] -%}
    {%- if known -%}
        {%- set there = adapter.get_columns_in_relation(known) | map(attribute='name') | map('lower') | list -%}
        {%- for column in contract if column.name not in there -%}
            {%- do statements.append('alter table ' ~ relation ~ ' add column ' ~ column.name ~ ' varchar') -%}
        {%- endfor -%}
    {%- else -%}
        {%- set columns = [] -%}
        {%- for column in contract -%}{%- do columns.append({'name': column.name, 'data_type': 'varchar'}) -%}{%- endfor -%}
        {%- for name, data_type in [
            ('source_file', 'varchar'), ('content_hash', 'varchar'), ('source_record', 'bigint'), ('file_date', 'date'),
            ('landing_id', 'bigint')
        ] -%}
            {%- do columns.append({'name': name, 'data_type': data_type}) -%}
        {%- endfor -%}
        {%- do statements.append(create_if_missing(relation, columns)) -%}
    {%- endif -%}
    {{ return(statements) }}
{% endmacro %}


{#- The registers of the landing zone: a pre-hook of the first model that reads them. -#}
{% macro create_registers() %}
    {%- for name in ['landed_files', 'refused_files', 'released_files'] %}
        {{ create_if_missing(source('landing', name), source_columns(name).values()) }};
        {#- One that an earlier version of this project made may lack a column. -#}
        {%- set known = load_relation(source('landing', name)) -%}
        {%- set there = adapter.get_columns_in_relation(known) | map(attribute='name') | map('lower') | list if known else [] -%}
        {%- for column in source_columns(name).values() if known and column.name not in there %}
            alter table {{ known }} add column {{ column.name }} {{ column.data_type }};
        {%- endfor %}
    {%- endfor %}
{% endmacro %}


{% macro create_if_missing(table, columns) %}
create table if not exists {{ table }} (
    {% for column in columns %}{{ column.name }} {{ column.data_type }}{{ ', ' if not loop.last }}{% endfor %}
)
{% endmacro %}


{% macro source_columns(name) %}
    {%- set found = graph.sources.values() | selectattr('name', 'equalto', name) | list -%}
    {{ return(found[0].columns) }}
{% endmacro %}


{% macro load_new_files(relation, landed, refused, feed, contract, day) %}
    {{ return(adapter.dispatch('load_new_files')(relation, landed, refused, feed, contract, day)) }}
{% endmacro %}


{% macro duckdb__load_new_files(relation, landed, refused, feed, contract, day) %}
    {%- set wanted = [] -%}
    {%- for column in contract -%}{%- do wanted.append(api.Column(column.name, 'varchar')) -%}{%- endfor -%}
    {% do adapter.store_relation('landing', relation, wanted, landing_root(), 'csv', {
        'feed': feed.name, 'hourly': feed.files == 'hourly', 'run_date': day, 'landed': landed, 'refused': refused,
        'optional': optional_columns(contract)
    }) %}
{% endmacro %}


{#- The columns that a file may lack. -#}
{% macro optional_columns(contract) %}
    {{ return(contract | selectattr('config.meta.optional', 'true') | map(attribute='name') | list) }}
{% endmacro %}


{% macro landing_root() %}
    {{ return(env_var('LANDING_ROOT', '') or 'demo/landing') }}
{% endmacro %}


{#- COPY INTO from the stage over the landing root (var `landing_stage`). The headers are read first, so that columns are
    taken by name; then each new or restated file is copied whole or skipped whole, and registered in the same
    transaction. -#}
{% macro snowflake__load_new_files(relation, landed, refused, feed, contract, day) %}
    {%- set columns, optional = contract | map(attribute='name') | list, optional_columns(contract) -%}
    {%- set stage = '@' ~ var('landing_stage') -%}
    {%- set prefix = 'raw/' ~ feed.name ~ '/' ~ (day ~ '/' if day else '') -%}
    {%- for statement in snowflake_load_objects(relation) -%}{%- do run_query(statement) -%}{%- endfor -%}
    {%- do run_query('list ' ~ stage ~ '/' ~ prefix) -%}
    {%- do run_query(snowflake_keep_listing(feed)) -%}
    {%- do run_query(snowflake_forget_vanished(refused, prefix)) -%}
    {%- for row in run_query(snowflake_other_files()).rows -%}
        {%- do exceptions.warn('Left alone: ' ~ row[0] ~ ' is not a .csv or .csv.gz file in ' ~ prefix ~ '.') -%}
    {%- endfor -%}
    {%- set files = run_query(snowflake_new_files(relation, landed, refused)).rows -%}
    {%- if not files -%}
        {%- do log('Nothing to do: no file in ' ~ prefix ~ ' is new or restated.', info=true) -%}
    {%- endif -%}
    {%- set headers, unreadable = snowflake_headers(relation, stage, feed, files | map('first') | list) -%}
    {%- for path, content_hash, file_date, landing_id in files -%}
        {%- set file = {
            'path': path, 'content_hash': content_hash, 'file_date': file_date, 'landing_id': landing_id
        } -%}
        {%- set names = headers.get(path, '').split(',') | map('replace', '"', '') | map('trim') | list -%}
        {%- set problem = unreadable.get(path) or header_problem(path in headers, names, columns, optional) -%}
        {%- set received = none -%}
        {%- if not problem -%}
            {%- set received, record, problem = snowflake_take(relation, landed, refused, stage, columns, names, file) -%}
        {%- endif -%}
        {%- if problem -%}
            {%- do run_query(snowflake_refuse(refused, file, record or (1 if path in headers else none), problem)) -%}
            {%- do exceptions.warn('REFUSED ' ~ path ~ ': ' ~ problem) -%}
        {%- else -%}
            {%- do log('[' ~ loop.index ~ '/' ~ files | length ~ '] ' ~ path ~ ': ' ~ received ~ ' records', info=true) -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}


{#- The numbers of landings must grow, which Snowflake's sequences do in ORDER only. The format is strict: no escape but the
    doubled quote, no text that stands for null, and an empty field is empty, so that null is a field that is missing. -#}
{% macro snowflake_load_objects(relation) %}
    {%- set schema = relation.include(identifier=false) -%}
    {{ return([
        'create sequence if not exists ' ~ schema ~ '.landing_ids start 1 increment 1 order',
        'create file format if not exists ' ~ schema ~ ".landing_line type = csv field_delimiter = none "
            ~ "escape_unenclosed_field = none null_if = () empty_field_as_null = false "
            ~ "replace_invalid_characters = true",
        'create file format if not exists ' ~ schema ~ ".landing_csv type = csv skip_header = 1 "
            ~ "field_optionally_enclosed_by = '\"' escape_unenclosed_field = none null_if = () "
            ~ "empty_field_as_null = false skip_blank_lines = true",
        'create or replace temporary table landing_headers (source_file varchar, header varchar)',
    ]) }}
{% endmacro %}


{#- Of the listing just made: the files by their path below the landing root, with the day if it is a file of the feed. -#}
{% macro snowflake_keep_listing(feed) %}
create or replace temporary table landing_listing as
select
    source_file,
    content_hash,
    case
        when regexp_like(
            source_file,
            'raw/{{ feed.name }}/[0-9]{4}-[0-9]{2}-[0-9]{2}/{{ '([01][0-9]|2[0-3])/' if feed.files == 'hourly' }}[^/]+[.]csv([.]gz)?'
        ) then try_to_date(split_part(source_file, '/', 3), 'YYYY-MM-DD')
    end as file_date
from (
    select
        substr("name", position('raw/{{ feed.name }}/' in "name")) as source_file,
        "md5" as content_hash
    from table(result_scan(last_query_id()))
) as listed
{% endmacro %}


{#- A file that is gone need not be mended. -#}
{% macro snowflake_forget_vanished(refused, prefix) %}
delete from {{ refused }}
where startswith(source_file, {{ text_literal(prefix) }}) and source_file not in (select source_file from landing_listing)
{% endmacro %}


{% macro snowflake_other_files() %}
select source_file from landing_listing where file_date is null and not endswith(source_file, '/') order by source_file
{% endmacro %}


{#- The files that no register knows as they are now. -#}
{% macro snowflake_new_files(relation, landed, refused) %}
with newest as (
    select source_file, content_hash
    from {{ landed }}
    qualify landing_id = max(landing_id) over (partition by source_file)
),

known as (
    select source_file, content_hash from {{ refused }}
    union all
    select source_file, content_hash from newest
    -- While a refusal stands, the landed content is no longer the file's newest.
    where source_file not in (select source_file from {{ refused }})
)

select
    listed.source_file,
    listed.content_hash,
    listed.file_date,
    {{ relation.include(identifier=false) }}.landing_ids.nextval as landing_id
from landing_listing as listed
left join known
    on listed.source_file = known.source_file and listed.content_hash = known.content_hash
where known.source_file is null and listed.file_date is not null
order by listed.source_file
{% endmacro %}


{#- The first line of each file, and what is wrong with those that cannot be read at all. By COPY, for it skips a file that is
    broken where a query of the stage would fail; it takes a thousand files at a time. -#}
{% macro snowflake_headers(relation, stage, feed, paths) %}
    {%- set headers, unreadable, start = {}, {}, 'raw/' ~ feed.name ~ '/' -%}
    {%- for some in paths | batch(1000) -%}
        {%- for row in run_query(snowflake_copy_headers(relation, stage, some)).rows -%}
            {%- if row['status'] | upper != 'LOADED' -%}
                {%- do unreadable.update({start ~ row['file'].split(start, 1)[1]: row['first_error'] or 'it cannot be read'}) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if paths -%}
        {%- set found = run_query('select source_file, header from landing_headers where header is not null') -%}
        {%- for name, header in found.rows -%}
            {%- do headers.update({start ~ name.split(start, 1)[1]: header}) -%}
        {%- endfor -%}
    {%- endif -%}
    {{ return((headers, unreadable)) }}
{% endmacro %}


{% macro snowflake_copy_headers(relation, stage, paths) %}
copy into landing_headers (source_file, header)
from (
    select
        metadata$filename,
        case when metadata$file_row_number = 1 then $1 end
    from {{ stage }}
)
files = ({% for path in paths %}{{ text_literal(path) }}{{ ', ' if not loop.last }}{% endfor %})
file_format = (format_name = '{{ relation.include(identifier=false) }}.landing_line')
on_error = skip_file
purge = false
force = true
{% endmacro %}


{#- What is wrong with a header; none for a good one. -#}
{% macro header_problem(is_there, names, columns, optional) %}
    {%- set lacking = columns | reject('in', names + optional) | join(', ') -%}
    {%- if not is_there -%}
        {{ return('0 bytes: not even a header') }}
    {%- elif names | map('lower') | unique | list | length < names | length -%}
        {{ return('a column stands more than once in the header') }}
    {%- elif lacking -%}
        {{ return('the header lacks ' ~ lacking) }}
    {%- endif -%}
    {{ return(none) }}
{% endmacro %}


{#- Copies and registers a file: (its records, none, none), or (none, the record at fault, what is wrong with it). -#}
{% macro snowflake_take(relation, landed, refused, stage, columns, names, file) %}
    {%- do run_query('begin') -%}
    {%- set copied = run_query(snowflake_copy_file(relation, stage, columns, names, file)).rows[0] -%}
    {%- if copied['status'] | upper != 'LOADED' -%}
        {%- do run_query('rollback') -%}
        {%- set odd = modules.re.search("'(.*) in record ([0-9]+)'", copied['first_error'] or '') -%}
        {%- if odd -%}{{ return((none, odd.group(2), odd.group(1))) }}{%- endif -%}
        {{ return((none, copied['first_error_line'], copied['first_error'] or 'not well-formed CSV')) }}
    {%- endif -%}
    {%- set nul = run_query(snowflake_find_nul(relation, columns, file)).rows[0][0] -%}
    {%- if nul is not none -%}
        {%- do run_query('rollback') -%}
        {{ return((none, nul, 'a NUL byte')) }}
    {%- endif -%}
    {%- set extra = names | reject('in', columns) | join(', ') -%}
    {%- do run_query(snowflake_register(landed, file, copied['rows_loaded'], extra)) -%}
    {%- do run_query('delete from ' ~ refused ~ ' where source_file = ' ~ text_literal(file.path)) -%}
    {%- do run_query('commit') -%}
    {%- if extra -%}{%- do exceptions.warn(file.path ~ ': ignored the extra column(s) ' ~ extra) -%}{%- endif -%}
    {{ return((copied['rows_loaded'], none, none)) }}
{% endmacro %}


{#- A query of staged files takes a record of any number of fields, so a wrong one is made an error of conversion, which skips
    the file and names the record. FORCE, since a restated file may come back to a content that the load history
    remembers. -#}
{% macro snowflake_copy_file(relation, stage, columns, names, file) %}
copy into {{ relation }} (
    {{ columns | join(', ') }}, source_file, content_hash, source_record, file_date, landing_id
)
from (
    select
        {% for column in columns -%}
        {{ '$' ~ (names.index(column) + 1) if column in names else 'null' }},
        {% endfor -%}
        {{ text_literal(file.path) }},
        '{{ file.content_hash }}',
        case
            when ${{ names | length }} is null or ${{ names | length + 1 }} is not null
                then cast('other fields than the header in record ' || metadata$file_row_number as number)
            else metadata$file_row_number
        end,
        to_date('{{ file.file_date }}'),
        {{ file.landing_id }}
    from {{ stage }}
)
files = ({{ text_literal(file.path) }})
file_format = (format_name = '{{ relation.include(identifier=false) }}.landing_csv')
on_error = skip_file
purge = false
force = true
{% endmacro %}


{% macro snowflake_find_nul(relation, columns, file) %}
select min(source_record)
from {{ relation }}
where
    landing_id = {{ file.landing_id }}
    and contains({% for column in columns %}coalesce({{ column }}, ''){{ ' || ' if not loop.last }}{% endfor %}, char(0))
{% endmacro %}


{% macro snowflake_register(landed, file, received, extra) %}
insert into {{ landed }} (
    source_file, content_hash, file_date, landing_id, is_typed, received, extra_columns, fingerprint
)
values (
    {{ text_literal(file.path) }}, '{{ file.content_hash }}', to_date('{{ file.file_date }}'), {{ file.landing_id }},
    false, {{ received }}, {{ text_literal(extra) if extra else 'null' }}, '{{ file.content_hash }}'
)
{% endmacro %}


{% macro snowflake_refuse(refused, file, record, reason) %}
merge into {{ refused }} as refused
using (select {{ text_literal(file.path) }} as source_file) as bad
    on refused.source_file = bad.source_file
when matched then update set
    content_hash = '{{ file.content_hash }}', fingerprint = '{{ file.content_hash }}',
    source_record = {{ record or 'null' }}, reason = {{ text_literal(reason or 'not loaded') }}
when not matched then insert (source_file, content_hash, file_date, source_record, reason, fingerprint)
values (
    bad.source_file, '{{ file.content_hash }}', to_date('{{ file.file_date }}'), {{ record or 'null' }},
    {{ text_literal(reason or 'not loaded') }}, '{{ file.content_hash }}'
)
{% endmacro %}
