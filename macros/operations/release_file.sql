{#- `make release`: a person lets through a file that the gate holds. The release is of the content that is held now,
    and of no other; its verdict is `released` from then on, and the next load of the file's day merges it. -#}
{% macro release_file(file, reason, released_by, released_at) %}
    {%- set refused, verdicts = ref('refused_files'), relation_of('file_verdicts') -%}
    {%- set ledger = relation_of('load_ledger') -%}
    {%- if not file.strip() -%}
        {{ stop_release('Which file? Write FILE=raw/sales/<date>/<name>.csv, as the alert names it.') }}
    {%- elif not reason.strip() -%}
        {{ stop_release('Why? Write REASON="...": it is kept with the release.') }}
    {%- elif not (load_relation(refused) and load_relation(verdicts) and load_relation(ledger)) -%}
        {{ stop_release('Nothing has been loaded yet. Run `dbt build` first.') }}
    {%- endif -%}

    {%- for record, problem in run_query(refusal_of(refused, file)).rows -%}
        {{ stop_release(
            file ~ ' is refused, not held (' ~ ('record ' ~ record ~ ': ' if record else '') ~ problem
            ~ '): no row of it was taken. Land it mended.'
        ) }}
    {%- endfor -%}
    {%- set landings = run_query(newest_landing_of(verdicts, ledger, file)).rows -%}
    {%- if not landings -%}
        {%- set held = run_query(files_held(refused, verdicts)).columns[0].values() | join(', ') -%}
        {{ stop_release(
            'No file ' ~ file ~ ' has landed. ' ~ ('Held now: ' ~ held ~ '.' if held else 'No file is held now.')
        ) }}
    {%- endif -%}
    {%- set verdict, failed_checks, by, at, why, loaded = landings[0].values() -%}
    {%- if verdict is none -%}
        {{ stop_release(file ~ ' has landed and is not judged yet. Run `dbt build` first.') }}
    {%- elif verdict == 'passed' -%}
        {{ stop_release(file ~ ' passed the gate: it needs no release.') }}
    {%- elif by is not none -%}
        {{ stop_release(
            file ~ ' is released already, by ' ~ by ~ ' at ' ~ at ~ ' UTC (' ~ why ~ ').'
            ~ ('' if loaded else ' ' ~ release_is_next(file))
        ) }}
    {%- endif -%}

    {%- call statement('record_release') -%}
        {{ record_release(verdicts, file, reason, released_by, released_at) }}
    {%- endcall -%}
    {%- do adapter.commit() -%}
    {%- do log(
        'Released ' ~ file ~ ', which had failed ' ~ failed_checks ~ '; recorded in staging.released_files. '
        ~ release_is_next(file), info=true
    ) -%}
{% endmacro %}


{#- What orchestration/commands/release.py shows is what is logged. -#}
{% macro stop_release(problem) %}
    {%- do log(problem, info=true) -%}
    {{ exceptions.raise_compiler_error(problem) }}
{% endmacro %}


{% macro release_is_next(file) %}
    {{ return(
        'Next: `dbt build` loads it; in Airflow, clear the run of ' ~ file.split('/')[2] ~ ', all of its tasks.'
    ) }}
{% endmacro %}


{% macro refusal_of(refused, file) %}
select
    source_record,
    reason
from {{ refused }}
where source_file = {{ text_literal(file) }}
{% endmacro %}


{% macro files_held(refused, verdicts) %}
select source_file
from ({{ held_landings(verdicts) }}) as held
where source_file not in (select source_file from {{ refused }})
order by source_file
{% endmacro %}


{#- The verdict on what a file holds now, the release of it, if any, and whether it is in production. -#}
{% macro newest_landing_of(verdicts, ledger, file) %}
select
    verdicts.verdict,
    verdicts.failed_checks,
    released.released_by,
    released.released_at,
    released.reason,
    ledger.source_file is not null as is_loaded
from ({{ newest_landings() }}) as newest
left join {{ verdicts }} as verdicts on newest.landing_id = verdicts.landing_id
left join {{ ref('released_files') }} as released
    on newest.source_file = released.source_file and newest.content_hash = released.content_hash
left join {{ ledger }} as ledger
    on newest.source_file = ledger.source_file and newest.content_hash = ledger.content_hash
    and {{ lets_through('ledger.verdict') }}
where newest.source_file = {{ text_literal(file) }}
order by released.released_at
{% endmacro %}


{% macro record_release(verdicts, file, reason, released_by, released_at) %}
insert into {{ ref('released_files') }} (
    source_file, content_hash, file_date, failed_checks, released_by, released_at, reason
)
select
    source_file,
    content_hash,
    file_date,
    failed_checks,
    {{ text_literal(released_by) }},
    cast({{ text_literal(released_at) }} as timestamp),
    {{ text_literal(reason.strip()) }}
from ({{ held_landings(verdicts) }}) as held
where source_file = {{ text_literal(file) }}
{% endmacro %}
