{#- The models of a feed, one line each: what they do follows from its contract. All have the feed's name as a tag. -#}

{#- What arrived, as it arrived. The materialization reads the files, no query does. `topics` says of a feed of messages
    that generations are registered with them. -#}
{% macro raw_rows(feed, topics=false) %}
{{ config(
    materialized='load_files',
    meta={'loads': feed, 'landing_stage': var('landing_stage')},
    full_refresh=false,
    tags=[feed]
) }}
-- depends_on: {{ ref('landed_files') }}, {{ ref('refused_files') }}{{ ', ' ~ ref('topic_generations') if topics }}
{% endmacro %}


{#- Every record, typed strictly, with its reject reasons; then the gate's verdict on each file. The query is of all
    landings, the materialization types those that wait. `lists` are the seeds that the contract names under
    `listed_in`. A var stands in the meta of the models that depend on it, for dbt compares that. -#}
{% macro typed_rows(feed, lists=[]) %}
{{ config(materialized='typed_landings', meta={'loads': feed, 'max_reject_rate': max_reject_rate()}, tags=[feed]) }}
-- depends_on: {{ ref('landed_files') }}, {{ ref('released_files') }}
{% for seed in lists -%}
-- depends_on: {{ ref(seed) }}
{% endfor -%}
{{ type_rows(feed, ref('raw_' ~ feed)) }}
{% endmacro %}


{#- The valid rows of contents that were let through, of each key in each content the newest. -#}
{% macro clean_rows(feed) %}
{{ config(materialized='view', tags=[feed]) }}
select
    {% for column in contract_names(feed) -%}
    typed.{{ column }},
    {% endfor -%}
    typed.source_file,
    typed.source_record,
    typed.file_date,
    typed.landing_id
from {{ ref('typed_' ~ feed) }} as typed
inner join {{ ref('file_verdicts') }} as verdicts on typed.landing_id = verdicts.landing_id
where typed.reject_reasons is null and not typed.is_overtaken and {{ lets_through('verdicts.verdict') }}
{% endmacro %}


{#- The rejected rows of files that were let through, as they arrived, with all reasons. -#}
{% macro rejected_rows(feed) %}
{{ config(materialized='view', tags=[feed]) }}
with passed as (

    {{ passed_landings(ref('file_verdicts'), feed) }}

)

select
    arrived.*,
    typed.reject_reasons
from {{ ref('raw_' ~ feed) }} as arrived
inner join {{ ref('typed_' ~ feed) }} as typed
    on arrived.landing_id = typed.landing_id and arrived.source_record = typed.source_record
inner join passed on typed.landing_id = passed.landing_id
where typed.reject_reasons is not null
{% endmacro %}


{#- The newest version of each key that files in force hold (macros/newest/newest_version.sql), for a table from
    which keys can be deleted: those stay, so that no older version brings them back. -#}
{% macro newest_rows(feed) %}
{{ config(
    materialized='newest_version',
    meta={'loads': feed},
    tags=[feed],
    transient=false,
    pre_hook="{{ behind_the_gate('" ~ feed ~ "') }}"
) }}
select
    {% for column in contract_names(feed) -%}
    {{ column }},
    {% endfor -%}
    source_file,
    source_record,
    landing_id
from {{ ref('clean_' ~ feed) }}
{% endmacro %}


{#- Every version of each key that a file in force holds, with the time in which it was the newest: a function of the
    files alone. Of versions with one `updated_at` the one that would win counts. Those of most keys are never put in
    order: they have one. -#}
{% macro version_rows(feed) %}
{{ config(materialized='view', tags=[feed]) }}
-- depends_on: {{ ref('newest_' ~ feed) }}, {{ ref('landed_files') }}
{%- set key = feed_of(feed).key if execute else [] %}
with in_force as (

    {{ landings_in_force(ref('load_ledger'), feed) }}

),

versions as (

    select typed.*
    from {{ ref('typed_' ~ feed) }} as typed
    inner join in_force on typed.landing_id = in_force.landing_id
    where typed.reject_reasons is null

),
{% if execute %}
several as (

    select {{ key_list(key) }}
    from versions
    group by {{ key_list(key) }}
    having count(*) > 1

),

-- The newest first: the one before is that by which a version was replaced.
in_order as (

    select
        *,
        lag(updated_at) over (
            partition by {{ key_list(key) }}
            order by {{ newest_first(feed_of(feed), contract_names(feed)) }}
        ) as replaced_at
    from versions
    where {{ key_value(key) }} in (select {{ key_list(key) }} from several)

),

alone as (

    select
        *,
        cast(null as timestamp) as replaced_at
    from versions
    where {{ key_value(key) }} not in (select {{ key_list(key) }} from several)

),

all_versions as (

    select *
    from in_order
    where replaced_at is null or replaced_at > updated_at

    union all

    select *
    from alone

)
{% endif %}
select
    {% for column in contract_names(feed) -%}
    {{ column }},
    {% endfor -%}
    updated_at as valid_from,
    {% if execute -%}
    replaced_at as valid_to,
    {% endif -%}
    source_file,
    source_record
from {{ 'all_versions' if execute else 'versions' }}
{% endmacro %}
