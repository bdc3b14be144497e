{#- What the listing just made shows, by paths below the landing root: files that no register knows as they are now
    (`new`, or `mended` if they were refused before), refused files that are `gone`, and `other` files, which are
    none of the feed. -#}
{% macro snowflake_changes(landed, refused, feed, prefix) %}
{%- set hour = '([01][0-9]|2[0-3])/' if feed.files == 'hourly' else '' %}
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
                'raw/{{ feed.name }}/[0-9]{4}-[0-9]{2}-[0-9]{2}/{{ hour }}[^/]+[.]csv([.]gz)?'
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
    where
        dated.file_date is null
        or not equal_null(dated.fingerprint, coalesce(refused.fingerprint, newest.fingerprint))

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
