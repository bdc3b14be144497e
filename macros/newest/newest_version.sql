{#- The materialization `newest_version`: one row a key, the newest version of it that files in force hold. The model
    is a plain select from clean_<feed>. It also selects `landing_id`, which says with which content of which file a
    row came, and which the table does not keep.

      unique_key  the key, a list of columns; if it is not said, the contract's
      meta.loads  the feed whose files it is made of
      meta.day    the column by whose day totals are counted, if some are

    The rows, the ledger and the days whose totals are stale change in one transaction. In a first run and a full
    refresh all files arrive, in an empty table. -#}
{% materialization newest_version, default %}
    {%- set feed = feed_of(config.meta_require('loads')) -%}
    {%- do stop_if_the_key_is_another(feed) -%}
    {%- set target = this.incorporate(type='table') -%}
    {%- set existing = existing_now(target) -%}
    {%- set anew = existing is none or not existing.is_table or should_full_refresh() -%}

    {% do adapter.dispatch('set_query_tag')() %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {#- What the model makes, and what of it arrives now. -#}
    {%- set columns = model_columns(sql) -%}
    {%- set plan = merge_plan(feed, columns, anew) -%}
    {% do stop_if_rows_are_missing(feed, sql, plan) %}
    {%- set model_rows -%}
select {{ columns | join(', ') }}
from (
{{ sql }}
) as model
where landing_id in
    {%- endset -%}
    {%- set model_rows = model_rows ~ ' ' -%}

    {%- if is_audit() -%}
        {#- An audit computes the same another way. -#}
        {% call statement('main') %}
            {{ newest_by_window(target, existing, feed, model_rows, plan) }}
        {% endcall %}
    {%- else -%}
        {%- set is_gone = false -%}
        {%- set in_place = plan.in_place or plan.replaced == 'null' -%}
        {%- set winners = keep_winners(newest_versions(feed, model_rows, plan), in_place) -%}
        {%- if anew -%}
            {%- set no_row, before = model_rows ~ '(null)', forget_files(existing) -%}
            {%- set is_gone = make_empty(target, existing, winners.columns_of, no_row, before) -%}
        {%- else -%}
            {% do process_schema_changes('fail', winners.columns_of, existing) %}
        {%- endif -%}
        {%- set ranges = merge_ranges(feed, winners.readable, model_rows, plan) -%}
        {% call statement('main') %}
            {{ merge_versions(feed, target, winners, columns, plan, ranges, is_gone) }}
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


{#- A hook of such a model, empty when it runs. What it names the model depends on: what the materialization reads,
    and every model that a test of the gate reads, so that a failing one stops the merge. dbt takes it from here at
    parse. -#}
{% macro behind_the_gate(feed) %}
    {%- for name in [
        'raw_' ~ feed, 'typed_' ~ feed, 'clean_' ~ feed, 'rejected_' ~ feed, 'file_verdicts', 'landed_files',
        'load_ledger', 'stale_days'
    ] -%}
        {%- do ref(name) -%}
    {%- endfor -%}
    {#- So that `state:modified` sees a change of the merge: dbt looks for calls, and takes no notice of
        materializations. -#}
    {%- if false -%}{%- do materialization_newest_version_default() -%}{%- endif -%}
{% endmacro %}


{#- What readers of the model take for its key is what the merge goes by. -#}
{% macro stop_if_the_key_is_another(feed) %}
    {%- set key = config.get('unique_key') or feed.key -%}
    {%- if key | list != feed.key | list -%}
        {{ exceptions.raise_compiler_error(
            'The unique_key of ' ~ this.identifier ~ ' is ' ~ key | join(', ') ~ ', and the key of the contract in '
            ~ feed.contract ~ ' is ' ~ feed.key | join(', ') ~ '. Nothing was merged. Write the same in both.'
        ) }}
    {%- endif -%}
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


{#- What must be so before all rows of a table go: the totals of their days are stale, and the ledger knows of no
    file. -#}
{% macro forget_files(table) %}
{{ mark_days_of(table) if config.meta_get('day') }}
delete from {{ ref('load_ledger') }} where {{ of_feed(config.meta_require('loads')) }};
{% endmacro %}


{#- The merge itself. -#}
{% macro merge_versions(feed, table, winners, columns, plan, ranges, is_gone) %}
    {%- set computed = winners.computed -%}
    {%- if feed.kind == 'extract' -%}
        {%- do computed.update({'merge_changes': collect_extract(table, winners.name, feed, columns, ranges)}) -%}
    {%- else -%}
        {%- do computed.update({'merge_changes': collect_changes(table, winners.name, feed, columns, plan, ranges)}) -%}
    {%- endif -%}
    {%- do computed.update({'merge_entering': count_entering(winners.name, feed.key, columns)}) -%}
    {% call in_transaction(computed) %}
    {{ stop_if_overtaken(feed.name, plan) if not is_gone }}
    {%- if plan.anew %}
    {{ forget_files(table) }}
    delete from {{ table }};
    {%- endif %}
    {{ write_ledger(feed.name, plan) }}
    {{ mark_stale_days() if config.meta_get('day') }}
    {{ apply_changes(table, winners.name, feed.key, columns, ranges) }}
    {{ forget_landings(feed.name) }}
    {% endcall %}
{% endmacro %}


{#- The same table computed from all that is let through by one window over all versions, and its ledger counted from
    what is stored: the way of an audit, which must not be that of the merge. -#}
{% macro newest_by_window(table, existing, feed, model_rows, plan) %}
{{ 'drop table ' ~ existing ~ ';' if existing }}
{%- set rows -%}
    {{ model_rows }} ({{ newest_extract(feed, plan) if feed.kind == 'extract' else plan.arriving }})
    qualify row_number() over (
        partition by {{ key_list(feed.key) }}
        order by {{ newest_first(feed, plan.compared) }}
    ) = 1
{%- endset %}
{{ create_table_as(false, table, rows) }}
{{ count_ledger(feed.name, table, plan.arriving) }}
{% endmacro %}


{#- A merge is planned before it has the lock. Another run may have merged a content of the arriving files since
    then; where the table is made anew, of any file. -#}
{% macro stop_if_overtaken(feed, plan) %}
    {{ return(adapter.dispatch('stop_if_overtaken')(feed, plan)) }}
{% endmacro %}


{% macro duckdb__stop_if_overtaken(feed, plan) %}{% endmacro %}


{% macro snowflake__stop_if_overtaken(feed, plan) %}
{%- set landed = ref('landed_files') -%}
select to_number('another run has merged ' || in_force.source_file || ' meanwhile. Nothing was written; run it again')
from {{ landed }} as in_force
{%- if not plan.anew %}
inner join {{ landed }} as planned
    on in_force.source_file = planned.source_file
{%- endif %}
where
    in_force.landing_id not in ({{ '-1' if plan.in_force == 'null' else plan.in_force }})
    and in_force.landing_id in ({{ landings_in_force(ref('load_ledger'), feed) }})
    {%- if not plan.anew %}
    and planned.landing_id in ({{ plan.arriving }})
    {%- endif %};
{% endmacro %}
