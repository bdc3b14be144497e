{{ config(materialized='totals_by_day', unique_key='day', tags=['sales']) }}

-- depends_on: {{ ref('stale_days') }}
with sales as (

    select
        cast(sold_at as date) as day,
        store_id,
        currency,
        quantity,
        -- DuckDB would keep the product within 18 digits.
        quantity * cast(unit_price as decimal(28, 2)) as amount,
        discount_amount
    from {{ ref('daily_sales') }}
    where {{ of_stale_days('sold_at') }}

)

select
    day,
    store_id,
    currency,
    cast(count(*) as bigint) as sales,
    cast(sum(case when quantity > 0 then amount else 0 end) as decimal(38, 2)) as gross,
    cast(sum(case when quantity < 0 then -amount else 0 end) as decimal(38, 2)) as returns,
    cast(sum(discount_amount) as decimal(38, 2)) as discount,
    cast(sum(amount) - sum(discount_amount) as decimal(38, 2)) as net
from sales
group by day, store_id, currency
