{#- `staging` and `prod` are the schemas' whole names, as the business knows them. An audit builds beside them all that
    is computed from the raw tables. -#}
{% macro generate_schema_name(custom_schema_name, node) %}
    {%- set schema = custom_schema_name or target.schema -%}
    {%- set computed = node.resource_type == 'model' and node.config.materialized != 'load_files' -%}
    {{ return('audit_' ~ schema if computed and is_audit() else schema) }}
{% endmacro %}
