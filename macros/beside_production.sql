{#- At the start of a run beside production: the registers and the ledger as they are there. Those are written by a load, and
    `--defer` would hand out production's own. -#}
{% macro borrow_registers() %}
    {%- if execute and schema_prefix() and not is_audit() and flags.WHICH in ('build', 'run') -%}
        {%- set borrowed = [relation_of('load_ledger')] -%}
        {%- for name in ['landed_files', 'refused_files', 'released_files', 'touched_days'] -%}
            {%- do borrowed.append(source('landing', name)) -%}
        {%- endfor -%}
        {%- for table in borrowed -%}
            {%- set there = adapter.get_relation(production_database(), table.schema | replace(schema_prefix(), '', 1), table.identifier) -%}
            {%- if there and not load_relation(table) -%}
                {%- do adapter.create_schema(table.without_identifier()) -%}
                {%- do run_query('create table ' ~ table ~ ' as select * from ' ~ there) -%}
                {%- do adapter.cache_added(table.incorporate(type='table')) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do adapter.commit() -%}
    {%- endif -%}
{% endmacro %}


{#- Where production is: on Snowflake in the same database, on DuckDB in a file that the profile attaches. -#}
{% macro production_database() %}
    {{ return(adapter.dispatch('production_database')()) }}
{% endmacro %}

{% macro duckdb__production_database() %}
    {{ return('warehouse') }}
{% endmacro %}

{% macro snowflake__production_database() %}
    {{ return(target.database) }}
{% endmacro %}
