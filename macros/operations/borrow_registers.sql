{#- Before a build beside production (`make changed`), in schemas that are made afresh: the registers and the ledger
    as they are there. Those are written by a load, and `--defer` would hand out production's own. So are the raw
    tables that are to be built: their files are registered already and may be gone. -#}
{% macro borrow_registers(raw=[]) %}
    {%- if not schema_prefix() -%}
        {{ exceptions.raise_compiler_error(
            'There is nothing to borrow: the target ' ~ target.name ~ ' is production.'
        ) }}
    {%- endif -%}
    {%- set registers = graph.nodes.values() | selectattr('config.materialized', 'equalto', 'register') | list -%}
    {%- set borrowed = [] -%}
    {%- for node in registers + (graph.nodes.values() | selectattr('name', 'in', raw) | list) -%}
        {%- set table = relation_of(node.name) -%}
        {%- set there = in_production(table) or in_production(table, node.config.meta.formerly) -%}
        {%- if there -%}
            {%- do borrowed.append((table, there)) -%}
        {%- elif node in registers -%}
            {{ exceptions.raise_compiler_error(
                'There is nothing to borrow: the target ' ~ target.name ~ ' finds no ' ~ node.alias ~ ' in production.'
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
    {%- set last = 'select coalesce(max(landing_id), 0) from ' ~ relation_of('landed_files') -%}
    {%- set last = run_query(last).rows[0][0] | int -%}
    {%- for statement in create_what_orders_loads(last) -%}{%- do run_query(statement) -%}{%- endfor -%}
    {%- do adapter.commit() -%}
{% endmacro %}


{#- What production has of a table, under its name or another; none if it has none. -#}
{% macro in_production(table, name=none) %}
    {%- set schema = table.schema | replace(schema_prefix(), '', 1) -%}
    {{ return(adapter.get_relation(production_database(), schema, name or table.identifier)) }}
{% endmacro %}


{#- A query of the schemas and names of all tables and views of production. -#}
{% macro relations_in_production() %}
select lower(table_schema) as table_schema, lower(table_name) as table_name
from information_schema.tables
where lower(table_catalog) = lower({{ text_literal(production_database()) if execute else 'null' }})
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
