{#- `staging` and `prod` are the schemas' whole names, as the business knows them. What a developer or CI builds
    stands beside them, in schemas of its own. So does what an audit computes from the raw tables. -#}
{% macro generate_schema_name(custom_schema_name, node) %}
    {%- set schema = custom_schema_name or target.schema -%}
    {%- set computed = node.resource_type == 'model' and node.config.materialized != 'load_files' -%}
    {%- do stop_if_file_is_misnamed([schema_prefix() ~ schema, schema_prefix() ~ 'audit_' ~ schema]) -%}
    {{ return(schema_prefix() ~ ('audit_' ~ schema if computed and is_audit() else schema)) }}
{% endmacro %}


{#- DuckDB calls the catalog of a file by the file's name. If a schema has the same name, `prod.customers` could mean
    two things, and it reads neither; its own names it keeps or changes; and dbt writes names into SQL as they are.
    Told when dbt parses, before there is such a file. -#}
{% macro stop_if_file_is_misnamed(schemas) %}
    {%- set name = target.database -%}
    {%- if target.type == 'duckdb' -%}
        {%- if name | lower in schemas | map('lower') -%}
            {%- set problem = 'like the schema ' ~ name | lower
                ~ ' in it, and DuckDB could not tell one from the other' -%}
        {%- elif name | lower in ['main', 'temp', 'system', 'information_schema', 'pg_catalog'] -%}
            {%- set problem = name ~ ', a name that DuckDB keeps for itself' -%}
        {%- elif modules.re.search('["\'#\x00-\x1f]', target.path.split('/')[-1]) -%}
            {%- set problem = 'with a quote, a # or an invisible character, which dbt cannot write into SQL' -%}
        {%- endif -%}
        {%- if problem -%}
            {{ exceptions.raise_compiler_error(
                'The warehouse file ' ~ target.path ~ ' is named ' ~ problem
                ~ '. Give it another name (WAREHOUSE_PATH).'
            ) }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}


{#- Nothing for production, whose target bears the name of its adapter. -#}
{% macro schema_prefix() %}
    {{ return('' if target.name == target.type else target.schema ~ '_') }}
{% endmacro %}
