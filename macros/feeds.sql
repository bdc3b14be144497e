{#- A feed is one kind of file with one contract. It is named under `config.meta.feed` of the model whose columns are the
    contract; all else follows from the name: raw_<feed>, typed_<feed>, rejected_<feed>, and the files below raw/<feed>/.
      name       of the folder in the landing zone
      key        the columns that name a thing, one or more
      kind       `changes` (the newest version of a key wins, `is_deleted` removes it) or `extract` (the newest file is
                 the whole table)
      files      `daily` (raw/<feed>/<date>/) or `hourly` (raw/<feed>/<date>/<hour>/)
      fresh      {column, days}: a file without a row whose `column` lies in the `days` up to its date is held
      shrinks_by of an extract: one that has lost a larger share of the rows of the one before is held
    Call it at run time only: at parse the graph is empty. -#}
{% macro feed_of(name) %}
    {%- set found = [] -%}
    {%- for node in graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') -%}
        {%- if (node.config.meta.feed or {}).name == name -%}{%- do found.append(node) -%}{%- endif -%}
    {%- endfor -%}
    {%- if found | length != 1 -%}
        {{ exceptions.raise_compiler_error(
            (found | length or 'No') ~ ' models have the contract of the feed ' ~ name
            ~ '. Exactly one must say `config: {meta: {feed: {name: ' ~ name ~ ', key: [...]}}}`.'
        ) }}
    {%- endif -%}
    {{ return(dict({'kind': 'changes', 'files': 'daily', 'contract': found[0].name}, **found[0].config.meta.feed)) }}
{% endmacro %}


{#- Whether a file is of a feed, by its path. -#}
{% macro of_feed(name, source_file='source_file') %}
    {{ return("split_part(" ~ source_file ~ ", '/', 2) = '" ~ name ~ "'") }}
{% endmacro %}


{#- Whether a file is of a feed of the project: the registers keep those of a table that was removed. -#}
{% macro of_known_feeds(source_file='source_file') %}
    {%- if not execute -%}{{ return('true') }}{%- endif -%}
    {%- set names = [] -%}
    {%- for node in graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') if node.config.meta.feed -%}
        {%- do names.append("'" ~ node.config.meta.feed.name ~ "'") -%}
    {%- endfor -%}
    {{ return("split_part(" ~ source_file ~ ", '/', 2) in (" ~ (names | sort | join(', ') or "''") ~ ")") }}
{% endmacro %}


{#- Forgets a table whose models are removed: `dbt run-operation forget_table --args '{name: orders}'`. What it has in the
    warehouse is dropped, raw rows too, and its files leave the registers, last of all, so that a killed one is run again.
    A release is kept for ever. -#}
{% macro forget_table(name) %}
    {%- set landed, ledger = source('landing', 'landed_files'), relation_of('load_ledger') -%}
    {%- if not modules.re.fullmatch('[a-z][a-z0-9_]*', name) -%}
        {{ exceptions.raise_compiler_error(name ~ ' is no name of a table.') }}
    {%- endif -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' and (node.config.meta.feed or {}).name == name -%}
        {{ exceptions.raise_compiler_error(
            name ~ ' is a table of the project: ' ~ node.original_file_path ~ '. Nothing was dropped. Remove its models first.'
        ) }}
    {%- endfor -%}
    {%- set done = [] -%}
    {%- for schema, table in [
        (ledger.schema, name ~ '_history'), (ledger.schema, name), (landed.schema, 'newest_' ~ name),
        (landed.schema, 'rejected_' ~ name), (landed.schema, 'clean_' ~ name), (landed.schema, 'typed_' ~ name),
        (landed.schema, 'raw_' ~ name)
    ] -%}
        {%- set there = adapter.get_relation(target.database, schema, table) -%}
        {%- if there -%}
            {%- do adapter.drop_relation(there) -%}
            {%- do done.append(schema ~ '.' ~ table) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set files = run_query(
        'select count(distinct source_file) from (select source_file from ' ~ landed ~ ' union select source_file from '
        ~ source('landing', 'refused_files') ~ ') as files where ' ~ of_feed(name)
    ).rows[0][0] -%}
    {%- for register in [ledger, source('landing', 'refused_files'), landed] -%}
        {%- do run_query('delete from ' ~ register ~ ' where ' ~ of_feed(name)) -%}
    {%- endfor -%}
    {%- do adapter.commit() -%}
    {%- if not done and not files -%}
        {{ exceptions.raise_compiler_error('Nothing is known of a table ' ~ name ~ '.') }}
    {%- endif -%}
    {%- do log('Dropped: ' ~ (done | join(', ') or 'nothing') ~ '. Forgotten: ' ~ files ~ ' file(s).', info=true) -%}
{% endmacro %}


{#- A key's columns as a list, of a row if one is named. -#}
{% macro key_list(key, row=none) %}
    {%- set columns = [] -%}
    {%- for column in key -%}{%- do columns.append(row ~ '.' ~ column if row else column) -%}{%- endfor -%}
    {{ return(columns | join(', ')) }}
{% endmacro %}


{#- The same as one value, to look for it in a subquery of key_list. -#}
{% macro key_value(key, row=none) %}
    {%- set columns = key_list(key, row) -%}
    {{ return('(' ~ columns ~ ')' if key | length > 1 else columns) }}
{% endmacro %}


{#- Whether two rows have the same key. -#}
{% macro same_key(a, b, key) %}
    {%- set conditions = [] -%}
    {%- for column in key -%}{%- do conditions.append(a ~ '.' ~ column ~ ' = ' ~ b ~ '.' ~ column) -%}{%- endfor -%}
    {{ return(conditions | join(' and ')) }}
{% endmacro %}
