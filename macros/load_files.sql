{#- A table of what arrived: every column text, plus the file, its content hash and the record number.
    The columns are those of the model's properties file. New and restated files only; a malformed file goes to
    `refused_files` whole. The table is never dropped, not by --full-refresh either: the files may be gone. -#}
{% materialization load_files, default %}
    {%- set relation = this.incorporate(type='table') -%}
    {%- set feed = config.require('feed') -%}
    {%- set landed = source('landing', 'landed_files') -%}
    {%- set refused = source('landing', 'refused_files') -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {% for table, columns in [
        (relation, model.columns),
        (landed, source_columns('landed_files')),
        (refused, source_columns('refused_files')),
    ] %}
        {% call statement('create_' ~ loop.index, auto_begin=False) %}
            create table if not exists {{ table }} (
                {% for column in columns.values() %}{{ column.name }} {{ column.data_type }}{{ ', ' if not loop.last }}{% endfor %}
            )
        {% endcall %}
    {% endfor %}
    {% do load_new_files(relation, landed, refused, feed, file_columns(model.columns), run_date()) %}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {% call statement('main') %}
        select 1
    {% endcall %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [relation]}) }}
{% endmaterialization %}


{#- The columns of a raw table that stand in the files: all but those that say where a row came from. -#}
{% macro file_columns(columns) %}
    {{ return(columns.keys() | reject('in', ['source_file', 'content_hash', 'source_record', 'file_date', 'landing_id']) | list) }}
{% endmacro %}


{% macro source_columns(name) %}
    {%- set found = graph.sources.values() | selectattr('name', 'equalto', name) | list -%}
    {{ return(found[0].columns) }}
{% endmacro %}


{% macro load_new_files(relation, landed, refused, feed, columns, day) %}
    {{ return(adapter.dispatch('load_new_files')(relation, landed, refused, feed, columns, day)) }}
{% endmacro %}


{% macro duckdb__load_new_files(relation, landed, refused, feed, columns, day) %}
    {%- set wanted = [] -%}
    {%- for name in columns -%}{%- do wanted.append(api.Column(name, 'varchar')) -%}{%- endfor -%}
    {% do adapter.store_relation(
        'landing', relation, wanted, landing_root(), 'csv',
        {'feed': feed, 'run_date': day, 'landed': landed, 'refused': refused}
    ) %}
{% endmacro %}


{% macro landing_root() %}
    {{ return(env_var('LANDING_ROOT', '') or 'demo/landing') }}
{% endmacro %}
