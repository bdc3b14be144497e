{#- Fails if the newest `column` of a table is more than `days` before the run's date; of a run without a date,
    before that of the newest file that has come. The clock is not asked: a day that is loaded again is judged as it
    was. A table without rows is not stale. -#}
{% test is_fresh(model, feed, column, days=2) %}
{%- set day = run_date() if execute else none -%}
with expected as (

    select
        {% if day -%}
        cast('{{ day }}' as date) as day
        {%- else -%}
        max(file_date) as day
    from {{ ref('load_ledger') }}
    where {{ of_feed(feed) }}
        {%- endif %}

),

found as (

    select max({{ column }}) as newest
    from {{ model }}

)

select
    found.newest as newest_{{ column }},
    expected.day as run_date,
    {{ days }} as days_allowed
from found
cross join expected
where found.newest < expected.day - interval '{{ days }} day'
{% endtest %}
