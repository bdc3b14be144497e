{{ config(materialized='view', meta={'churn_window_days': var('churn_window_days')}, tags=['churn']) }}

with known as (

    select max(file_date) as known_to
    from {{ ref('load_ledger') }}
    where {{ of_feed('customers') }} and {{ lets_through('verdict') }}

)

select
    features.customer_id,
    features.days_since_last_login,
    features.support_tickets_30d,
    features.feature_adoption_score,
    features.payment_failures_90d,
    features.nps_score,

    -- Whether the customer has cancelled in the window after the snapshot; null until a file of a later day has come,
    -- for only then have all of the window.
    cast(case
        when features.snapshot_date + interval '{{ var("churn_window_days") }} day' >= known.known_to then null
        when
            customers.cancelled_at >= features.snapshot_date + interval '1 day'
            and customers.cancelled_at < features.snapshot_date + interval '{{ var("churn_window_days") + 1 }} day'
            then 1
        else 0
    end as integer) as churned_flag,

    features.snapshot_date
from {{ ref('customer_snapshots') }} as features
cross join known
left join {{ ref('newest_customers') }} as customers on features.customer_id = customers.customer_id
where known.known_to is not null
