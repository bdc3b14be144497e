{#- The materialization `typed_landings`: the rows of the raw table of a feed, typed by its contract, and the gate's
    verdict on each landing, in one transaction. What waits to be typed is added; a first run and a full refresh type
    all that has landed.
      meta.loads  the feed -#}
{% materialization typed_landings, default %}
    {%- set feed = feed_of(config.meta_require('loads')) -%}
    {%- set target = this.incorporate(type='table') -%}
    {%- set existing = existing_now(target) -%}
    {%- set anew = existing is none or should_full_refresh() -%}
    {%- set landings = landings_to_type(feed.name, anew) -%}

    {% do adapter.dispatch('set_query_tag')() %}
    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}

    {%- set shape = relation_like(sql) -%}
    {%- if anew -%}
        {%- set no_row = 'select * from (' ~ sql ~ ') as typed where false' -%}
        {%- do make_empty(target, existing, shape, no_row, wait_to_be_typed(feed.name)) -%}
    {%- else -%}
        {% do process_schema_changes('fail', shape, existing) %}
    {%- endif -%}
    {%- set columns = adapter.get_columns_in_relation(shape) | map(attribute='name') | map('lower') | join(', ') -%}
    {% call statement('main') %}
        {% call in_transaction() %}
        {#- Another run may have typed some of them meanwhile; or others, where all are typed anew. -#}
        {{ wait_to_be_typed(feed.name) if anew }}
        delete from {{ target }}{{ ' where landing_id in (' ~ landings ~ ')' if not anew }};

        {% for part in landings_in_parts(landings) %}
        insert into {{ target }} ({{ columns }})
        select {{ columns }}
        from (
        {{ type_rows(feed.name, ref('raw_' ~ feed.name), part) }}
        ) as typed;
        {% endfor %}

        {{ judge_landings(feed, landings) }}
        {% endcall %}
    {% endcall %}

    {% do apply_grants(target, config.get('grants'), should_revoke(existing, full_refresh_mode=anew)) %}
    {% do persist_docs(target, model) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [target]}) }}
{% endmaterialization %}


{#- The landings that are to be typed: those that wait for it of this run, or all of a feed. And of any day those that
    production is made of: a full refresh on Snowflake that was killed has left them untyped, and a merge looks in them
    for what comes back. -#}
{% macro landings_to_type(feed, anew) %}
    {%- set ledger = load_relation(relation_of('load_ledger')) if is_executing() -%}
    {%- set query -%}
        select landed.landing_id
        from {{ ref('landed_files') }} as landed
        where {{ of_feed(feed, 'landed.source_file') }}
        {%- if not anew %}
            and not landed.is_typed
            and (
                {{ of_run(row='landed') }}
                {{ 'or ' ~ in_ledger(ledger, row='landed') if ledger }}
            )
        {%- endif %}
    {%- endset -%}
    {{ return(landing_ids(query)) }}
{% endmacro %}


{#- Lists of landings that are typed at a time. -#}
{% macro landings_in_parts(landings) %}
    {{ return(adapter.dispatch('landings_in_parts')(landings)) }}
{% endmacro %}


{% macro default__landings_in_parts(landings) %}{{ return([landings]) }}{% endmacro %}


{#- DuckDB holds in memory what one statement types. A landing is not divided, for a key may stand in it twice. -#}
{% macro duckdb__landings_in_parts(landings, rows=200000) %}
    {%- if ',' not in landings -%}{{ return([landings]) }}{%- endif -%}
    {%- set query -%}
        select landing_id, received from {{ ref('landed_files') }} where landing_id in ({{ landings }}) order by landing_id
    {%- endset -%}
    {%- set parts, left = [], namespace(rows=0) -%}
    {%- for landing_id, received in run_query(query).rows -%}
        {%- if not parts or received > left.rows -%}
            {%- do parts.append([]) -%}
            {%- set left.rows = rows -%}
        {%- endif -%}
        {%- do parts[-1].append(landing_id) -%}
        {%- set left.rows = left.rows - received -%}
    {%- endfor -%}
    {{ return(parts | map('join', ', ') | list) }}
{% endmacro %}


{#- Before all typed rows of a feed go. -#}
{% macro wait_to_be_typed(feed) %}
update {{ ref('landed_files') }} set is_typed = false where {{ of_feed(feed) }};
{% endmacro %}
