{#- A landing is one content of one file, as `landed_files` registers it. Staging rows carry its number, so that a run
    finds its own rows by a short list of numbers, whatever the history, and never those of another run. -#}

{#- The newest landing of each file. -#}
{% macro newest_landings() %}
select *
from {{ ref('landed_files') }}
qualify landing_id = max(landing_id) over (partition by source_file)
{% endmacro %}


{#- Whether a verdict lets a file through: it passed the gate, or a person has released it. -#}
{% macro lets_through(verdict) %}
    {{ return(verdict ~ " in ('passed', 'released')") }}
{% endmacro %}


{#- The contents that persons have let through. -#}
{% macro released_contents() %}
select distinct
    source_file,
    content_hash
from {{ ref('released_files') }}
{% endmacro %}


{#- The newest landing of each file that passed the gate or was released: what production is to be made of. A
    restatement that is held leaves the earlier content there. -#}
{% macro passed_landings(verdicts, feed=none) %}
select *
from {{ verdicts }}
where {{ lets_through('verdict') }}{{ ' and ' ~ of_feed(feed) if feed }}
qualify landing_id = max(landing_id) over (partition by source_file)
{% endmacro %}


{#- The files whose newest landing is held. -#}
{% macro held_landings(verdicts) %}
select verdicts.*
from {{ verdicts }} as verdicts
inner join ({{ newest_landings() }}) as newest on verdicts.landing_id = newest.landing_id
where verdicts.verdict = 'held'
{% endmacro %}


{#- The landings that are let through and are not in the ledger yet, of this run. -#}
{% macro arriving_landings(verdicts, ledger, feed=none) %}
    {{ return(adapter.dispatch('arriving_landings')(verdicts, ledger, feed)) }}
{% endmacro %}


{#- The ledger first: then few are left for which a newer landing of their file is looked for, however many there are. -#}
{% macro duckdb__arriving_landings(verdicts, ledger, feed) %}
    {%- if not ledger -%}{{ return(default__arriving_landings(verdicts, ledger, feed)) }}{%- endif -%}
select passed.*
from {{ verdicts }} as passed
where {{ lets_through('passed.verdict') }} and {{ of_run(feed, row='passed') }}
    and not {{ in_ledger(ledger) }}
    and not exists (
        select 1
        from {{ verdicts }} as newer
        where {{ lets_through('newer.verdict') }}
            and newer.source_file = passed.source_file
            and newer.landing_id > passed.landing_id
    )
{% endmacro %}


{% macro default__arriving_landings(verdicts, ledger, feed) %}
select passed.*
from ({{ passed_landings(verdicts, feed) }}) as passed
where {{ of_run(row='passed') }}
    {{ 'and not ' ~ in_ledger(ledger) if ledger }}
{% endmacro %}


{#- That the ledger has let through the content of a landing, which is called `passed` unless another name is given. -#}
{% macro in_ledger(ledger, row='passed') -%}
exists (
        select 1
        from {{ ledger }} as ledger
        where {{ lets_through('ledger.verdict') }}
            and ledger.source_file = {{ row }}.source_file
            and ledger.content_hash = {{ row }}.content_hash
    )
{%- endmacro %}


{#- The landings of this run that are typed and of which the ledger does not know. -#}
{% macro typed_and_not_in_ledger(feed) %}
    {%- set ledger = load_relation(relation_of('load_ledger')) -%}
select landed.landing_id
from {{ relation_of('landed_files') }} as landed
where
    landed.is_typed
    and {{ of_run(feed, row='landed') }}
    {%- if ledger %}
    and not exists (
        select 1
        from {{ ledger }} as ledger
        where ledger.source_file = landed.source_file and ledger.content_hash = landed.content_hash
    )
    {%- endif %}
{% endmacro %}


{#- The files of which something has landed or was released that production, or its ledger, does not have yet. -#}
{% macro unfinished_files(verdicts, ledger) %}
select landed.source_file
from {{ ref('landed_files') }} as landed
where not landed.is_typed and {{ of_known_feeds('landed.source_file') }}

union

select judged.source_file
from (
    {{ passed_landings(verdicts) }}

    union all

    {{ held_landings(verdicts) }}
) as judged
left join {{ ledger }} as ledger
    on judged.source_file = ledger.source_file
    and judged.content_hash = ledger.content_hash
    and (judged.verdict = 'held') = (ledger.verdict = 'held')
where ledger.source_file is null and {{ of_known_feeds('judged.source_file') }}
{% endmacro %}


{#- The landings that production is made of now, by its ledger. A file may have come back to its content in force: until
    the new landing is typed, it is the old one whose rows are there. -#}
{% macro landings_in_force(ledger, feed) %}
select max(landed.landing_id) as landing_id
from {{ ref('landed_files') }} as landed
inner join {{ ledger }} as ledger
    on landed.source_file = ledger.source_file
    and landed.content_hash = ledger.content_hash
    and {{ lets_through('ledger.verdict') }}
where landed.is_typed and {{ of_feed(feed, 'landed.source_file') }}
group by landed.source_file
{% endmacro %}


{#- The numbers of some landings, to be written after IN: a list of literals, which let both engines skip the history,
    'null' for none. -#}
{% macro landing_ids(query, beside=this) %}
    {%- if not is_executing() -%}{{ return('null') }}{%- endif -%}
    {%- set numbers = 'select landing_id from (' ~ query ~ ') as landings order by landing_id' -%}
    {%- set ids = run_query(numbers).columns[0].values() -%}
    {{ return(adapter.dispatch('list_of_landings')(ids, numbers, beside)) }}
{% endmacro %}


{% macro default__list_of_landings(ids, query, beside) %}
    {{ return(ids | join(', ') or 'null') }}
{% endmacro %}


{#- Snowflake takes no list of any length, nor a statement. A long one is kept in a temporary table, in the schema of
    the relation `beside`. -#}
{% macro snowflake__list_of_landings(ids, query, beside, most=1000) %}
    {%- if ids | length <= most -%}{{ return(default__list_of_landings(ids, query, beside)) }}{%- endif -%}
    {%- set kept = make_temp_relation(beside, '__landings_' ~ local_md5(query)) -%}
    {%- do run_query('create or replace temporary table ' ~ kept ~ ' as ' ~ query) -%}
    {{ return('select landing_id from ' ~ kept) }}
{% endmacro %}


{#- The day of the newest file of a feed that the ledger knows; none without. -#}
{% macro newest_file_date(ledger, feed) %}
    {%- if not is_executing() or not load_relation(ledger) -%}{{ return(none) }}{%- endif -%}
    {{ return(run_query('select max(file_date) from ' ~ ledger ~ ' where ' ~ of_feed(feed)).rows[0][0]) }}
{% endmacro %}
