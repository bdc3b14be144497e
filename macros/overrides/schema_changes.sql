{#- dbt's own macro of this name, which says what to do when the contract of a table with rows has changed. -#}
{% macro process_schema_changes(on_schema_change, source_relation, target_relation) %}
    {%- if on_schema_change != 'fail' -%}
        {{ return(dbt.process_schema_changes(on_schema_change, source_relation, target_relation)) }}
    {%- endif -%}
    {%- set changes = check_for_schema_changes(source_relation, target_relation) -%}
    {%- if not changes.schema_changed -%}{{ return(changes.source_columns) }}{%- endif -%}
    {%- set said = [] -%}
    {%- for column in changes.source_not_in_target -%}{%- do said.append(column.name | lower ~ ' is new') -%}{%- endfor -%}
    {%- for column in changes.target_not_in_source -%}{%- do said.append(column.name | lower ~ ' is gone') -%}{%- endfor -%}
    {%- for column in changes.new_target_types -%}
        {%- do said.append(column.column_name | lower ~ ' becomes ' ~ column.new_type | lower) -%}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error(
        'The columns of ' ~ target_relation.identifier | lower ~ ' have changed: ' ~ said | join(', ')
        ~ '. Nothing was written. Make it anew from the raw rows: dbt build --full-refresh --select '
        ~ ('tag:' ~ model.tags[0] if model.tags else model.name) ~ '+'
    ) }}
{% endmacro %}
