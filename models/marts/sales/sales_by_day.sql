{{ config(
    materialized='incremental',
    incremental_strategy='replace_days',
    unique_key='day',
    tags=['sales'],
    post_hook='{{ forget_touched_days() if execute }}'
) }}

-- depends_on: {{ source('landing', 'touched_days') }}
{%- set stale = touched_days() %}

-- stale days: {{ stale.days | join(', ') }}; touched by: {{ stale.merges | join(', ') }}
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
    {% if is_incremental() -%}
    where {{ in_days('sold_at', stale.days) }}
    {%- endif %}

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
