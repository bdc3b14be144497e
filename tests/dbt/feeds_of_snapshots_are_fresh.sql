-- Fails if a feed that the run's snapshot is made of has had nothing for days: what is late would be missing in it. One
-- of which nothing has ever come is unknown there, and not late; without a run's date nothing is. What is of a later
-- day, by a sender's clock that is wrong for one, does not count.
{{- config(tags=['churn']) }}
{%- set day, late = run_date() if execute else none, [] %}
{%- for feed, days in var('snapshot_feeds').items() if day %}
    {%- do late.append("(feed = '%s' and newest_day < cast('%s' as date) - interval '%s day')" | format(feed, day, days)) %}
{%- endfor %}
with newest as (

    select
        split_part(source_file, '/', 2) as feed,
        max(file_date) as newest_day
    from {{ ref('load_ledger') }}
    where {{ lets_through('verdict') }}{{ " and file_date <= cast('" ~ day ~ "' as date)" if day }}
    group by split_part(source_file, '/', 2)

    union all

    select
        'events' as feed,
        cast(max(event_timestamp) as date) as newest_day
    from {{ ref('usage_events') }}
    {{ "where event_timestamp < cast('" ~ day ~ "' as timestamp) + interval '1 day'" if day }}

)

select
    feed,
    newest_day
from newest
where {{ late | join(' or ') or 'false' }}
