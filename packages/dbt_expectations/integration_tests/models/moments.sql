-- Two hours and three days ago, tomorrow, and never.
{%- set now = dbt_expectations.now() %}
select
    label,
    cast(seen_at as {{ dbt_expectations.type_timestamp() }}) as seen_at,
    cast(seen_at as date) as seen_on
from (
    select
        'recent' as label,
        {{ dbt.dateadd('hour', -2, now) }} as seen_at
    union all
    select
        'old' as label,
        {{ dbt.dateadd('day', -3, now) }} as seen_at
    union all
    select
        'recent' as label,
        {{ dbt.dateadd('day', 1, now) }} as seen_at
    union all
    select
        'never' as label,
        null as seen_at
) as rows_of_moments
