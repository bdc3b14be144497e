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
            from {{ ref('landed_files') }} as landed
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
        'in_place': feed.kind == 'extract' or ((arriving.isdigit() or arriving == 'null') and replaced == 'null')
    }) }}
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
            and landing_id not in ({{ plan.arriving }})
            and landing_id not in ({{ plan.replaced }})
            and {{ key_value(feed.key) }} in (
                select {{ key_list(feed.key) }} from ({{ model_rows }} ({{ plan.replaced }})) as replaced
            )
        {%- endif %}
    {%- endset -%}
    {{ return(candidates if plan.in_place else newest_of(feed, plan.compared, candidates)) }}
{% endmacro %}


{% macro newest_of(feed, compared, rows) %}
with overtaken as (
{{ keep_overtaken(overtaken_rows(feed, compared, rows)) }}
)
select * {{ rows_without(
    '(' ~ rows ~ ')', 'candidates', 'overtaken',
    'candidates.source_file = overtaken.source_file and candidates.source_record = overtaken.source_record'
) }}
{% endmacro %}


{#- The few rows that are overtaken are found once, so that those which remain can be read in place. -#}
{% macro keep_overtaken(query) %}
    {{ return(adapter.dispatch('keep_overtaken')(query)) }}
{% endmacro %}


{% macro duckdb__keep_overtaken(query) %}
    {%- if not is_executing() -%}{{ return(query) }}{%- endif -%}
    {% call statement('overtaken', auto_begin=False) %}
        create or replace temporary table overtaken_versions as
        {{ query }}
    {% endcall %}
    {{ return('select * from overtaken_versions') }}
{% endmacro %}


{% macro snowflake__keep_overtaken(query) %}{{ return(query) }}{% endmacro %}


{#- Of an extract, the one landing that the table is made of after this merge: that of the newest file, by its path;
    none if nothing arrives. -#}
{% macro newest_extract(feed, plan) %}
    {%- if plan.arriving == 'null' -%}{{ return('null') }}{%- endif -%}
    {%- set candidates -%}
        select landing_id, source_file
        from {{ ref('landed_files') }}
        where landing_id in ({{ plan.arriving }})
        {%- if not plan.anew %}
            or landing_id in ({{ landings_in_force(ref('load_ledger'), feed.name) }})
            {{- ' and landing_id not in (' ~ plan.replaced ~ ')' if plan.replaced != 'null' }}
        {%- endif %}
        qualify row_number() over (order by source_file desc, landing_id desc) = 1
    {%- endset -%}
    {{ return(adapter.dispatch('ids_under_lock')(candidates)) }}
{% endmacro %}


{% macro duckdb__ids_under_lock(query) %}
    {{ return(landing_ids(query)) }}
{% endmacro %}


{#- Which one is the newest may be another one once the merge has the lock. -#}
{% macro snowflake__ids_under_lock(query) %}
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


{#- What costs little to read again is read in place: a copy of all that arrives would take memory for all of it. -#}
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


{#- They are to be read under the lock. -#}
{% macro snowflake__keep_winners(query, in_place) %}
    {%- set kept = make_temp_relation(this) -%}
    {% call statement('winners', auto_begin=False) %}
        create or replace temporary table {{ kept }} as
        {{ query }}
        limit 0
    {% endcall %}
    {{ return({'name': kept, 'readable': '(' ~ query ~ ')', 'computed': {kept: query}, 'columns_of': kept}) }}
{% endmacro %}


{#- A merge of files whose rows are not all accounted for would lose some, so there is none. The tests of the gate
    say the same; this holds without them too, for `dbt run`. And a model that drops rows of its feed, or doubles
    them, would make the ledger lie. -#}
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
            ~ ' rows of them. Nothing was merged. The model may add columns; it must leave one row for each that it '
            ~ 'reads.'
        ) }}
    {%- endfor -%}
{% endmacro %}
