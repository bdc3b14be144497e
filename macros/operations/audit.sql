{#- Fails while there is nothing to audit, or something that has landed or was released and is not merged. -#}
{% macro audit_ready() %}
    {%- set landed, verdicts = ref('landed_files'), relation_of('file_verdicts') -%}
    {%- set ledger = load_relation(relation_of('load_ledger')) -%}
    {%- if not (load_relation(landed) and load_relation(verdicts) and ledger) -%}
        {{ exceptions.raise_compiler_error('Nothing has been loaded yet. Run `dbt build` first.') }}
    {%- endif -%}
    {%- set waiting = unfinished_files(verdicts, ledger) ~ ' order by 1' -%}
    {%- set files = run_query(waiting).columns[0].values() -%}
    {%- if files -%}
        {{ exceptions.raise_compiler_error(
            files | length ~ ' file(s) have landed or were released and are not merged yet, ' ~ files[0]
            ~ ' first. Run `dbt build` first.'
        ) }}
    {%- endif -%}
{% endmacro %}


{#- The registers that an audit begins with: what has landed, as if nothing of it had been typed yet. -#}
{% macro audit_registers() %}
    {%- do adapter.create_schema(api.Relation.create(database=target.database, schema='audit_staging')) -%}
    {%- for name in ['landed_files', 'refused_files', 'released_files', 'topic_generations'] -%}
        {%- set register = ref(name) -%}
        {%- set there = register.incorporate(path={'schema': 'staging'}) -%}
        {%- if load_relation(there) -%}
            {%- do run_query('create or replace table ' ~ register ~ ' as select * from ' ~ there) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- do run_query('update ' ~ ref('landed_files') ~ ' set is_typed = false') -%}
    {%- do adapter.commit() -%}
{% endmacro %}


{#- Compares every table of `prod` with its twin that an audit has built from the raw tables, row for row, and logs what
    differs. Fails if anything does. -#}
{% macro audit_compare(shown=20) %}
    {%- set models = graph.nodes.values() | selectattr('resource_type', 'equalto', 'model')
        | selectattr('schema', 'equalto', 'audit_prod') | rejectattr('tags', 'equalto', ['churn']) | sort(attribute='name') -%}
    {%- set differing = [] -%}
    {%- for model in models -%}
        {%- set twin = api.Relation.create(database=model.database, schema=model.schema, identifier=model.alias) -%}
        {%- set table = api.Relation.create(database=model.database, schema='prod', identifier=model.alias) -%}
        {%- set is_there = adapter.get_relation(table.database, table.schema, table.identifier) -%}
        {%- set is_computed = adapter.get_relation(twin.database, twin.schema, twin.identifier) -%}
        {%- if not is_there and not is_computed -%}{%- continue -%}{%- endif -%}
        {%- if not is_there -%}
            {{ exceptions.raise_compiler_error(table ~ ' does not exist yet. Run `dbt build` first.') }}
        {%- elif not is_computed -%}
            {{ exceptions.raise_compiler_error(
                table ~ ' is there, but no file of what it is made from was ever loaded.'
            ) }}
        {%- endif -%}
        {%- set columns = adapter.get_columns_in_relation(table) | map(attribute='name') | join(', ') -%}
        {#- Files of a table that was removed are not of the project any more. -#}
        {%- set ours = of_known_feeds() if 'source_file' in columns | lower and not model.tags else 'true' -%}
        {%- set differences -%}
            select
                case when sum(surplus) > 0 then 'only in production' else 'missing in production' end as side,
                {{ columns }},
                abs(sum(surplus)) as differing
            from (
                select {{ columns }}, 1 as surplus from {{ table }} where {{ ours }}
                union all
                select {{ columns }}, -1 as surplus from {{ twin }}
            ) as both_sides
            group by {{ columns }}
            having sum(surplus) <> 0
        {%- endset -%}
        {%- set counted = 'select coalesce(sum(differing), 0) from (' ~ differences ~ ') as differences' -%}
        {%- set count = run_query(counted).rows[0][0] | int -%}
        {%- set size = run_query('select count(*) from ' ~ table ~ ' where ' ~ ours).rows[0][0] | int -%}
        {%- if count == 0 -%}
            {% do log('prod.' ~ model.alias ~ ': ' ~ size ~ ' rows, equal', info=true) %}
        {%- else -%}
            {% do differing.append('prod.' ~ model.alias ~ ' in ' ~ count ~ ' rows') %}
            {% do log('prod.' ~ model.alias ~ ': ' ~ size ~ ' rows, ' ~ count ~ ' differ:', info=true) %}
            {%- set ordered -%}
                select side, {{ columns }} from ({{ differences }}) as differences order by 2, 3, 1 limit {{ shown }}
            {%- endset -%}
            {%- for row in run_query(ordered).rows -%}
                {% do log('  ' ~ row.values() | join(' | '), info=true) %}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if differing -%}
        {{ exceptions.raise_compiler_error(
            'Production differs from what the raw tables say: ' ~ differing | join(', ')
            ~ '. `dbt build --full-refresh` rebuilds it.'
        ) }}
    {%- endif -%}
{% endmacro %}


{#- Drops what an audit has built. -#}
{% macro audit_drop() %}
    {%- for schema in ['audit_prod', 'audit_staging'] -%}
        {%- do adapter.drop_schema(api.Relation.create(database=target.database, schema=schema)) -%}
    {%- endfor -%}
{% endmacro %}
