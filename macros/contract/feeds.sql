{#- A feed is one kind of file with one contract. It is named under `config.meta.feed` of the model whose columns are
    the contract; all else follows from the name: raw_<feed>, typed_<feed>, rejected_<feed>, and the files below
    raw/<feed>/.
      name       of the folder in the landing zone
      key        the columns that name a thing, one or more
      kind       `changes` (the newest version of a key wins, `is_deleted` removes it) or `extract` (the newest file is
                 the whole table)
      files      `daily` (raw/<feed>/<date>/), `hourly` (raw/<feed>/<date>/<hour>/), or `topics`: objects of messages
                 (raw/<feed>/<topic>/<generation>/<partition>/<first offset>.parquet) whose values are JSON
      first_by   the columns by which the first version of a key stays; without, the newest `updated_at` wins
      within     the time by which a project may bound how far back copies of a key are looked for (var
                 `duplicates_within_days`)
      judged     false: no object is held, whatever share of it is rejected
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
    {{ return(dict({'kind': 'changes', 'files': 'daily', 'judged': true, 'contract': found[0].name}, **found[0].config.meta.feed)) }}
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
