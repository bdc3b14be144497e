{#- dbt's own macro of this name, with two more words: a test with `where: __arriving__` reads only the rows that the run
    is about to merge, and one with `where: __snapshots__` the snapshots of the run, so that its cost does not grow with
    the history. -#}
{% macro get_where_subquery(relation) -%}
    {%- set where = config.get('where', '') -%}
    {%- if not where -%}{{ return(relation) }}{%- endif -%}
    {%- if '__arriving__' in where and execute -%}
        {#- Before the first merge there is no ledger. -#}
        {%- set ledger = load_relation(relation_of('load_ledger')) -%}
        {%- set arriving = arriving_landings(relation_of('file_verdicts'), ledger) -%}
        {%- set where = where | replace('__arriving__', 'landing_id in (' ~ landing_ids(arriving, relation) ~ ')') -%}
    {%- endif -%}
    {%- if '__snapshots__' in where and execute -%}
        {%- set where = where | replace('__snapshots__', 'snapshot_date in (' ~ day_list(days_of_snapshots()) ~ ')') -%}
    {%- endif -%}
    {#- A comment at its end must not take the rest along. -#}
    {{ return('(select * from ' ~ relation ~ ' where ' ~ where ~ ('\n' if '--' in where else '') ~ ') dbt_subquery') }}
{%- endmacro %}


{#- A model's relation where ref() is not to be had, as in the `where` of a test, which dbt does not read at parse. -#}
{% macro relation_of(model_name) %}
    {%- set node = graph.nodes['model.' ~ project_name ~ '.' ~ model_name] -%}
    {{ return(api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias)) }}
{% endmacro %}
