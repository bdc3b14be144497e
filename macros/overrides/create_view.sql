{#- On Snowflake a view is replaced only if its definition is another one: a run that is not the first changes
    nothing of production but rows, and who looks at it meanwhile loses nothing. Its comment holds a checksum of the
    definition. -#}
{% macro snowflake__create_view_as(relation, sql) %}
    {#- With the contract, so that a change of that alone is looked at too. -#}
    {%- set types = model.columns.values() | map(attribute='data_type') | list -%}
    {%- set definition = 'definition ' ~ local_md5(sql ~ model.columns.keys() | list ~ types) -%}
    {%- if not should_full_refresh() and load_relation(relation) and definition == comment_of(relation) -%}
        select 'unchanged' as status
    {%- else -%}
        {{ dbt.snowflake__create_view_as(relation, sql) }}
        comment on view {{ relation }} is {{ text_literal(definition) }};
    {%- endif -%}
{% endmacro %}


{% macro comment_of(relation) %}
    {%- set found = run_query(
        'select comment from ' ~ relation.information_schema('tables') ~ ' where table_schema = '
        ~ text_literal(relation.schema | upper) ~ ' and table_name = ' ~ text_literal(relation.identifier | upper)
    ) -%}
    {{ return(found.rows[0][0] if found.rows else none) }}
{% endmacro %}
