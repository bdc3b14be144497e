{#- COPY INTO from the stage over the landing root (var `landing_stage`). The headers are read first, so that columns
    are taken by name; files of one header are copied together, each whole or not at all, and registered in the same
    transaction. -#}
{% macro snowflake__load_new_files(relation, landed, refused, feed, contract, day) %}
    {%- if feed.files == 'topics' -%}
        {#- Messages are of no day, and a run of one takes none. -#}
        {%- if not day -%}{%- do snowflake_load_messages(relation, landed, refused, feed) -%}{%- endif -%}
        {{ return('') }}
    {%- endif -%}
    {%- set prefix = 'raw/' ~ feed.name ~ '/' ~ (day ~ '/' if day else '') -%}
    {%- do snowflake__set_query_tag() -%}
    {%- do run_query('list @' ~ var('landing_stage') ~ '/' ~ prefix) -%}
    {%- set changes = run_query(snowflake_changes(landed, refused, feed, prefix)).rows -%}
    {%- for other in changes | selectattr('change', 'equalto', 'other') -%}
        {%- do exceptions.warn(
            'Left alone: ' ~ other['source_file'] ~ ' is not a .csv or .csv.gz file in ' ~ prefix ~ '.'
        ) -%}
    {%- endfor -%}
    {%- set gone = changes | selectattr('change', 'equalto', 'gone') | map(attribute='source_file') | list -%}
    {%- if gone -%}{%- do run_query(snowflake_mended(refused, gone)) -%}{%- endif -%}
    {%- set files = changes | selectattr('change', 'in', ['new', 'mended']) | list -%}
    {%- if not files -%}
        {%- if gone or run_query(snowflake_files_before(landed, refused, feed)).rows -%}
            {%- do log('Nothing to do: no file in ' ~ prefix ~ ' is new or restated.', info=true) -%}
        {%- else -%}
            {%- do exceptions.warn(
                'Nothing to do: there is no @' ~ var('landing_stage') ~ '/raw/' ~ feed.name ~ '/'
                ~ (day or '<YYYY-MM-DD>') ~ ('/<HH>' if feed.files == 'hourly' else '')
                ~ '/*.csv or *.csv.gz, and no file of ' ~ feed.name
                ~ ' was ever found; if there should be, the stage must stand for what holds raw/.'
            ) -%}
        {%- endif -%}
    {%- endif -%}
    {%- set done = namespace(files=0) -%}
    {%- for some in files | batch(1000) -%}
        {%- for header, alike in snowflake_headers(refused, contract, some) | groupby('header', case_sensitive=true) -%}
            {%- for few in alike | batch(100) -%}
                {%- set taken = few | map(attribute='file') | list -%}
                {%- do snowflake_take(relation, landed, refused, contract, header, taken) -%}
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


{#- How COPY names a file in its answer, as the path below the landing root. -#}
{% macro snowflake_path(name, folder='raw/') %}
    {{ return(folder ~ ('/' ~ name).split('/' ~ folder)[-1]) }}
{% endmacro %}
