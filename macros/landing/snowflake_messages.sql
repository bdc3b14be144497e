{#- The objects in which messages of topics have landed, by COPY INTO from the stage. An object is never written twice,
    so that one whose path is registered is not looked at again; which generation and partition it is of says its path,
    and so must its rows. -#}
{% macro snowflake_load_messages(relation, landed, refused, feed) %}
    {%- set generations, folder = relation_of('topic_generations'), 'raw/' ~ feed.name ~ '/' -%}
    {%- do snowflake__set_query_tag() -%}
    {%- do run_query('list @' ~ var('landing_stage') ~ '/' ~ folder) -%}
    {%- set changes = run_query(snowflake_new_messages(landed, refused, generations, folder)).rows -%}
    {%- for other in changes | selectattr('change', 'equalto', 'other') -%}
        {%- do exceptions.warn(
            'Left alone: ' ~ other['source_file'] ~ ' is not ' ~ folder ~ '<topic>/<generation>/<partition>/<first offset '
            ~ 'in 20 digits>.parquet.'
        ) -%}
    {%- endfor -%}
    {%- set gone = changes | selectattr('change', 'equalto', 'gone') | map(attribute='source_file') | list -%}
    {%- if gone -%}{%- do run_query(snowflake_mended(refused, gone)) -%}{%- endif -%}
    {%- set begun = changes | selectattr('change', 'equalto', 'begun') | list -%}
    {%- if begun -%}{%- do snowflake_take_generations(generations, folder, begun) -%}{%- endif -%}
    {%- set objects = changes | selectattr('change', 'in', ['new', 'mended']) | list -%}
    {%- if not objects -%}
        {%- if gone or run_query(snowflake_files_before(landed, refused, feed)).rows -%}
            {%- do log('Nothing to do: no object in ' ~ folder ~ ' is new.', info=true) -%}
        {%- else -%}
            {%- do exceptions.warn(
                'Nothing to do: there is no @' ~ var('landing_stage') ~ '/' ~ folder
                ~ '<topic>/<generation>/<partition>/*.parquet, and none was ever found; if there should be, the stage must '
                ~ 'stand for what holds raw/.'
            ) -%}
        {%- endif -%}
    {%- endif -%}
    {%- set done = namespace(objects=0) -%}
    {%- for some in objects | batch(500) -%}
        {%- set received = snowflake_take_messages(relation, landed, refused, folder, some) -%}
        {%- set done.objects = done.objects + some | length -%}
        {%- do log(
            '[' ~ done.objects ~ '/' ~ objects | length ~ '] ' ~ received ~ ' messages of ' ~ some | length
            ~ ' objects in ' ~ folder, info=true
        ) -%}
    {%- endfor -%}
{% endmacro %}


{#- Takes some objects: those that are good in one transaction, no row of the others. Returns how many messages. -#}
{% macro snowflake_take_messages(relation, landed, refused, folder, objects) %}
    {%- set found, good, bad = {}, [], [] -%}
    {%- do run_query(snowflake_landing_messages()) -%}
    {%- set copied = run_query(snowflake_copy_messages(folder, objects)).rows -%}
    {%- for row in run_query(snowflake_judge_messages(folder)).rows -%}
        {%- do found.update({row['source_file']: row}) -%}
    {%- endfor -%}
    {%- set problems = {} -%}
    {#- Where no file was there, COPY answers without any. -#}
    {%- for row in copied if row.get('file') -%}
        {%- set problem = row['first_error'] or 'it cannot be read' if row['status'] | upper != 'LOADED' -%}
        {%- do problems.update({snowflake_path(row['file'], folder): problem or none}) -%}
    {%- endfor -%}
    {%- for object in objects -%}
        {%- set path = object['source_file'] -%}
        {#- An object without a message has no row that says anything. -#}
        {%- set one = found.get(path, {'received': 0, 'problem': none, 'next_offset': none, 'content_hash': none}) -%}
        {%- set problem = problems.get(path, 'it has gone since it was listed') or one['problem'] -%}
        {%- set problem = problem or ('it has 0 bytes' if object['bytes'] == 0) -%}
        {%- if problem -%}{%- do bad.append((object, problem)) -%}
        {%- else -%}{%- do good.append((object, one)) -%}{%- endif -%}
    {%- endfor -%}
    {%- if good -%}
        {%- set mended = good | map('first') | selectattr('change', 'equalto', 'mended') -%}
        {%- set mended = mended | map(attribute='source_file') | list -%}
        {%- do run_query('begin') -%}
        {%- do run_query(snowflake_register_messages(landed, good)) -%}
        {%- do run_query(snowflake_insert_messages(relation, landed, good | map('first') | list)) -%}
        {%- if mended -%}{%- do run_query(snowflake_mended(refused, mended)) -%}{%- endif -%}
        {%- do run_query('commit') -%}
    {%- endif -%}
    {%- for object, problem in bad -%}{%- do snowflake_refuse(refused, object, none, problem) -%}{%- endfor -%}
    {{ return(good | map('last') | sum(attribute='received')) }}
{% endmacro %}


{#- What the listing just made shows: objects that no register knows (`new`, or `mended` if they were refused as they
    were before), generations that have `begun`, refused objects that are `gone`, and `other` files. -#}
{% macro snowflake_new_messages(landed, refused, generations, folder) %}
with listed as (
    select
        '{{ folder }}' || split_part('/' || "name", '/{{ folder }}', -1) as source_file,
        "md5" as fingerprint,
        "size" as bytes
    from table(result_scan(last_query_id()))
    where not endswith("name", '/')
),

changes as (
    select
        case
            when regexp_like(listed.source_file, '{{ folder }}[^/]+/[0-9]+/start[.]json') then 'begun'
            when not regexp_like(listed.source_file, '{{ folder }}[^/]+/[0-9]+/[0-9]+/[0-9]{20}[.]parquet') then 'other'
            when refused.source_file is null then 'new'
            else 'mended'
        end as change,
        listed.source_file,
        listed.fingerprint,
        listed.bytes
    from listed
    left join {{ refused }} as refused on listed.source_file = refused.source_file
    where
        not exists (select 1 from {{ landed }} as landed where landed.source_file = listed.source_file)
        and not exists (select 1 from {{ generations }} as known where known.source_file = listed.source_file)
        and not equal_null(listed.fingerprint, refused.fingerprint)

    union all

    select
        'gone' as change,
        refused.source_file,
        refused.fingerprint,
        null
    from {{ refused }} as refused
    left join listed on refused.source_file = listed.source_file
    where startswith(refused.source_file, '{{ folder }}') and listed.source_file is null
)

select
    changes.change as "change",
    changes.source_file as "source_file",
    changes.fingerprint as "fingerprint",
    changes.bytes as "bytes",
    cast(null as date) as "file_date",
    {{ landed.include(identifier=false) }}.landing_ids.nextval as "landing_id"
from changes
order by changes.source_file
{% endmacro %}
