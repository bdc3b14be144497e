{#- The materialization `newest_version`: one row a key, the newest version of it that files in force hold. The model is a
    plain select from clean_<feed>. It also selects `landing_id`, which says with which content of which file a row came, and
    which the table does not keep.

      unique_key  the key, a list of columns
      meta.loads  the feed whose files it is made of
      meta.day    the column by whose day totals are counted, if some are

    The rows, the ledger and the days whose totals are stale change in one transaction. In a first run and a full refresh all
    files arrive, in an empty table. -#}
{% materialization newest_version, default %}
    {%- set feed = feed_of(config.meta_require('loads')) -%}
    {%- set target, existing = this.incorporate(type='table'), load_relation(this) -%}
    {%- set anew = existing is none or not existing.is_table or should_full_refresh() -%}

    {% do adapter.dispatch('set_query_tag')() %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {#- What the model makes, and what of it arrives now. -#}
    {%- set columns = model_columns(sql) -%}
    {%- set plan = merge_plan(feed, columns, anew) -%}
    {% do stop_if_rows_are_missing(feed, sql, plan) %}
    {%- set model_rows = 'select ' ~ columns | join(', ') ~ '\nfrom (\n' ~ sql ~ '\n) as model\nwhere landing_id in ' -%}

    {%- if is_audit() -%}
        {#- An audit computes the same another way. -#}
        {% call statement('main') %}
            {{ newest_by_window(target, existing, feed, model_rows, plan) }}
        {% endcall %}
    {%- else -%}
        {%- set is_empty = true -%}
        {%- set winners = keep_winners(newest_versions(feed, model_rows, plan), plan.in_place) -%}
        {%- if anew -%}
            {%- set is_empty = make_empty(target, existing, winners.columns_of, model_rows ~ '(null)', forget_files(existing)) -%}
        {%- else -%}
            {% do process_schema_changes('fail', winners.columns_of, existing) %}
        {%- endif -%}
        {%- set ranges = merge_ranges(feed, winners.readable, model_rows, plan) -%}
        {% call statement('main') %}
            {{ merge_versions(feed, target, winners, columns, plan, ranges, is_empty) }}
        {% endcall %}
    {%- endif -%}
    {% call statement('temporary_tables', auto_begin=False) %}
        {{ drop_temporary_tables() or 'select 1' }}
    {% endcall %}

    {% do apply_grants(target, config.get('grants'), should_revoke(existing, full_refresh_mode=anew)) %}
    {% do persist_docs(target, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target]}) }}
{% endmaterialization %}


{#- A hook of such a model, empty when it runs. What it names the model depends on: what the materialization reads, and every
    model that a test of the gate reads, so that a failing one stops the merge. dbt takes it from here at parse. -#}
{% macro behind_the_gate(feed) %}
    {%- for name in ['raw_' ~ feed, 'typed_' ~ feed, 'clean_' ~ feed, 'rejected_' ~ feed, 'file_verdicts', 'load_ledger'] -%}
        {%- do ref(name) -%}
    {%- endfor -%}
    {%- do source('landing', 'landed_files') -%}
    {#- So that `state:modified` sees a change of the merge: dbt looks for calls, and takes no notice of materializations. -#}
    {%- if false -%}{%- do materialization_newest_version_default() -%}{%- endif -%}
{% endmacro %}


{#- The columns of a model's query, without the one by which the rows of a landing are found. They are those of the
    contract. -#}
{% macro model_columns(query) %}
    {%- set columns = get_columns_in_query(query) | map('lower') | list -%}
    {%- if 'landing_id' not in columns -%}
        {{ exceptions.raise_compiler_error(
            this.identifier ~ ' must select landing_id, by which the rows of a file are found. Nothing was merged.'
        ) }}
    {%- endif -%}
    {%- set columns = columns | reject('equalto', 'landing_id') | list -%}
    {%- if config.get('contract').enforced -%}
        {%- do get_assert_columns_equivalent('select ' ~ columns | join(', ') ~ ' from (' ~ query ~ ') as model') -%}
    {%- endif -%}
    {{ return(columns) }}
{% endmacro %}


{#- What a merge is about to do, as lists of landing numbers:
    `arriving`  let through and not yet in the ledger, of this run; if the table is made anew, all that are let through
    `replaced`  the earlier contents of the arriving files that are in force now
    `in_force`  those that are replaced; if the table is made anew, all that are in force
    `compared`  the columns whose content decides where versions tie: those of the contract, in its order
    `in_place`  whether no key can stand twice in what arrives, so that it need not be put in order -#}
{% macro merge_plan(feed, columns, anew) %}
    {%- set verdicts, ledger = ref('file_verdicts'), ref('load_ledger') -%}
    {%- if anew -%}
        {%- set arriving, replaced = landing_ids(passed_landings(verdicts, feed.name)), 'null' -%}
        {%- set in_force = landing_ids(landings_in_force(ledger, feed.name)) -%}
    {%- else -%}
        {%- set arriving = arriving_landings(verdicts, ledger, feed.name) -%}
        {%- set replaced -%}
            select landed.landing_id
            from {{ source('landing', 'landed_files') }} as landed
            inner join ({{ arriving }}) as arriving on landed.source_file = arriving.source_file
            where landed.landing_id in ({{ landings_in_force(ledger, feed.name) }})
        {%- endset -%}
        {%- set arriving, replaced = landing_ids(arriving), landing_ids(replaced) -%}
        {%- set in_force = replaced -%}
    {%- endif -%}
    {{ return({
        'anew': anew,
        'compared': contract_names(feed.name) | select('in', columns) | list,
        'arriving': arriving,
        'replaced': replaced,
        'in_force': in_force,
        'in_place': feed.kind == 'extract' or (',' not in arriving and replaced == 'null')
    }) }}
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


{#- Of the files that arrive, and of what comes back because an earlier content goes, the newest version of each key.
    `model_rows` is what the model makes of landings that are still to be named. -#}
{% macro newest_versions(feed, model_rows, plan) %}
    {%- if feed.kind == 'extract' -%}
        {{ return(model_rows ~ '(' ~ newest_extract(feed, plan) ~ ')') }}
    {%- endif -%}
    {%- set candidates -%}
        {{ model_rows }} ({{ plan.arriving }})
        {%- if plan.replaced != 'null' %}
        union all
        {{ model_rows }} ({{ landings_in_force(ref('load_ledger'), feed.name) }})
            and landing_id not in ({{ plan.arriving }}, {{ plan.replaced }})
            and {{ key_value(feed.key) }} in (
                select {{ key_list(feed.key) }} from ({{ model_rows }} ({{ plan.replaced }})) as replaced
            )
        {%- endif %}
    {%- endset -%}
    {{ return(candidates if plan.in_place else newest_of(candidates, feed.key, plan.compared)) }}
{% endmacro %}


{% macro newest_of(rows, key, compared) %}
with overtaken as (
{{ overtaken_rows(rows, key, compared) }}
)
select *
from ({{ rows }}) as candidates
where not exists (
    select 1
    from overtaken
    where overtaken.source_file = candidates.source_file and overtaken.source_record = candidates.source_record
)
{% endmacro %}


{#- Of an extract, the one landing that the table is made of after this merge: that of the newest file, by its path; none
    if nothing arrives. -#}
{% macro newest_extract(feed, plan) %}
    {%- if plan.arriving == 'null' -%}{{ return('null') }}{%- endif -%}
    {%- set candidates -%}
        select landing_id, source_file
        from {{ source('landing', 'landed_files') }}
        where landing_id in ({{ plan.arriving }})
        {%- if not plan.anew %}
            or landing_id in ({{ landings_in_force(ref('load_ledger'), feed.name) }})
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


{#- Where the newest versions are kept while they are merged:
    `name`        of the temporary table
    `readable`    what holds them before the transaction, to find the ranges of their keys
    `columns_of`  a relation that has their columns
    `computed`    the temporary tables that the transaction is to fill first: queries by name -#}
{% macro keep_winners(query, in_place) %}
    {{ return(adapter.dispatch('keep_winners')(query, in_place)) }}
{% endmacro %}

{#- What is read once is read in place. -#}
{% macro duckdb__keep_winners(query, in_place) %}
    {%- set name = 'versions_in_place' if in_place else 'newest_versions' -%}
    {% call statement('winners', auto_begin=False) %}
        create or replace temporary {{ 'view' if in_place else 'table' }} {{ name }} as
        {{ query }}
    {% endcall %}
    {{ return({
        'name': name, 'readable': name, 'computed': {},
        'columns_of': api.Relation.create(database='temp', schema='main', identifier=name)
    }) }}
{% endmacro %}

{#- They are to be read after the merge's turn has come. -#}
{% macro snowflake__keep_winners(query, in_place) %}
    {%- set kept = make_temp_relation(this) -%}
    {% call statement('winners', auto_begin=False) %}
        create or replace temporary table {{ kept }} as
        {{ query }}
        limit 0
    {% endcall %}
    {{ return({'name': kept, 'readable': '(' ~ query ~ ')', 'computed': {kept: query}, 'columns_of': kept}) }}
{% endmacro %}


{#- What must be so before all rows of a table go: the totals of their days are stale, and the ledger knows of no file. -#}
{% macro forget_files(table) %}
{{ mark_days_of(table) if config.meta_get('day') }}
delete from {{ ref('load_ledger') }} where {{ of_feed(config.meta_require('loads')) }};
{% endmacro %}


{#- The ranges of the keys that are compared. -#}
{% macro merge_ranges(feed, winners, model_rows, plan) %}
    {%- if plan.anew or plan.arriving == 'null' -%}{{ return('none') }}{%- endif -%}
    {%- if feed.kind == 'extract' -%}{{ return('all') }}{%- endif -%}
    {%- set keys -%}
        select {{ feed.key[0] }} from {{ winners }}
        union all
        select {{ feed.key[0] }} from ({{ model_rows }} ({{ plan.replaced }})) as replaced
    {%- endset -%}
    {{ return(key_ranges(feed.key[0], keys)) }}
{% endmacro %}


{#- The merge itself. -#}
{% macro merge_versions(feed, table, winners, columns, plan, ranges, is_empty) %}
    {%- set computed = winners.computed -%}
    {%- if feed.kind == 'extract' -%}
        {%- do computed.update({'merge_changes': collect_extract(table, winners.name, feed, columns, ranges)}) -%}
    {%- else -%}
        {%- do computed.update({'merge_changes': collect_changes(table, winners.name, feed, columns, plan, ranges)}) -%}
    {%- endif -%}
    {%- do computed.update({'merge_entering': count_entering(winners.name, feed.key, columns)}) -%}
    {% call in_transaction(computed) %}
    {{ stop_if_overtaken(feed.name, plan) }}
    {%- if not is_empty %}
    {{ forget_files(table) }}
    delete from {{ table }};
    {%- endif %}
    {{ write_ledger(feed.name, plan) }}
    {{ mark_touched_days() if config.meta_get('day') }}
    {{ apply_changes(table, winners.name, feed.key, columns, ranges) }}
    {{ forget_landings(feed.name) }}
    {% endcall %}
{% endmacro %}


{#- The same table computed from all that is let through by one window over all versions, and its ledger counted from what is
    stored: the way of an audit, which must not be that of the merge. -#}
{% macro newest_by_window(table, existing, feed, model_rows, plan) %}
{{ 'drop table ' ~ existing ~ ';' if existing }}
{%- set rows -%}
    {{ model_rows }} ({{ newest_extract(feed, plan) if feed.kind == 'extract' else plan.arriving }})
    qualify row_number() over (
        partition by {{ key_list(feed.key) }}
        order by {{ newest_first(plan.compared) }}
    ) = 1
{%- endset %}
{{ create_table_as(false, table, rows) }}
{{ count_ledger(feed.name, table, plan.arriving) }}
{% endmacro %}
