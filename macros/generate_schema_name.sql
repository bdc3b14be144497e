{#- `staging` and `prod` are the schemas' whole names, as the business knows them. What a developer or CI builds stands beside
    them, in schemas of its own. So does what an audit computes from the raw tables. -#}
{% macro generate_schema_name(custom_schema_name, node) %}
    {%- set schema = custom_schema_name or target.schema -%}
    {%- set computed = node.resource_type == 'model' and node.config.materialized != 'load_files' -%}
    {{ return(schema_prefix() ~ ('audit_' ~ schema if computed and is_audit() else schema)) }}
{% endmacro %}


{#- Nothing for production, whose target bears the name of its adapter. -#}
{% macro schema_prefix() %}
    {{ return('' if target.name == target.type else target.schema ~ '_') }}
{% endmacro %}
