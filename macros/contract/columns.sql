{#- The contract of a feed: the columns of the model that names the feed (feeds.sql), those that say where a
    row came from left out. A column has a data_type and under `config.meta`: `required` (may not be empty),
    `optional` (the file may lack the column), `default` (what empty stands for), `rule` (a condition over typed
    columns and file_date) with `says` (the reason, after the column's name), `listed_in` (a seed of accepted
    values). Read it at run time only: at parse the columns are not yet known. -#}
{% macro contract_columns(feed) %}
    {%- set node = graph.nodes['model.' ~ project_name ~ '.' ~ feed_of(feed).contract] -%}
    {{ return(node.columns.values() | rejectattr('name', 'in', lineage_columns()) | list) }}
{% endmacro %}


{#- The names of the contract's columns, in order; at parse none. -#}
{% macro contract_names(feed) %}
    {{ return(contract_columns(feed) | map(attribute='name') | list if execute else []) }}
{% endmacro %}


{% macro lineage_columns() %}
    {{ return([
        'source_file', 'content_hash', 'source_record', 'file_date', 'landing_id', 'reject_reasons', 'is_overtaken'
    ]) }}
{% endmacro %}


{#- The columns that a file may lack. -#}
{% macro optional_columns(contract) %}
    {{ return(contract | selectattr('config.meta.optional', 'true') | map(attribute='name') | list) }}
{% endmacro %}


{#- The values of a seed as a list of SQL literals: rows are
    compared with it without a join. -#}
{% macro accepted_values(seed, column) %}
    {%- if not is_executing() -%}{{ return("''") }}{%- endif -%}
    {%- if load_relation(ref(seed)) is none -%}
        {{ exceptions.raise_compiler_error(
            'The accepted values are not there yet. Run `dbt seed` first, or `dbt build`.'
        ) }}
    {%- endif -%}
    {%- set rows = run_query(
        'select distinct ' ~ column ~ ' from ' ~ ref(seed) ~ ' where ' ~ column ~ ' is not null order by 1'
    ).rows -%}
    {%- set literals = [] -%}
    {%- for value in rows | map('first') -%}
        {%- if value is not string -%}
            {{ exceptions.raise_compiler_error(
                'The column ' ~ column ~ ' of the seed ' ~ seed
                ~ ' is no text in the warehouse, and accepted values are. Take its column_types '
                ~ 'away if it has any, and make it anew: dbt seed --full-refresh --select ' ~ seed
            ) }}
        {%- endif -%}
        {%- do literals.append(text_literal(value)) -%}
    {%- endfor -%}
    {{ return(literals | join(', ') or "''") }}
{% endmacro %}
