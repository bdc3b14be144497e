{#- Forgets a table whose models are removed: `dbt run-operation forget_table --args '{name: orders}'`. What it has
    in the warehouse is dropped, raw rows too, and its files leave the registers, last of all, so that a killed one
    is run again. A release is kept for ever. -#}
{% macro forget_table(name) %}
    {%- set landed, ledger = ref('landed_files'), relation_of('load_ledger') -%}
    {%- if not modules.re.fullmatch('[a-z][a-z0-9_]*', name) -%}
        {{ exceptions.raise_compiler_error(name ~ ' is no name of a table.') }}
    {%- endif -%}
    {%- set models = graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') -%}
    {%- for node in models if (node.config.meta.feed or {}).name == name -%}
        {{ exceptions.raise_compiler_error(
            name ~ ' is a table of the project: ' ~ node.original_file_path
            ~ '. Nothing was dropped. Remove its models first.'
        ) }}
    {%- endfor -%}
    {%- set done = [] -%}
    {%- for schema, table in [
        (ledger.schema, name ~ '_history'), (landed.schema, 'versions_' ~ name), (ledger.schema, name),
        (landed.schema, 'newest_' ~ name), (landed.schema, 'rejected_' ~ name), (landed.schema, 'clean_' ~ name),
        (landed.schema, 'typed_' ~ name), (landed.schema, 'raw_' ~ name)
    ] -%}
        {%- set there = adapter.get_relation(target.database, schema, table) -%}
        {%- if there -%}
            {%- do adapter.drop_relation(there) -%}
            {%- do done.append(schema ~ '.' ~ table) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set files = run_query(
        'select count(distinct source_file) from (select source_file from ' ~ landed ~ ' union select source_file from '
        ~ ref('refused_files') ~ ') as files where ' ~ of_feed(name)
    ).rows[0][0] -%}
    {%- for register in [ledger, ref('refused_files'), landed] -%}
        {%- do run_query('delete from ' ~ register ~ ' where ' ~ of_feed(name)) -%}
    {%- endfor -%}
    {%- do adapter.commit() -%}
    {%- if not done and not files -%}
        {{ exceptions.raise_compiler_error('Nothing is known of a table ' ~ name ~ '.') }}
    {%- endif -%}
    {%- do log('Dropped: ' ~ (done | join(', ') or 'nothing') ~ '. Forgotten: ' ~ files ~ ' file(s).', info=true) -%}
{% endmacro %}
