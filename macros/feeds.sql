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
