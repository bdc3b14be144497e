{#- A table of what arrived: every column of the contract as text, plus the file, its content hash and the record
    number. New and restated files only; a malformed file goes to `refused_files` whole. The table is never dropped,
    not by
    --full-refresh either: the files may be gone. A column that the contract has gained is null for what came
    before. -#}
{% materialization load_files, default %}
    {%- set relation = this.incorporate(type='table') -%}
    {%- set feed = feed_of(config.meta_require('loads')) -%}
    {%- set contract = contract_columns(feed.name) -%}

    {{ run_hooks(pre_hooks, inside_transaction=False) }}
    {%- set changes = create_raw_table(relation, feed, contract) -%}
    {%- for change in changes %}
        {% call statement('create_' ~ loop.index) %}
            {{ change }}
        {% endcall %}
    {%- endfor %}
    {% call statement('last_landing', fetch_result=true) %}
        select coalesce(max(landing_id), 0) from {{ ref('landed_files') }}
    {% endcall %}
    {#- Files are loaded by a cursor of their own, which cannot write a table that another transaction alters; and this
        one would not see what they have brought. -#}
    {% do adapter.commit() %}
    {% do load_new_files(
        relation, ref('landed_files'), ref('refused_files'), feed, contract, run_date()
    ) %}
    {{ run_hooks(pre_hooks, inside_transaction=True) }}
    {#- What is new is the result, by which Airflow tells whether anything was. -#}
    {% call statement('landed', fetch_result=true) %}
        select count(*) from {{ ref('landed_files') }}
        where landing_id > {{ load_result('last_landing')['data'][0][0] }} and {{ of_feed(feed.name) }}
    {% endcall %}
    {%- set landed = load_result('landed')['data'][0][0] -%}
    {% do store_raw_result(name='main', message='loaded', code='loaded', rows_affected=landed) %}
    {{ run_hooks(post_hooks, inside_transaction=True) }}
    {% do adapter.commit() %}
    {{ run_hooks(post_hooks, inside_transaction=False) }}

    {{ return({'relations': [relation]}) }}
{% endmaterialization %}


{#- The statements after which a raw table has all columns of the contract, or of messages. -#}
{% macro create_raw_table(relation, feed, contract) %}
    {%- set columns, arrived = [], [] -%}
    {%- for column in contract -%}{%- do arrived.append((column.name, 'varchar')) -%}{%- endfor -%}
    {%- for name, data_type in (message_columns() if feed.files == 'topics' else arrived) + [
        ('source_file', 'varchar'), ('content_hash', 'varchar'), ('source_record', 'bigint'), ('file_date', 'date'),
        ('landing_id', 'bigint')
    ] -%}
        {%- do columns.append({'name': name, 'data_type': data_type}) -%}
    {%- endfor -%}
    {{ return(create_or_extend(relation, columns)) }}
{% endmacro %}


{% macro load_new_files(relation, landed, refused, feed, contract, day) %}
    {{ return(adapter.dispatch('load_new_files')(relation, landed, refused, feed, contract, day)) }}
{% endmacro %}


{% macro duckdb__load_new_files(relation, landed, refused, feed, contract, day) %}
    {%- set wanted = [] -%}
    {%- for column in contract -%}{%- do wanted.append(api.Column(column.name, 'varchar')) -%}{%- endfor -%}
    {% do adapter.store_relation('landing', relation, wanted, landing_root(), 'csv', {
        'feed': feed.name, 'files': feed.files, 'run_date': day, 'landed': landed, 'refused': refused,
        'optional': optional_columns(contract), 'generations': relation_of('topic_generations')
    }) %}
{% endmacro %}


{% macro landing_root() %}
    {{ return(env_var('LANDING_ROOT', '') or 'demo/landing') }}
{% endmacro %}
