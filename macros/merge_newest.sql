{#- The incremental strategy `merge_newest`: one row a key, the newest version wins (macros/newest.sql), a restated
    file counts as if its earlier content had never been, and the ledger is kept in the same transaction.

    The model's query gives, for every key that an arriving landing or the earlier content of a restated file has, the
    newest version among them and, for the latter, among all files. What is newer in the table stays. -#}


{#- What a merge is about to do, as lists of landing numbers:
    `arriving`: let through and not yet in the ledger, of this run; on a first run or a full refresh all of these.
    `replaced`: the earlier contents of the arriving files that are in force now; on a full refresh all that is in force.
    `several`: whether a key may stand in more than one of the files that are compared. -#}
{% macro merge_plan() %}
    {%- if not at_work() -%}{{ return({'arriving': 'null', 'replaced': 'null', 'several': true}) }}{%- endif -%}
    {%- set feed = config.meta_require('loads') -%}
    {%- set ledger = ref('load_ledger') -%}
    {%- if not is_incremental() -%}
        {%- set arriving = landing_ids(passed_landings(ref('file_verdicts'), feed)) -%}
        {%- set replaced = landing_ids(landings_in_force(ledger, feed)) -%}
        {{ return({'arriving': arriving, 'replaced': replaced, 'several': ',' in arriving}) }}
    {%- endif -%}
    {%- set arriving = arriving_landings(ref('file_verdicts'), ledger, feed) -%}
    {%- set replaced -%}
        select landed.landing_id
        from {{ source('landing', 'landed_files') }} as landed
        inner join ({{ arriving }}) as arriving on landed.source_file = arriving.source_file
        where landed.landing_id in ({{ landings_in_force(ledger, feed) }})
    {%- endset -%}
    {%- set arriving, replaced = landing_ids(arriving), landing_ids(replaced) -%}
    {{ return({'arriving': arriving, 'replaced': replaced, 'several': ',' in arriving or replaced != 'null'}) }}
{% endmacro %}


{#- The landings that are let through and are not in the ledger yet, of this run. -#}
{% macro arriving_landings(verdicts, ledger, feed=none) %}
select passed.*
from ({{ passed_landings(verdicts, feed) }}) as passed
where {{ of_run(row='passed') }}
    {% if ledger -%}
    and not exists (
        select 1
        from {{ ledger }} as ledger
        where {{ lets_through('ledger.verdict') }}
            and ledger.source_file = passed.source_file
            and ledger.content_hash = passed.content_hash
    )
    {%- endif %}
{% endmacro %}


{#- The query of a model of this strategy: of the files that arrive, and of what comes back because an earlier content
    goes, the newest version of each key. The plan travels with the query as a comment. -#}
{% macro newest_versions(feed) %}
{%- if not execute -%}{{ return('') }}{%- endif -%}
{%- set plan = merge_plan() -%}
{%- set key, contract, typed = feed_of(feed).key, contract_names(feed), ref('typed_' ~ feed) -%}
{%- set whole = feed_of(feed).kind == 'extract' -%}
{%- set columns = (contract + ['source_file', 'source_record']) | join(', ') -%}
{%- set candidates -%}
    {#- Not of clean_<feed>, which may have a content already that a later run is to merge. #}
    select {{ columns }}
    from {{ typed }}
    where
        reject_reasons is null
        and not is_overtaken
        and landing_id in ({{ newest_extract(plan, feed) if whole else plan.arriving }})
    {%- if plan.replaced != 'null' and is_incremental() and not whole %}
    union all
    select {{ columns }}
    from {{ typed }}
    where
        reject_reasons is null
        and landing_id not in ({{ plan.arriving }}, {{ plan.replaced }})
        and landing_id in ({{ landings_in_force(ref('load_ledger'), feed) }})
        and {{ key_value(key) }} in (select {{ key_list(key) }} from {{ typed }} where landing_id in ({{ plan.replaced }}))
    {%- endif %}
{%- endset -%}
-- merging landings: {{ plan.arriving }}; replacing: {{ plan.replaced }}
{%- set several = plan.several and not whole %}
{% if several -%}
with overtaken as (
{{ overtaken_rows(candidates, key, contract) }}
)
{%- else -%}
-- read in place: of one file, in which no key stands twice
{%- endif %}
select {{ columns }}
from ({{ candidates }}) as candidates
{%- if several %}
where not exists (
    select 1
    from overtaken
    where overtaken.source_file = candidates.source_file and overtaken.source_record = candidates.source_record
)
{%- endif %}
{% endmacro %}

{#- Of an extract, the one landing that the table is made of after this merge: that of the newest file, by its path; none
    if nothing arrives. -#}
{% macro newest_extract(plan, feed) %}
    {%- if not at_work() or plan.arriving == 'null' -%}{{ return('null') }}{%- endif -%}
    {%- set candidates -%}
        select landing_id, source_file
        from {{ source('landing', 'landed_files') }}
        where landing_id in ({{ plan.arriving }})
        {%- if is_incremental() %}
            or landing_id in ({{ landings_in_force(ref('load_ledger'), feed) }})
            {{- ' and landing_id not in (' ~ plan.replaced ~ ')' if plan.replaced != 'null' }}
        {%- endif %}
        qualify row_number() over (order by source_file desc, landing_id desc) = 1
    {%- endset -%}
    {{ return(adapter.dispatch('ids_at_its_turn')(candidates)) }}
{% endmacro %}


{% macro duckdb__ids_at_its_turn(query) %}
    {{ return(landing_ids(query)) }}
{% endmacro %}

{#- Which one is the newest may be another one when the merge's turn has come. -#}
{% macro snowflake__ids_at_its_turn(query) %}
    {{ return('select landing_id from (' ~ query ~ ') as landings') }}
{% endmacro %}


{% macro get_incremental_merge_newest_sql(arguments) %}
    {%- set target, versions, feed = arguments.target_relation, arguments.temp_relation, config.meta_require('loads') -%}
    {%- set winners = kept_winners(versions) -%}
    {%- set columns = arguments.dest_columns | map(attribute='name') | map('lower') | list -%}
    {%- set key, whole = feed_of(feed).key, feed_of(feed).kind == 'extract' -%}
    {%- set arriving, replaced = compiled_plan(sql) -%}
    {%- set keys -%}
        select {{ key[0] }} from {{ versions }}
        union all
        select {{ key[0] }} from {{ ref('typed_' ~ feed) }} where landing_id in ({{ replaced }}) and reject_reasons is null
    {%- endset -%}
    {%- set computed = {} if winners == versions else {winners: 'select * from ' ~ versions} -%}
    {%- if whole -%}
        {%- set ranges = 'none' if arriving == 'null' else 'all' -%}
        {%- do computed.update({'merge_changes': collect_extract(target, winners, key, ranges)}) -%}
    {%- else -%}
        {%- set ranges = key_ranges(key[0], keys) -%}
        {%- do computed.update({'merge_changes': collect_changes(target, winners, key, feed, replaced, ranges)}) -%}
    {%- endif -%}
    {%- do computed.update({'merge_entering': count_entering(winners, key, contract_names(feed))}) -%}
    {% call in_transaction(computed) %}
    {{ stop_if_overtaken(feed, replaced, arriving) }}
    {{ write_ledger(feed, arriving) }}
    {{ mark_touched_days() if config.meta_get('day') }}
    {{ apply_changes(target, winners, key, columns, ranges) }}
    {{ forget_landings(feed) }}
    {% endcall %}
{% endmacro %}


{#- The plan of the compiled query, not a new one: what landed since then is for the next run. -#}
{% macro compiled_plan(compiled) %}
    {%- set plan = modules.re.search('merging landings: ([0-9, ]+|null); replacing: ([0-9, ]+|null)', compiled) -%}
    {%- if not plan -%}
        {{ exceptions.raise_compiler_error(this ~ ' has lost its line `-- merging landings: ...`, the plan of its merge.') }}
    {%- endif -%}
    {{ return(plan.groups()) }}
{% endmacro %}


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


{#- Where the query of the model is kept while it is merged. On DuckDB dbt has done so; on Snowflake it is a view, to be read
    after the turn has come. -#}
{% macro kept_winners(versions) %}
    {{ return(adapter.dispatch('kept_winners')(versions)) }}
{% endmacro %}

{% macro duckdb__kept_winners(versions) %}
    {{ return(versions) }}
{% endmacro %}

{% macro snowflake__kept_winners(versions) %}
    {{ return('merge_winners') }}
{% endmacro %}

{% macro dbt_snowflake_get_tmp_relation_type(strategy, unique_key, language) %}
    {%- if strategy in ['merge_newest', 'replace_days'] -%}{{ return('view') }}{%- endif -%}
    {{ return(dbt.dbt_snowflake_get_tmp_relation_type(strategy, unique_key, language)) }}
{% endmacro %}


{#- A merge is planned before its turn. Another run may have merged a content of the `arriving` files since then; before a full
    refresh, which names none, of any file. -#}
{% macro stop_if_overtaken(feed, replaced, arriving=none) %}
    {{ return(adapter.dispatch('stop_if_overtaken')(feed, replaced, arriving)) }}
{% endmacro %}

{% macro duckdb__stop_if_overtaken(feed, replaced, arriving) %}{% endmacro %}

{% macro snowflake__stop_if_overtaken(feed, replaced, arriving) %}
{%- set landed = source('landing', 'landed_files') -%}
select to_number('another run has merged ' || in_force.source_file || ' meanwhile. Nothing was written; run it again')
from {{ landed }} as in_force
{%- if arriving %}
inner join {{ landed }} as planned on in_force.source_file = planned.source_file and planned.landing_id in ({{ arriving }})
{%- endif %}
where
    in_force.landing_id not in ({{ '-1' if replaced == 'null' else replaced }})
    and in_force.landing_id in ({{ landings_in_force(ref('load_ledger'), feed) }});
{% endmacro %}


{#- One row a key that is there already or leaves: `old_file` and `old_day` of the row that is there, `new_file` of the
    newest version of this merge, if it has one. `wins` says that the new one takes its place, `leaves` that the old one
    goes. Keys that are not here are new. Content is compared only where the versions tie. -#}
{% macro collect_changes(target, winners, key, feed, replaced, ranges, version='updated_at') %}
    {%- set replacing, contract = replaced != 'null', contract_names(feed) -%}
with existing as (
    select
        {{ key_list(key) }},
        {{ version }},
        source_file,
        {{ is_current(contract) }} as was_current,
        {{ day_of_row() }} as day
        {%- if replacing %},
        source_file in (
            select source_file from {{ source('landing', 'landed_files') }} where landing_id in ({{ replaced }})
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
        {{ is_newer('winners', 'existing', contract) }}
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
{% macro collect_extract(target, winners, key, ranges) %}
select
    {{ key_list(key, 'existing') }},
    existing.source_file as old_file,
    {{ is_current(contract_names(config.meta_require('loads')), 'existing') }} as was_current,
    {{ day_of_row() }} as old_day,
    winners.source_file as new_file,
    winners.source_file is not null as wins,
    true as leaves
from {{ target }} as existing
left join {{ winners }} as winners on {{ same_key('existing', 'winners', key) }}
where {{ within(key[0], ranges) }}
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
{% macro is_current(contract, row=none) %}
    {%- set of = row ~ '.' if row else '' -%}
    {{ return('not ' ~ of ~ 'is_deleted' if 'is_deleted' in contract else 'true') }}
{% endmacro %}


{#- The day by which a model's totals are counted; null for a model without. -#}
{% macro day_of_row() %}
    {{ return('cast(' ~ (config.meta_get('day') or 'null') ~ ' as date)') }}
{% endmacro %}


{#- The same, counted by file and day. -#}
{% macro count_entering(winners, key, contract) %}
select source_file as file, {{ day_of_row() }} as day, cast(count(case when {{ is_current(contract) }} then 1 end) as bigint) as entering
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
{% macro write_ledger(feed, arriving) %}
    {%- set ledger, verdicts = ref('load_ledger'), ref('file_verdicts') %}
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
where source_file in (select source_file from {{ verdicts }} where landing_id in ({{ arriving }}));

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
where arriving.landing_id in ({{ arriving }});

delete from {{ ledger }} where verdict = 'held' and {{ of_run(feed) }};

{{ insert_held(ledger, verdicts, of_run(feed)) }}
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


{#- After a first run or a full refresh, in its transaction: the whole ledger of a feed, of the files that the query had. -#}
{% macro write_whole_ledger(relation, feed, arriving) %}
    {%- set ledger, verdicts = ref('load_ledger'), ref('file_verdicts') %}
{{ forget_ledger(feed) }};

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
    from {{ relation }}
    where {{ is_current(contract_names(feed)) }}
    group by source_file
) as final on passed.source_file = final.source_file
where passed.landing_id in ({{ arriving }});

{{ insert_held(ledger, verdicts, of_feed(feed)) }}
{% endmacro %}


{% macro forget_ledger(feed) %}
delete from {{ ref('load_ledger') }} where {{ of_feed(feed) }}
{%- endmacro %}


{#- By a first run or a full refresh every day's totals become stale, those of days that are gone too. -#}
{% macro mark_all_days(rows) %}
    {%- set totals = load_relation(relation_of('sales_by_day')) %}
insert into {{ source('landing', 'touched_days') }} (day, touched_by)
select distinct {{ day_of_row() }}, '{{ invocation_id }}' from {{ rows }}
    {%- if totals %}
union
select distinct day, '{{ invocation_id }}' from {{ totals }}
    {%- endif %};
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
    the same; this holds without them too, for `dbt run`. -#}
{% macro stop_if_rows_are_missing() %}
    {%- set feed = config.meta_require('loads') -%}
    {%- set query -%}
        select source_file, received, valid, rejected
        from ({{ passed_landings(ref('file_verdicts'), feed) }}) as passed
        where received <> valid + rejected and {{ of_run() }}
        order by source_file
    {%- endset -%}
    {%- for row in run_query(query).rows -%}
        {{ exceptions.raise_compiler_error(
            row[0] ~ ': ' ~ row[1] ~ ' rows were received, but ' ~ row[2] ~ ' are valid and ' ~ row[3]
            ~ ' rejected. Nothing was merged. Run the transform again; if it stays, the typing of '
            ~ 'typed_' ~ feed ~ ' loses rows.'
        ) }}
    {%- endfor -%}
{% endmacro %}
