{#- Statements that come true together, and the temporary tables that they read: queries by name, in their order.
    dbt-duckdb has begun a transaction, beside which there is no other, and commits it. dbt-snowflake sends each statement
    by itself; there transactions take turns, and what they read is read after the turn has come. No table is made in
    them, for that would commit what is open. -#}
{% macro in_transaction(computed={}) %}
    {{ return(adapter.dispatch('in_transaction')(caller(), computed)) }}
{% endmacro %}

{% macro duckdb__in_transaction(statements, computed) %}
{%- for name, query in computed.items() %}
create or replace temporary table {{ name }} as
{{ query }};
{% endfor %}
{{ statements }}
{% endmacro %}

{% macro snowflake__in_transaction(statements, computed) %}
{%- for name, query in computed.items() %}
create or replace temporary table {{ name }} as
{{ query }}
limit 0;
{% endfor %}
begin;

update {{ source('landing', 'merge_turns') }} set turn = turn + 1;
{% for name, query in computed.items() %}
insert into {{ name }}
{{ query }};
{% endfor %}
{{ statements }}
commit;
{% endmacro %}


{% macro dbt_snowflake_get_tmp_relation_type(strategy, unique_key, language) %}
    {%- if strategy in ['replace_days'] -%}{{ return('view') }}{%- endif -%}
    {{ return(dbt.dbt_snowflake_get_tmp_relation_type(strategy, unique_key, language)) }}
{% endmacro %}


{#- A merge is planned before its turn. Another run may have merged a content of the arriving files since then; where the table is
    made anew, of any file. -#}
{% macro stop_if_overtaken(feed, plan) %}
    {{ return(adapter.dispatch('stop_if_overtaken')(feed, plan)) }}
{% endmacro %}

{% macro duckdb__stop_if_overtaken(feed, plan) %}{% endmacro %}

{% macro snowflake__stop_if_overtaken(feed, plan) %}
{%- set landed = source('landing', 'landed_files') -%}
select to_number('another run has merged ' || in_force.source_file || ' meanwhile. Nothing was written; run it again')
from {{ landed }} as in_force
{%- if not plan.anew %}
inner join {{ landed }} as planned
    on in_force.source_file = planned.source_file and planned.landing_id in ({{ plan.arriving }})
{%- endif %}
where
    in_force.landing_id not in ({{ '-1' if plan.in_force == 'null' else plan.in_force }})
    and in_force.landing_id in ({{ landings_in_force(ref('load_ledger'), feed) }});
{% endmacro %}


{#- One row a key that is there already or leaves: `old_file` and `old_day` of the row that is there, `new_file` of the
    newest version of this merge, if it has one. `wins` says that the new one takes its place, `leaves` that the old one
    goes. Keys that are not here are new. Content is compared only where the versions tie. -#}
{% macro collect_changes(target, winners, feed, columns, plan, ranges, version='updated_at') %}
    {%- set key, replacing = feed.key, plan.replaced != 'null' -%}
with existing as (
    select
        {{ key_list(key) }},
        {{ version }},
        source_file,
        {{ is_current(columns) }} as was_current,
        {{ day_of_row() }} as day
        {%- if replacing %},
        source_file in (
            select source_file from {{ source('landing', 'landed_files') }} where landing_id in ({{ plan.replaced }})
        ) as is_replaced
        {%- endif %}
    from {{ target }}
    where {{ within(key[0], ranges) }}
),
met as (
    select
        {{ key_list(key, 'existing') }},
        existing.source_file as old_file,
        existing.was_current,
        existing.day as old_day,
        winners.source_file as new_file,
        {{ 'existing.is_replaced or ' if replacing }}winners.{{ version }} > existing.{{ version }} as is_newer,
        {{ 'not existing.is_replaced and ' if replacing }}winners.{{ version }} = existing.{{ version }} as ties
    from existing
    inner join {{ winners }} as winners on {{ same_key('existing', 'winners', key) }}
),
tied as (
    select {{ key_list(key, 'existing') }}
    from (select {{ key_list(key) }} from met where ties) as ties
    inner join {{ winners }} as winners on {{ same_key('ties', 'winners', key) }}
    inner join {{ target }} as existing
        on {{ same_key('ties', 'existing', key) }} and {{ within('existing.' ~ key[0], ranges) }}
    where
        {{ is_newer('winners', 'existing', plan.compared) }}
        -- The same row: of a first run that was killed before it wrote the ledger.
        or (winners.source_file = existing.source_file and winners.source_record = existing.source_record)
),
compared as (
    select
        {{ key_list(key) }},
        old_file,
        was_current,
        old_day,
        new_file,
        is_newer or {{ key_value(key) }} in (select {{ key_list(key) }} from tied) as wins
    from met
    {%- if replacing %}
    union all
    select {{ key_list(key) }}, source_file, was_current, day, null, false
    from existing
    where is_replaced and not exists (select 1 from {{ winners }} as winners where {{ same_key('winners', 'existing', key) }})
    {%- endif %}
)
select *, wins or new_file is null as leaves
from compared
{% endmacro %}


{#- The same for an extract, which takes the place of all that is there. -#}
{% macro collect_extract(target, winners, feed, columns, ranges) %}
select
    {{ key_list(feed.key, 'existing') }},
    existing.source_file as old_file,
    {{ is_current(columns, 'existing') }} as was_current,
    {{ day_of_row() }} as old_day,
    winners.source_file as new_file,
    winners.source_file is not null as wins,
    true as leaves
from {{ target }} as existing
left join {{ winners }} as winners on {{ same_key('existing', 'winners', feed.key) }}
where {{ within(feed.key[0], ranges) }}
{% endmacro %}


{#- What of the winners goes in. -#}
{% macro entering(winners, key) %}
from {{ winners }} as winners
where not exists (
    select 1 from merge_changes where {{ same_key('merge_changes', 'winners', key) }} and not merge_changes.wins
)
{%- endmacro %}


{#- Whether a row stands in production: one that says that its key is deleted is kept, so that no older version comes
    back, but does not. -#}
{% macro is_current(columns, row=none) %}
    {%- set of = row ~ '.' if row else '' -%}
    {{ return('not ' ~ of ~ 'is_deleted' if 'is_deleted' in columns else 'true') }}
{% endmacro %}


{#- The day by which a model's totals are counted; null for a model without. -#}
{% macro day_of_row() %}
    {{ return('cast(' ~ (config.meta_get('day') or 'null') ~ ' as date)') }}
{% endmacro %}


{#- The same, counted by file and day. -#}
{% macro count_entering(winners, key, columns) %}
select
    source_file as file,
    {{ day_of_row() }} as day,
    cast(count(case when {{ is_current(columns) }} then 1 end) as bigint) as entering
{{ entering(winners, key) }}
group by source_file, {{ day_of_row() }}
{% endmacro %}


{#- Ranges of literals, at most eight, that hold all of some keys: [[low, high], ...]; none without keys. One range would
    span the history as soon as one old sale is corrected. They are cut where the four characters behind the keys' common
    beginning leap far, a sixteenth of the whole; wherever the cuts are, no key is lost. -#}
{% macro key_ranges(key, keys) %}
    {%- set ends = run_query('select min(' ~ key ~ '), max(' ~ key ~ ') from (' ~ keys ~ ') as keys').rows[0] -%}
    {%- if ends[0] is none -%}{{ return(none) }}{%- endif -%}
    {%- set length = namespace(common=0) -%}
    {%- for a, b in zip(ends[0], ends[1]) -%}
        {%- if a == b and length.common == loop.index0 -%}{%- set length.common = loop.index -%}{%- endif -%}
    {%- endfor -%}
    {%- set ranges = [] -%}
    {%- for low, high in run_query(cut_keys(key, keys, length.common)).rows -%}
        {%- do ranges.append([text_literal(low), text_literal(high)]) -%}
    {%- endfor -%}
    {{ return(ranges) }}
{% endmacro %}


{% macro cut_keys(key, keys, common, cuts=7) %}
with places as (
    select substr({{ key }}, {{ common + 1 }}, 4) as place, min({{ key }}) as low, max({{ key }}) as high
    from ({{ keys }}) as keys
    group by substr({{ key }}, {{ common + 1 }}, 4)
),
leaps as (
    select
        low,
        high,
        {% set number -%}
            {% for digit in range(4) -%}
            greatest(0, least(unicode(substr(place, {{ digit + 1 }}, 1)) - 48, 75)) * {{ 76 ** (3 - digit) }}
            {{- ' + ' if not loop.last }}
            {%- endfor %}
        {%- endset -%}
        {{ number }} - lag({{ number }}) over (order by low) as leap
    from places
),
ranked as (
    select
        low,
        high,
        row_number() over (order by leap desc nulls last, low) <= {{ cuts }} and leap * 16 > sum(leap) over () as is_cut
    from leaps
),
numbered as (
    select low, high, sum(case when is_cut then 1 else 0 end) over (order by low rows unbounded preceding) as part
    from ranked
)
select min(low), max(high) from numbered group by part order by min(low)
{% endmacro %}


{#- The condition that a key lies in one of the ranges, or in `all` or `none`: it lets the engine skip the history and can
    never lose a match. -#}
{% macro within(key, ranges) %}
    {%- if ranges is string -%}{{ return('true' if ranges == 'all' else 'false') }}{%- endif -%}
    {%- set conditions = [] -%}
    {%- for range in ranges or [] -%}
        {%- do conditions.append(key ~ ' between ' ~ range | join(' and ')) -%}
    {%- endfor -%}
    {{ return('(' ~ (conditions | join(' or ') or 'false') ~ ')') }}
{% endmacro %}


{#- The ledger before the rows move: the other files whose rows are overtaken or come back, the files that arrive, the
    files that are held. -#}
{% macro write_ledger(feed, plan) %}
    {%- set ledger, verdicts = ref('load_ledger'), ref('file_verdicts') -%}
    {%- set held_of = of_feed(feed) if plan.anew else of_run(feed) %}
update {{ ledger }}
set
    current_rows = current_rows + moved.difference,
    superseded_rows = superseded_rows - moved.difference
from (
    select file, sum(difference) as difference
    from (
        select file, entering as difference from merge_entering
        union all
        select old_file, -count(*) from merge_changes where leaves and was_current group by old_file
    ) as movements
    group by file
    having sum(difference) <> 0
) as moved
where {{ ledger }}.source_file = moved.file and {{ lets_through(ledger ~ '.verdict') }};

delete from {{ ledger }}
where source_file in (select source_file from {{ verdicts }} where landing_id in ({{ plan.arriving }}));

insert into {{ ledger }} ({{ ledger_columns() }})
select
    arriving.source_file,
    arriving.content_hash,
    arriving.file_date,
    arriving.verdict,
    arriving.received,
    coalesce(entered.current_rows, 0),
    arriving.valid - coalesce(entered.current_rows, 0),
    arriving.rejected,
    0
from {{ verdicts }} as arriving
left join (
    select file, sum(entering) as current_rows from merge_entering group by file
) as entered on arriving.source_file = entered.file
where arriving.landing_id in ({{ plan.arriving }});

delete from {{ ledger }} where verdict = 'held' and {{ held_of }};

{{ insert_held(ledger, verdicts, held_of) }}
{% endmacro %}


{% macro ledger_columns() -%}
source_file, content_hash, file_date, verdict, received_rows, current_rows, superseded_rows, rejected_rows, held_rows
{%- endmacro %}


{#- The files whose newest landing is held. -#}
{% macro held_landings(verdicts) %}
select verdicts.*
from {{ verdicts }} as verdicts
inner join ({{ newest_landings() }}) as newest on verdicts.landing_id = newest.landing_id
where verdicts.verdict = 'held'
{% endmacro %}


{% macro insert_held(ledger, verdicts, condition) %}
insert into {{ ledger }} ({{ ledger_columns() }})
select source_file, content_hash, file_date, verdict, received, 0, 0, 0, received
from ({{ held_landings(verdicts) }}) as held
where {{ condition }};
{% endmacro %}


{#- The whole ledger of a feed from what is stored, of some landings. -#}
{% macro count_ledger(feed, table, landings) %}
    {%- set ledger, verdicts = ref('load_ledger'), ref('file_verdicts') %}
insert into {{ ledger }} ({{ ledger_columns() }})
select
    passed.source_file,
    passed.content_hash,
    passed.file_date,
    passed.verdict,
    passed.received,
    coalesce(final.current_rows, 0),
    passed.valid - coalesce(final.current_rows, 0),
    passed.rejected,
    0
from {{ verdicts }} as passed
left join (
    select source_file, count(*) as current_rows
    from {{ table }}
    where {{ is_current(contract_names(feed)) }}
    group by source_file
) as final on passed.source_file = final.source_file
where passed.landing_id in ({{ landings }});

{{ insert_held(ledger, verdicts, of_feed(feed)) }}
{% endmacro %}


{#- Before all rows of a table go: the totals of every day are stale, those of days that are gone too. -#}
{% macro mark_days_of(table) %}
    {%- set totals = load_relation(relation_of('sales_by_day')) %}
insert into {{ source('landing', 'touched_days') }} (day, touched_by)
select day, '{{ invocation_id }}'
from (
    select cast(null as date) as day where false
    {%- if table %}
    union
    select {{ day_of_row() }} from {{ table }}
    {%- endif %}
    {%- if totals %}
    union
    select day from {{ totals }}
    {%- endif %}
) as days;
{% endmacro %}


{#- The days whose totals are stale from now on, until sales_by_day has counted them again. -#}
{% macro mark_touched_days() %}
insert into {{ source('landing', 'touched_days') }} (day, touched_by)
select distinct day, '{{ invocation_id }}'
from (
    select old_day as day from merge_changes where leaves
    union all
    select day from merge_entering
) as days;
{% endmacro %}


{% macro apply_changes(target, winners, key, columns, ranges) %}
    {{ return(adapter.dispatch('apply_changes')(target, winners, key, columns, ranges)) }}
{% endmacro %}

{#- DuckDB pays for an update in place what a delete and an insert cost together several times over. -#}
{% macro duckdb__apply_changes(target, winners, key, columns, ranges) %}
delete from {{ target }}
where {{ within(key[0], ranges) }} and {{ key_value(key) }} in (select {{ key_list(key) }} from merge_changes where leaves);

insert into {{ target }} ({{ columns | join(', ') }})
select {{ columns | join(', ') }} {{ entering(winners, key) }};
{% endmacro %}

{% macro snowflake__apply_changes(target, winners, key, columns, ranges) %}
delete from {{ target }}
where
    {{ within(key[0], ranges) }}
    and {{ key_value(key) }} in (select {{ key_list(key) }} from merge_changes where leaves and new_file is null);

merge into {{ target }} as existing
using (
    select * {{ entering(winners, key) }}
) as winners
    on {{ same_key('winners', 'existing', key) }} and {{ within('existing.' ~ key[0], ranges) }}
when matched then update set
    {% for column in columns if column not in key -%}
    {{ column }} = winners.{{ column }}{{ ',' if not loop.last }}
    {% endfor %}
when not matched then insert ({{ columns | join(', ') }})
    values (winners.{{ columns | join(', winners.') }});
{% endmacro %}


{#- Removes what is left in staging of contents that are neither the newest of their file nor in force. -#}
{% macro forget_landings(feed) %}
    {%- set landed, ledger = source('landing', 'landed_files'), ref('load_ledger') -%}
    {%- set older -%}
        select landing_id
        from {{ landed }}
        where {{ of_run(feed) }}
        qualify landing_id < max(landing_id) over (partition by source_file)
    {%- endset -%}
    {%- set older = landing_ids(older) -%}
    {%- if older != 'null' %}
        {% for table in [ref('raw_' ~ feed), ref('typed_' ~ feed), landed] %}
delete from {{ table }}
where landing_id in ({{ older }}) and landing_id not in ({{ landings_in_force(ledger, feed) }});
        {% endfor %}
    {%- endif -%}
{% endmacro %}


{#- A merge of files whose rows are not all accounted for would lose some, so there is none. The tests of the gate say
    the same; this holds without them too, for `dbt run`. And a model that drops rows of its feed, or doubles them, would make
    the ledger lie. -#}
{% macro stop_if_rows_are_missing(feed, model_query, plan) %}
    {%- set query -%}
        select
            passed.source_file,
            passed.received,
            passed.valid,
            passed.rejected,
            passed.distinct_keys,
            coalesce(made.made_rows, 0) as made_rows
        from ({{ passed_landings(ref('file_verdicts'), feed.name) }}) as passed
        left join (
            select landing_id, count(*) as made_rows
            from (
{{ model_query }}
            ) as model
            where landing_id in ({{ plan.arriving }})
            group by landing_id
        ) as made on passed.landing_id = made.landing_id
        where (passed.received <> passed.valid + passed.rejected and {{ of_run(row='passed') }})
            or (passed.landing_id in ({{ plan.arriving }}) and passed.distinct_keys <> coalesce(made.made_rows, 0))
        order by passed.source_file
    {%- endset -%}
    {%- for file, received, valid, rejected, keys, made in run_query(query).rows -%}
        {%- if received != valid + rejected -%}
            {{ exceptions.raise_compiler_error(
                file ~ ': ' ~ received ~ ' rows were received, but ' ~ valid ~ ' are valid and ' ~ rejected
                ~ ' rejected. Nothing was merged. Run the transform again; if it stays, the typing of '
                ~ 'typed_' ~ feed.name ~ ' loses rows.'
            ) }}
        {%- endif -%}
        {{ exceptions.raise_compiler_error(
            file ~ ' has ' ~ keys ~ ' different keys among its valid rows, and ' ~ this.identifier ~ ' makes ' ~ made
            ~ ' rows of them. Nothing was merged. The model may add columns; it must leave one row for each that it reads.'
        ) }}
    {%- endfor -%}
{% endmacro %}
