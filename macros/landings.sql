{#- A landing is one content of one file, as `landed_files` registers it. Staging rows carry its number, so that a run
    finds its own rows by a short list of numbers, whatever the history, and never those of another run. -#}

{#- The newest landing of each file. -#}
{% macro newest_landings() %}
select *
from {{ source('landing', 'landed_files') }}
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
from {{ source('landing', 'released_files') }}
{% endmacro %}


{#- The held landings whose content has been released since they were judged. -#}
{% macro released_since(verdicts) %}
select verdicts.*
from {{ verdicts }} as verdicts
inner join ({{ released_contents() }}) as released
    on verdicts.source_file = released.source_file
    and verdicts.content_hash = released.content_hash
where verdicts.verdict = 'held'
{% endmacro %}


{#- The newest landing of each file that passed the gate or was released: what production is to be made of. A
    restatement that is held leaves the earlier content there. -#}
{% macro passed_landings(verdicts) %}
select *
from {{ verdicts }}
where {{ lets_through('verdict') }}
qualify landing_id = max(landing_id) over (partition by source_file)
{% endmacro %}


{#- The landings that production is made of now, by its ledger. A file may have come back to its content in force: until
    the new landing is typed, it is the old one whose rows are there. -#}
{% macro landings_in_force(ledger) %}
select max(landed.landing_id) as landing_id
from {{ source('landing', 'landed_files') }} as landed
inner join {{ ledger }} as ledger
    on landed.source_file = ledger.source_file
    and landed.content_hash = ledger.content_hash
    and {{ lets_through('ledger.verdict') }}
where landed.is_typed
group by landed.source_file
{% endmacro %}


{#- The numbers of some landings as a list of literals, 'null' for none: literals let both engines skip the history. -#}
{% macro landing_ids(query) %}
    {%- if not at_work() -%}{{ return('null') }}{%- endif -%}
    {%- set ids = run_query('select landing_id from (' ~ query ~ ') as landings order by landing_id').columns[0] -%}
    {{ return(ids.values() | join(', ') or 'null') }}
{% endmacro %}


{#- The landings of this run that wait to be typed. -#}
{% macro landings_to_type() %}
    {%- if is_incremental() -%}
        {{ return(landing_ids('select * from ' ~ source('landing', 'landed_files') ~ ' where not is_typed and ' ~ of_run())) }}
    {%- endif -%}
    {{ return(landing_ids('select * from ' ~ source('landing', 'landed_files'))) }}
{% endmacro %}


{#- Marks what the typed table now holds. -#}
{% macro mark_typed() %}
update {{ source('landing', 'landed_files') }}
set is_typed = true
where not is_typed and (
    received = 0
    or exists (
        select 1 from {{ this }} as typed where typed.landing_id = {{ source('landing', 'landed_files') }}.landing_id
    )
)
{% endmacro %}


{#- The landings of this run that wait for a verdict, or were judged before all rows were there or before a person
    let them through. -#}
{% macro landings_to_judge() %}
    {%- if not is_incremental() -%}
        {{ return(landing_ids('select * from ' ~ source('landing', 'landed_files'))) }}
    {%- endif -%}
    {%- set unjudged -%}
        select landed.landing_id
        from {{ source('landing', 'landed_files') }} as landed
        left join {{ this }} as verdicts on landed.landing_id = verdicts.landing_id
        where {{ of_run('landed.file_date') }}
            and (verdicts.landing_id is null or verdicts.received <> verdicts.valid + verdicts.rejected)
        union
        select landing_id from ({{ released_since(this) }}) as released where {{ of_run() }}
    {%- endset -%}
    {{ return(landing_ids(unjudged)) }}
{% endmacro %}


{#- A post-hook after large loads: dbt leaves a model's temporary table until the connection closes, and on DuckDB it takes
    memory that the next model needs. -#}
{% macro drop_temporary_tables() %}
    {{ return(adapter.dispatch('drop_temporary_tables')()) }}
{% endmacro %}

{% macro duckdb__drop_temporary_tables() %}
    {%- set names = run_query('select table_name from duckdb_tables() where temporary order by table_name').columns[0] -%}
    {%- for name in names.values() -%}drop table {{ adapter.quote(name) }};{%- endfor -%}
{% endmacro %}

{% macro snowflake__drop_temporary_tables() %}{% endmacro %}
