{#- Before a build beside production (`make changed`), in schemas that are made afresh: the registers and the ledger as they are
    there. Those are written by a load, and `--defer` would hand out production's own. So are the raw tables that are to be
    built: their files are registered already and may be gone. -#}
{% macro borrow_registers(raw=[]) %}
    {%- if not schema_prefix() -%}
        {{ exceptions.raise_compiler_error('There is nothing to borrow: the target ' ~ target.name ~ ' is production.') }}
    {%- endif -%}
    {%- set registers = [relation_of('load_ledger')] -%}
    {%- for name in ['landed_files', 'refused_files', 'released_files', 'touched_days'] -%}
        {%- do registers.append(source('landing', name)) -%}
    {%- endfor -%}
    {%- set tables, borrowed = registers[:], [] -%}
    {%- for name in raw -%}{%- do tables.append(relation_of(name)) -%}{%- endfor -%}
    {%- for table in tables -%}
        {%- set there = adapter.get_relation(production_database(), table.schema | replace(schema_prefix(), '', 1), table.identifier) -%}
        {%- if there -%}
            {%- do borrowed.append((table, there)) -%}
        {%- elif table in registers -%}
            {{ exceptions.raise_compiler_error(
                'There is nothing to borrow: the target ' ~ target.name ~ ' finds no ' ~ table.identifier ~ ' in production.'
            ) }}
        {%- endif -%}
    {%- endfor -%}
    {%- for schema in graph.nodes.values() | map(attribute='schema') | unique if schema.startswith(schema_prefix()) -%}
        {%- do adapter.drop_schema(api.Relation.create(database=target.database, schema=schema)) -%}
    {%- endfor -%}
    {%- for table, there in borrowed -%}
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
    {%- do run_query(create_session_schema()) -%}
    {%- do run_query('create or replace sequence ' ~ ids ~ ' start ' ~ (last + 1) ~ ' increment 1 order') -%}
    {%- do run_query('create or replace table ' ~ source('landing', 'merge_turns') ~ ' as select cast(0 as bigint) as turn') -%}
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
