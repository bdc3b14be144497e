{#- Before a build beside production (`make changed`): the registers and the ledger as they are there. Those are written by a load,
    and `--defer` would hand out production's own. -#}
{% macro borrow_registers() %}
    {%- if not schema_prefix() -%}
        {{ exceptions.raise_compiler_error('There is nothing to borrow: the target ' ~ target.name ~ ' is production.') }}
    {%- endif -%}
    {%- set borrowed = [relation_of('load_ledger')] -%}
    {%- for name in ['landed_files', 'refused_files', 'released_files', 'touched_days'] -%}
        {%- do borrowed.append(source('landing', name)) -%}
    {%- endfor -%}
    {%- for table in borrowed -%}
        {%- set there = adapter.get_relation(production_database(), table.schema | replace(schema_prefix(), '', 1), table.identifier) -%}
        {%- if not there -%}
            {{ exceptions.raise_compiler_error(
                'There is nothing to borrow: the target ' ~ target.name ~ ' finds no ' ~ table.identifier ~ ' in production.'
            ) }}
        {%- endif -%}
        {%- do adapter.create_schema(table.without_identifier()) -%}
        {%- do run_query('create or replace table ' ~ table ~ ' as select * from ' ~ there) -%}
    {%- endfor -%}
    {%- do adapter.dispatch('continue_what_orders_runs')(source('landing', 'landed_files')) -%}
    {%- do adapter.commit() -%}
{% endmacro %}


{#- The twin of create_what_orders_runs for registers that have rows: numbers go on behind theirs. -#}
{% macro duckdb__continue_what_orders_runs(landed) %}{% endmacro %}

{% macro snowflake__continue_what_orders_runs(landed) %}
    {%- set last = run_query('select coalesce(max(landing_id), 0) from ' ~ landed).rows[0][0] | int -%}
    {%- set ids = landed.include(identifier=false) ~ '.landing_ids' -%}
    {%- do run_query('create or replace sequence ' ~ ids ~ ' start ' ~ (last + 1) ~ ' increment 1 order') -%}
    {%- do run_query('create or replace table ' ~ source('landing', 'merge_turns') ~ ' as select 0 as turn') -%}
{% endmacro %}


{#- Where production is: on Snowflake in the same database, on DuckDB in a file that the profile attaches. -#}
{% macro production_database() %}
    {{ return(adapter.dispatch('production_database')()) }}
{% endmacro %}

{% macro duckdb__production_database() %}
    {{ return(run_query('select database_name from duckdb_databases() where readonly and not internal').rows[0][0]) }}
{% endmacro %}

{% macro snowflake__production_database() %}
    {{ return(target.database) }}
{% endmacro %}


{#- `--empty` and `--sample` build everything from no row or from some rows: of use beside production, and its end there. They
    work on what ref and source give, which ask here; all models read one of them. -#}
{% macro stop_if_production_would_be_emptied() %}
    {%- set empty, sample = flags.EMPTY, invocation_args_dict.get('sample') -%}
    {%- if (empty or sample) and not schema_prefix() and flags.WHICH in ['build', 'run', 'snapshot', 'retry'] -%}
        {{ exceptions.raise_compiler_error(
            'The target ' ~ target.name ~ ' is production, which --' ~ ('empty' if empty else 'sample') ~ ' would build from '
            ~ ('no row' if empty else 'some of its rows') ~ ': leave the option away.'
        ) }}
    {%- endif -%}
{% endmacro %}
