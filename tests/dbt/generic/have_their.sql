{#- Fails for each value of a column, of the `days` up to the newest file, that stands in no row of the table that it
    refers to: it may come late, and is found by the next run. Those of a table that has no row yet are not counted.
    Older rows were judged in their time, so that the cost does not grow with the history. -#}
{% test have_their(model, column_name, to, field, feed, time, days=30) %}
{%- set ledger = ref('load_ledger') -%}
{%- set newest = newest_file_date(ledger, feed) -%}
{%- set there = newest and load_relation(model) and load_relation(to) -%}
-- depends_on: {{ to }}
select
    {{ column_name }},
    count(*) as rows_without,
    min(source_file) as first_file
from {{ model if there or not execute else '(select null as ' ~ column_name ~ ', null as source_file) as nothing' }}
where
    {{ column_name }} is not null
    {%- if there %}
    and {{ time }} >= cast('{{ newest }}' as timestamp) - interval '{{ days }} day'
    and {{ column_name }} not in (select {{ field }} from {{ to }})
    and exists (select 1 from {{ to }})
    {%- endif %}
group by {{ column_name }}
{% endtest %}
