{#- A table of what arrived: every column of the contract as text, plus the file, its content hash and the record number.
    New and restated files only; a malformed file goes to `refused_files` whole. The table is never dropped, not by
    --full-refresh either: the files may be gone. A column that the contract has gained is null for what came before. -#}
{% materialization load_files, default %}
    {%- set relation = this.incorporate(type='table') -%}
    {%- set feed = feed_of(config.meta_require('loads')) -%}
    {%- set contract = contract_columns(feed.name) -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {%- set changes = create_raw_table(relation, contract) -%}
    {%- for change in changes %}
        {% call statement('create_' ~ loop.index) %}
            {{ change }}
        {% endcall %}
    {%- endfor %}
    {#- Files are loaded by a cursor of their own, which cannot write a table that is altered in another transaction. -#}
    {%- if changes -%}{%- do adapter.commit() -%}{%- endif -%}
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
    {%- set columns = [] -%}
    {%- for column in contract -%}{%- do columns.append({'name': column.name, 'data_type': 'varchar'}) -%}{%- endfor -%}
    {%- for name, data_type in [
        ('source_file', 'varchar'), ('content_hash', 'varchar'), ('source_record', 'bigint'), ('file_date', 'date'),
        ('landing_id', 'bigint')
    ] -%}
        {%- do columns.append({'name': name, 'data_type': data_type}) -%}
    {%- endfor -%}
    {{ return(create_or_extend(relation, columns)) }}
{% endmacro %}


{#- The statements after which a table that loads write to has some columns: none if it has. One that an earlier version of
    this project made may lack some. -#}
{% macro create_or_extend(table, columns) %}
    {%- set known = load_relation(table) -%}
    {%- if not known -%}{{ return([create_if_missing(table, columns)]) }}{%- endif -%}
    {%- set there = adapter.get_columns_in_relation(known) | map(attribute='name') | map('lower') | list -%}
    {%- set statements = [] -%}
    {%- for column in columns if column.name not in there -%}
        {%- do statements.append('alter table ' ~ known ~ ' add column ' ~ column.name ~ ' ' ~ column.data_type) -%}
    {%- endfor -%}
    {{ return(statements) }}
{% endmacro %}


{#- What loads and merges write down: a pre-hook of the first model that reads it. -#}
{% macro create_registers() %}
    {{- adapter.dispatch('create_what_orders_runs')(source('landing', 'landed_files')) -}}
    {%- for name in ['landed_files', 'refused_files', 'released_files', 'touched_days'] -%}
        {%- for statement in create_or_extend(source('landing', name), source_columns(name).values()) %}
            {{ statement }};
        {%- endfor -%}
    {%- endfor %}
{% endmacro %}


{#- The numbers of landings must grow, which Snowflake's sequences do in ORDER only; and transactions take turns by a
    row that each of them updates. DuckDB has one writer, which counts. -#}
{% macro duckdb__create_what_orders_runs(landed) %}{% endmacro %}

{% macro snowflake__create_what_orders_runs(landed) %}
    {%- if not load_relation(landed) %}create sequence if not exists {{ landed.include(identifier=false) }}.landing_ids start 1 increment 1 order;{% endif -%}
    {%- if schema_prefix() %}{{ create_session_schema() }};{% endif -%}
    {%- set turns = source('landing', 'merge_turns') -%}
    {%- if not load_relation(turns) %}create table if not exists {{ turns }} as select cast(0 as bigint) as turn;{% endif -%}
{% endmacro %}


{#- A session has its temporary tables in the target's schema. Beside production no model is there, so that dbt does not
    make it. -#}
{% macro create_session_schema() %}
create schema if not exists {{ target.database }}.{{ target.schema }}
{%- endmacro %}


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
    taken by name; files of one header are copied together, each whole or not at all, and registered in the same
    transaction. -#}
{% macro snowflake__load_new_files(relation, landed, refused, feed, contract, day) %}
    {%- set prefix = 'raw/' ~ feed.name ~ '/' ~ (day ~ '/' if day else '') -%}
    {%- do snowflake__set_query_tag() -%}
    {%- do run_query('list @' ~ var('landing_stage') ~ '/' ~ prefix) -%}
    {%- set changes = run_query(snowflake_changes(landed, refused, feed, prefix)).rows -%}
    {%- for other in changes | selectattr('change', 'equalto', 'other') -%}
        {%- do exceptions.warn('Left alone: ' ~ other['source_file'] ~ ' is not a .csv or .csv.gz file in ' ~ prefix ~ '.') -%}
    {%- endfor -%}
    {%- set gone = changes | selectattr('change', 'equalto', 'gone') | map(attribute='source_file') | list -%}
    {%- if gone -%}{%- do run_query(snowflake_mended(refused, gone)) -%}{%- endif -%}
    {%- set files = changes | selectattr('change', 'in', ['new', 'mended']) | list -%}
    {%- if not files -%}
        {%- if gone or run_query(snowflake_files_before(landed, refused, feed)).rows -%}
            {%- do log('Nothing to do: no file in ' ~ prefix ~ ' is new or restated.', info=true) -%}
        {%- else -%}
            {%- do exceptions.warn(
                'Nothing to do: there is no @' ~ var('landing_stage') ~ '/raw/' ~ feed.name ~ '/' ~ (day or '<YYYY-MM-DD>')
                ~ ('/<HH>' if feed.files == 'hourly' else '') ~ '/*.csv or *.csv.gz, and no file of ' ~ feed.name
                ~ ' was ever found; if there should be, the stage must stand for what holds raw/.'
            ) -%}
        {%- endif -%}
    {%- endif -%}
    {%- set done = namespace(files=0) -%}
    {%- for some in files | batch(1000) -%}
        {%- for header, alike in snowflake_headers(refused, contract, some) | groupby('header') -%}
            {%- for few in alike | batch(100) -%}
                {%- do snowflake_take(relation, landed, refused, contract, header, few | map(attribute='file') | list) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- set done.files = done.files + some | length -%}
        {%- do log(done.files ~ ' of ' ~ files | length ~ ' files in ' ~ prefix, info=true) -%}
    {%- endfor -%}
{% endmacro %}


{#- A row if any file of a feed was ever taken or refused. -#}
{% macro snowflake_files_before(landed, refused, feed) %}
{%- for register in [landed, refused] %}
select source_file
from {{ register }}
where startswith(source_file, 'raw/{{ feed.name }}/')
{{ 'union all' if not loop.last }}
{%- endfor %}
limit 1
{% endmacro %}


{#- The schema of the stage, where its administrator keeps the file formats too (orchestration/snowflake/setup.sql). -#}
{% macro snowflake_format(name) %}
    {{ return((var('landing_stage').split('.')[:-1] + [name]) | join('.')) }}
{% endmacro %}


{#- What the listing just made shows, by paths below the landing root: files that no register knows as they are now (`new`, or
    `mended` if they were refused before), refused files that are `gone`, and `other` files, which are none of the feed. -#}
{% macro snowflake_changes(landed, refused, feed, prefix) %}
with listed as (
    select
        'raw/' || split_part('/' || "name", '/raw/', -1) as source_file,
        "md5" as fingerprint
    from table(result_scan(last_query_id()))
    where not endswith("name", '/')
),

dated as (
    select
        source_file,
        fingerprint,
        case
            when regexp_like(
                source_file,
                'raw/{{ feed.name }}/[0-9]{4}-[0-9]{2}-[0-9]{2}/{{ '([01][0-9]|2[0-3])/' if feed.files == 'hourly' }}[^/]+[.]csv([.]gz)?'
            ) then try_to_date(split_part(source_file, '/', 3), 'YYYY-MM-DD')
        end as file_date
    from listed
),

newest as (
    select source_file, fingerprint
    from {{ landed }}
    where startswith(source_file, {{ text_literal(prefix) }})
    qualify landing_id = max(landing_id) over (partition by source_file)
),

changes as (
    select
        case
            when dated.file_date is null then 'other'
            when refused.source_file is null then 'new'
            else 'mended'
        end as change,
        dated.source_file,
        dated.fingerprint,
        dated.file_date
    from dated
    left join {{ refused }} as refused on dated.source_file = refused.source_file
    left join newest on dated.source_file = newest.source_file
    -- While a refusal stands, the landed content is no longer the file's newest.
    where dated.file_date is null or not equal_null(dated.fingerprint, coalesce(refused.fingerprint, newest.fingerprint))

    union all

    select
        'gone' as change,
        refused.source_file,
        refused.fingerprint,
        refused.file_date
    from {{ refused }} as refused
    left join dated on refused.source_file = dated.source_file
    where startswith(refused.source_file, {{ text_literal(prefix) }}) and dated.source_file is null
)

select
    changes.change as "change",
    changes.source_file as "source_file",
    changes.fingerprint as "fingerprint",
    changes.file_date as "file_date",
    {{ landed.include(identifier=false) }}.landing_ids.nextval as "landing_id"
from changes
order by changes.source_file
{% endmacro %}


{#- The files with their headers; those of which a record is malformed, whose header is wrong, or that cannot be read at all,
    are refused here. By COPY, for it skips a file that is broken where a query of the stage would fail; line by line, for
    COPY takes more than a record may be, and says of a line, or of nothing, which one it does not take. -#}
{% macro snowflake_headers(refused, contract, files) %}
    {%- set columns, optional = contract | map(attribute='name') | list, optional_columns(contract) -%}
    {%- do run_query('create or replace temporary table landing_lines (source_file varchar, line number, content varchar)') -%}
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


{#- Of each file its header, and the first record that is not what RFC 4180 says or has other fields than the header. The quotes
    before a line say whether it begins within a field that is quoted; a quote that the line leaves open, or that was open
    before, is put in, so that each line is looked at as a record of its own. -#}
{% macro snowflake_malformed() %}
{%- set field = '("([^"]|"")*"|[^",]*)' -%}
with counted as (
    select
        source_file,
        line,
        coalesce(content, '') as content,
        length(coalesce(content, '')) - length(replace(coalesce(content, ''), '"', '')) as quotes
    from landing_lines
),

placed as (
    select
        source_file,
        line,
        content,
        quotes,
        mod(sum(quotes) over (
            partition by source_file order by line rows between unbounded preceding and current row
        ), 2) as leaves_open,
        mod(sum(quotes) over (
            partition by source_file order by line rows between unbounded preceding and current row
        ) - quotes, 2) as begins_open
    from counted
),

completed as (
    select
        source_file,
        quotes,
        case when begins_open = 1 then '"' else '' end
        || content
        || case when leaves_open = 1 then '"' else '' end as content,
        sum(1 - begins_open) over (
            partition by source_file order by line rows between unbounded preceding and current row
        ) as record
    from placed
    -- A blank line is no record.
    where begins_open = 1 or content <> ''
),

unquoted as (
    select
        source_file,
        record,
        quotes,
        regexp_replace(content, '"[^"]*"', '') as content,
        regexp_like(content, '{{ field }}(,{{ field }})*') as is_well_formed
    from completed
),

records as (
    select
        source_file,
        record,
        count(*) as lines,
        mod(sum(quotes), 2) as is_open,
        count_if(contains(content, char(13))) as carriage_returns,
        count_if(not is_well_formed) as odd,
        sum(length(content) - length(replace(content, ',', ''))) + 1 as fields
    from unquoted
    group by source_file, record
),

judged as (
    select
        source_file,
        record,
        case
            when is_open = 1 then 'an unclosed quote'
            when odd = 0 and carriage_returns > 0 then 'a carriage return without a line feed, outside of quotes'
            when odd > 0
                then 'a quote inside a field that is not quoted as a whole, from its first character to its last'
            when record = 1 and lines > 1 then 'a line break in the name of a column'
            when fields <> first_value(fields) over (partition by source_file order by record)
                then
                    fields
                    || ' fields, but the header has '
                    || first_value(fields) over (partition by source_file order by record)
        end as problem
    from records
),

malformed as (
    select
        source_file,
        record,
        problem
    from judged
    where problem is not null
    qualify record = min(record) over (partition by source_file)
)

select
    counted.source_file,
    counted.content,
    malformed.record,
    malformed.problem
from counted
left join malformed on counted.source_file = malformed.source_file
where counted.line = 1
{% endmacro %}


{#- How COPY names a file in its answer, as the path below the landing root. -#}
{% macro snowflake_path(name) %}
    {{ return('raw/' ~ ('/' ~ name).split('/raw/')[-1]) }}
{% endmacro %}


{% macro snowflake_copy_lines(files) %}
copy into landing_lines (source_file, line, content)
from (
    select
        concat('raw/', split_part(concat('/', metadata$filename), '/raw/', -1)),
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
            {%- do bad.append((file, odd.group(2) if odd else row['first_error_line'], odd.group(1) if odd else row['first_error'] or 'not well-formed CSV')) -%}
        {%- elif file['source_file'] in nul -%}
            {%- do bad.append((file, nul[file['source_file']], 'a NUL byte')) -%}
        {%- else -%}
            {#- A file without a row has no metadata. -#}
            {%- do good.append((file, row['rows_loaded'], hashes.get(file['source_file'], file['fingerprint']))) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if nul -%}{%- do run_query(snowflake_forget_rows(relation, files, nul)) -%}{%- endif -%}
    {%- if good -%}{%- do run_query(snowflake_register(landed, good, extra)) -%}{%- endif -%}
    {%- set mended = good | map('first') | selectattr('change', 'equalto', 'mended') | map(attribute='source_file') | list -%}
    {%- if mended -%}{%- do run_query(snowflake_mended(refused, mended)) -%}{%- endif -%}
    {%- do run_query('commit') -%}
    {%- for file, record, problem in bad -%}{%- do snowflake_refuse(refused, file, record, problem) -%}{%- endfor -%}
    {%- for file, received, content_hash in good -%}
        {%- do log(file['source_file'] ~ ': ' ~ received ~ ' records', info=true) -%}
        {%- if extra -%}{%- do exceptions.warn(file['source_file'] ~ ': ' ~ received ~ ' records; ignored the extra column(s) ' ~ extra) -%}{%- endif -%}
    {%- endfor -%}
{% endmacro %}


{#- A query of staged files takes a record of any number of fields, so a wrong one is made an error of conversion, which skips
    the file and names the record. FORCE, since a restated file may come back to a content that the load history
    remembers; it forgets after 64 days, the registers never do. -#}
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


{#- Of each file just copied: the checksum of what was read, which may be newer than what was listed, and the first record with
    a NUL byte. -#}
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


{#- A file that is mended, or gone, need not be mended any more. -#}
{% macro snowflake_mended(refused, paths) %}
delete from {{ refused }}
where source_file in ({% for path in paths %}{{ text_literal(path) }}{{ ', ' if not loop.last }}{% endfor %})
{% endmacro %}


{% macro snowflake_refuse(refused, file, record, reason) %}
    {%- do run_query(snowflake_write_refusal(refused, file, record, reason)) -%}
    {%- do exceptions.warn('REFUSED ' ~ file['source_file'] ~ (' (record ' ~ record ~ ')' if record else '') ~ ': ' ~ reason) -%}
{% endmacro %}


{% macro snowflake_write_refusal(refused, file, record, reason) %}
merge into {{ refused }} as refused
using (select {{ text_literal(file['source_file']) }} as source_file) as bad
    on refused.source_file = bad.source_file
when matched then update set
    content_hash = {{ text_literal(file['fingerprint']) }}, fingerprint = {{ text_literal(file['fingerprint']) }},
    source_record = {{ record or 'null' }}, reason = {{ text_literal(reason) }}
when not matched then insert (source_file, content_hash, file_date, source_record, reason, fingerprint)
values (
    bad.source_file, {{ text_literal(file['fingerprint']) }}, to_date('{{ file['file_date'] }}'), {{ record or 'null' }},
    {{ text_literal(reason) }}, {{ text_literal(file['fingerprint']) }}
)
{% endmacro %}
