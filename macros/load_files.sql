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


{#- COPY INTO, file by file, from the stage over the landing root (var `landing_stage`). The header is read first, so that
    columns are taken by name; a file is copied whole or skipped whole. -#}
{% macro snowflake__load_new_files(relation, landed, refused, feed, contract, day) %}
    {%- set columns, optional = contract | map(attribute='name') | list, optional_columns(contract) -%}
    {%- set stage = '@' ~ var('landing_stage') -%}
    {%- set prefix = 'raw/' ~ feed.name ~ '/' ~ (day ~ '/' if day else '') -%}
    {%- for statement in snowflake_load_objects(relation) -%}{%- do run_query(statement) -%}{%- endfor -%}
    {%- do run_query('list ' ~ stage ~ '/' ~ prefix) -%}
    {%- set files = run_query(snowflake_new_files(landed, refused, feed)).rows -%}
    {%- if not files -%}
        {%- do log('Nothing to do: no file in ' ~ prefix ~ ' is new or restated.', info=true) -%}
    {%- endif -%}
    {%- for path, content_hash, file_date, landing_id in files -%}
        {%- set file = {
            'path': path, 'content_hash': content_hash, 'file_date': file_date, 'landing_id': landing_id
        } -%}
        {%- set header = run_query(snowflake_header(relation, stage, file)).rows -%}
        {%- set names = header[0][0].split(',') | map('replace', '"', '') | map('trim') | list if header else [] -%}
        {%- set lacking = columns | reject('in', names + optional) | join(', ') -%}
        {%- if lacking or names | unique | list | length < names | length -%}
            {%- set problem = 'the header lacks ' ~ lacking if lacking else 'a column stands more than once in the header' -%}
            {%- do run_query(snowflake_refuse(refused, file, 1, problem)) -%}
        {%- else -%}
            {%- set copied = run_query(snowflake_copy_file(relation, stage, columns, names, file)).rows[0] -%}
            {%- if copied['status'] | upper == 'LOADED' -%}
                {%- do run_query(snowflake_register(landed, file, copied['rows_loaded'])) -%}
                {%- do run_query('delete from ' ~ refused ~ ' where source_file = ' ~ text_literal(path)) -%}
            {%- else -%}
                {%- do run_query(snowflake_refuse(refused, file, copied['first_error_line'], copied['first_error'])) -%}
            {%- endif -%}
        {%- endif -%}
        {%- do log('[' ~ loop.index ~ '/' ~ files | length ~ '] ' ~ path, info=true) -%}
    {%- endfor -%}
{% endmacro %}


{% macro snowflake_load_objects(relation) %}
    {%- set schema = relation.include(identifier=false) -%}
    {{ return([
        'create sequence if not exists ' ~ schema ~ '.landing_ids',
        'create file format if not exists ' ~ schema ~ ".landing_line type = csv field_delimiter = none",
        'create file format if not exists ' ~ schema ~ ".landing_csv type = csv skip_header = 1 "
            ~ "field_optionally_enclosed_by = '\"' empty_field_as_null = true error_on_column_count_mismatch = true",
    ]) }}
{% endmacro %}


{#- Of the listing just made, the files that no register knows as they are now. -#}
{% macro snowflake_new_files(landed, refused, feed) %}
with listed as (
    select
        substr("name", position('raw/{{ feed.name }}/' in "name")) as source_file,
        "md5" as content_hash
    from table(result_scan(last_query_id()))
),

newest as (
    select * from {{ landed }}
    qualify landing_id = max(landing_id) over (partition by source_file)
),

known as (
    select source_file, content_hash from {{ refused }}
    union all
    select source_file, content_hash from newest
    where source_file not in (select source_file from {{ refused }})
)

select
    listed.source_file,
    listed.content_hash,
    to_date(split_part(listed.source_file, '/', 3)) as file_date,
    {{ landed.include(identifier=false) }}.landing_ids.nextval as landing_id
from listed
left join known
    on listed.source_file = known.source_file and listed.content_hash = known.content_hash
where
    known.source_file is null
    and regexp_like(
        listed.source_file,
        'raw/{{ feed.name }}/[0-9]{4}-[0-9]{2}-[0-9]{2}/{{ '([01][0-9]|2[0-3])/' if feed.files == 'hourly' }}[^/]+[.]csv([.]gz)?'
    )
order by listed.source_file
{% endmacro %}


{% macro snowflake_header(relation, stage, file) %}
select $1
from {{ snowflake_path(stage, file) }} (file_format => '{{ relation.include(identifier=false) }}.landing_line')
where metadata$file_row_number = 1
{% endmacro %}


{#- FORCE, since a restated file may come back to a content that the load history remembers. -#}
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
        metadata$file_row_number,
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


{#- A path with anything but plain characters must be quoted. -#}
{% macro snowflake_path(stage, file) %}
    {%- if modules.re.fullmatch('[A-Za-z0-9/_.-]+', file.path) -%}
        {{ return(stage ~ '/' ~ file.path) }}
    {%- endif -%}
    {{ return("'" ~ stage ~ '/' ~ file.path | replace("'", "\\'") ~ "'") }}
{% endmacro %}


{% macro snowflake_register(landed, file, received) %}
insert into {{ landed }} (source_file, content_hash, file_date, landing_id, is_typed, received, fingerprint)
values (
    {{ text_literal(file.path) }}, '{{ file.content_hash }}', to_date('{{ file.file_date }}'), {{ file.landing_id }},
    false, {{ received }}, '{{ file.content_hash }}'
)
{% endmacro %}


{#- One statement, so that a file is never in both registers or in none. -#}
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
