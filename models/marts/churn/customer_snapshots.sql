{{ config(
    materialized='incremental',
    incremental_strategy='replaced_days',
    unique_key='snapshot_date',
    full_refresh=false,
    meta={'login_event': var('login_event')},
    tags=['churn']
) }}

-- depends_on: {{ ref('load_ledger') }}
-- What was known at the end of a day, of each customer who was one then. A fact counts if it had happened by then and
-- if the files say that it was known: a version holds from valid_from to valid_to.
with snapshots as (

    {{ snapshot_days() }}

),

customers as (

    select
        snapshots.snapshot_date,
        customers.customer_id
    from snapshots
    inner join {{ ref('customers_history') }} as customers
        on
            snapshots.ends_at > customers.valid_from
            and (customers.valid_to is null or snapshots.ends_at <= customers.valid_to)
            and snapshots.ends_at > customers.signed_up_at
            and (customers.cancelled_at is null or snapshots.ends_at <= customers.cancelled_at)

),

logins as (

    select
        snapshots.snapshot_date,
        events.user_id as customer_id,
        max(events.event_timestamp) as last_login_at
    from snapshots
    inner join {{ ref('usage_event_copies') }} as events
        on snapshots.ends_at > events.event_timestamp and snapshots.ends_at > events.known_at
    where events.event_type = {{ text_literal(var('login_event')) }}
    group by snapshots.snapshot_date, events.user_id

),

features_in_use as (

    select
        snapshots.snapshot_date,
        events.user_id as customer_id,
        count(distinct events.event_type) as features_used
    from snapshots
    inner join {{ ref('usage_event_copies') }} as events
        on snapshots.ends_at > events.event_timestamp and snapshots.ends_at > events.known_at
    where
        events.event_timestamp >= snapshots.ends_at - interval '30 day'
        and events.event_type in (select features.feature from {{ ref('features') }} as features)
    group by snapshots.snapshot_date, events.user_id

),

-- The first moment by which an event of anybody had happened and was known.
first_event as (

    select min(greatest(event_timestamp, known_at)) as known_at
    from {{ ref('usage_event_copies') }}

),

tickets as (

    select
        snapshots.snapshot_date,
        tickets.customer_id,
        count(case when tickets.opened_at >= snapshots.ends_at - interval '30 day' then 1 end) as opened_30d
    from snapshots
    inner join {{ ref('support_tickets_history') }} as tickets
        on
            snapshots.ends_at > tickets.valid_from
            and (tickets.valid_to is null or snapshots.ends_at <= tickets.valid_to)
            and snapshots.ends_at > tickets.opened_at
    group by snapshots.snapshot_date, tickets.customer_id

),

payments as (

    select
        snapshots.snapshot_date,
        payments.customer_id,
        count(case
            when payments.status = 'failed' and payments.paid_at >= snapshots.ends_at - interval '90 day' then 1
        end) as failed_90d
    from snapshots
    inner join {{ ref('payments_history') }} as payments
        on
            snapshots.ends_at > payments.valid_from
            and (payments.valid_to is null or snapshots.ends_at <= payments.valid_to)
            and snapshots.ends_at > payments.paid_at
    group by snapshots.snapshot_date, payments.customer_id

),

answers as (

    select
        snapshots.snapshot_date,
        answers.customer_id,
        answers.score
    from snapshots
    inner join {{ ref('nps_responses_history') }} as answers
        on
            snapshots.ends_at > answers.valid_from
            and (answers.valid_to is null or snapshots.ends_at <= answers.valid_to)
            and snapshots.ends_at > answers.responded_at
    qualify row_number() over (
        partition by snapshots.snapshot_date, answers.customer_id
        order by answers.responded_at desc, answers.response_id desc
    ) = 1

),

ticket_days as (select distinct snapshot_date from tickets),

payment_days as (select distinct snapshot_date from payments),

-- Of which kinds of facts any was known: none of a customer is zero if there are some of others, and unknown if not.
known as (

    select
        snapshots.snapshot_date,
        coalesce(snapshots.ends_at > first_event.known_at, false) as knows_activity,
        tickets.snapshot_date is not null as knows_tickets,
        payments.snapshot_date is not null as knows_payments
    from snapshots
    cross join first_event
    left join ticket_days as tickets on snapshots.snapshot_date = tickets.snapshot_date
    left join payment_days as payments on snapshots.snapshot_date = payments.snapshot_date

)

select
    customers.customer_id,

    -- Null for a customer who has never signed in.
    cast(
        datediff('day', cast(logins.last_login_at as date), customers.snapshot_date) as integer
    ) as days_since_last_login,

    cast(case when known.knows_tickets then coalesce(tickets.opened_30d, 0) end as integer) as support_tickets_30d,

    -- Distinct features used in 30 days over all features on offer.
    cast(
        case when known.knows_activity then coalesce(features_in_use.features_used, 0) end
        / nullif(cast((select count(*) from {{ ref('features') }}) as double), 0)
        as decimal(9, 6)
    ) as feature_adoption_score,

    cast(case when known.knows_payments then coalesce(payments.failed_90d, 0) end as integer) as payment_failures_90d,

    -- The last answer; null for a customer who has not answered.
    cast(answers.score as integer) as nps_score,

    cast(customers.snapshot_date as date) as snapshot_date
from customers
inner join known on customers.snapshot_date = known.snapshot_date
left join logins on customers.snapshot_date = logins.snapshot_date and customers.customer_id = logins.customer_id
left join features_in_use
    on
        customers.snapshot_date = features_in_use.snapshot_date
        and customers.customer_id = features_in_use.customer_id
left join tickets on customers.snapshot_date = tickets.snapshot_date and customers.customer_id = tickets.customer_id
left join payments on customers.snapshot_date = payments.snapshot_date and customers.customer_id = payments.customer_id
left join answers on customers.snapshot_date = answers.snapshot_date and customers.customer_id = answers.customer_id
