-- What a daily run of sales sends to Snowflake, the second day: 142 statements, by node.
-- Written by `make statements`; a test fails while it differs from what is sent.


-- dbt itself

show objects in analytics.prod
    limit 10000;

show objects in analytics.staging
    limit 10000;

show terse schemas in database analytics
    limit 10000;

show terse schemas in database analytics
    limit 10000;


-- model.reference_pipeline.clean_sales

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.clean_sales"}';

select comment from analytics.INFORMATION_SCHEMA.tables where table_schema = 'STAGING' and table_name = 'CLEAN_SALES';

select 'unchanged' as status;


-- model.reference_pipeline.daily_sales

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.daily_sales"}';

select * from (
select
    -- ids
    sale_id,
    store_id,
    customer_id,
    product_id,
    -- amounts
    quantity,
    unit_price,
    discount_amount,
    currency,
    -- times
    sold_at,
    updated_at,
    -- where the version stands
    source_file,
    source_record,
    landing_id
from analytics.staging.clean_sales
    ) as __dbt_sbq
    where false
    limit 0;

select * from (
        select sale_id, store_id, customer_id, product_id, quantity, unit_price, discount_amount, currency, sold_at, updated_at, source_file, source_record from (
select
    -- ids
    sale_id,
    store_id,
    customer_id,
    product_id,
    -- amounts
    quantity,
    unit_price,
    discount_amount,
    currency,
    -- times
    sold_at,
    updated_at,
    -- where the version stands
    source_file,
    source_record,
    landing_id
from analytics.staging.clean_sales) as model
    ) as __dbt_sbq
    where false
    limit 0;

select * from (
        select
    cast(null as varchar)
     as sale_id,
    cast(null as varchar)
     as store_id,
    cast(null as varchar)
     as customer_id,
    cast(null as varchar)
     as product_id,
    cast(null as integer)
     as quantity,
    cast(null as decimal(18,2))
     as unit_price,
    cast(null as decimal(18,2))
     as discount_amount,
    cast(null as varchar)
     as currency,
    cast(null as timestamp)
     as sold_at,
    cast(null as timestamp)
     as updated_at,
    cast(null as varchar)
     as source_file,
    cast(null as bigint)
     as source_record
    ) as __dbt_sbq
    where false
    limit 0;

select landing_id from (
select passed.*
from (
select *
from analytics.staging.file_verdicts
where verdict in ('passed', 'released') and split_part(source_file, '/', 2) = 'sales'
qualify landing_id = max(landing_id) over (partition by source_file)
) as passed
where passed.file_date = cast('2024-01-02' as date)
    and not exists (
        select 1
        from analytics.prod.load_ledger as ledger
        where ledger.verdict in ('passed', 'released')
            and ledger.source_file = passed.source_file
            and ledger.content_hash = passed.content_hash
    )
) as landings order by landing_id;

select landing_id from (select landed.landing_id
            from analytics.staging.landed_files as landed
            inner join (
select passed.*
from (
select *
from analytics.staging.file_verdicts
where verdict in ('passed', 'released') and split_part(source_file, '/', 2) = 'sales'
qualify landing_id = max(landing_id) over (partition by source_file)
) as passed
where passed.file_date = cast('2024-01-02' as date)
    and not exists (
        select 1
        from analytics.prod.load_ledger as ledger
        where ledger.verdict in ('passed', 'released')
            and ledger.source_file = passed.source_file
            and ledger.content_hash = passed.content_hash
    )
) as arriving on landed.source_file = arriving.source_file
            where landed.landing_id in (
select max(landed.landing_id) as landing_id
from analytics.staging.landed_files as landed
inner join analytics.prod.load_ledger as ledger
    on landed.source_file = ledger.source_file
    and landed.content_hash = ledger.content_hash
    and ledger.verdict in ('passed', 'released')
where landed.is_typed and split_part(landed.source_file, '/', 2) = 'sales'
group by landed.source_file
)) as landings order by landing_id;

select
            passed.source_file,
            passed.received,
            passed.valid,
            passed.rejected,
            passed.distinct_keys,
            coalesce(made.made_rows, 0) as made_rows
        from (
select *
from analytics.staging.file_verdicts
where verdict in ('passed', 'released') and split_part(source_file, '/', 2) = 'sales'
qualify landing_id = max(landing_id) over (partition by source_file)
) as passed
        left join (
            select landing_id, count(*) as made_rows
            from (
select
    -- ids
    sale_id,
    store_id,
    customer_id,
    product_id,
    -- amounts
    quantity,
    unit_price,
    discount_amount,
    currency,
    -- times
    sold_at,
    updated_at,
    -- where the version stands
    source_file,
    source_record,
    landing_id
from analytics.staging.clean_sales
            ) as model
            where landing_id in (2)
            group by landing_id
        ) as made on passed.landing_id = made.landing_id
        where (passed.received <> passed.valid + passed.rejected and passed.file_date = cast('2024-01-02' as date))
            or (passed.landing_id in (2) and passed.distinct_keys <> coalesce(made.made_rows, 0))
        order by passed.source_file;

create or replace temporary table analytics.prod.daily_sales__dbt_tmp as
        select sale_id, store_id, customer_id, product_id, quantity, unit_price, discount_amount, currency, sold_at, updated_at, source_file, source_record
from (
select
    -- ids
    sale_id,
    store_id,
    customer_id,
    product_id,
    -- amounts
    quantity,
    unit_price,
    discount_amount,
    currency,
    -- times
    sold_at,
    updated_at,
    -- where the version stands
    source_file,
    source_record,
    landing_id
from analytics.staging.clean_sales
) as model
where landing_id in  (2)
        limit 0;

describe table analytics.prod.daily_sales__dbt_tmp;

describe table "ANALYTICS"."PROD"."DAILY_SALES";

select min(sale_id), max(sale_id) from (select sale_id from (select sale_id, store_id, customer_id, product_id, quantity, unit_price, discount_amount, currency, sold_at, updated_at, source_file, source_record
from (
select
    -- ids
    sale_id,
    store_id,
    customer_id,
    product_id,
    -- amounts
    quantity,
    unit_price,
    discount_amount,
    currency,
    -- times
    sold_at,
    updated_at,
    -- where the version stands
    source_file,
    source_record,
    landing_id
from analytics.staging.clean_sales
) as model
where landing_id in  (2))
        union all
        select sale_id from (select sale_id, store_id, customer_id, product_id, quantity, unit_price, discount_amount, currency, sold_at, updated_at, source_file, source_record
from (
select
    -- ids
    sale_id,
    store_id,
    customer_id,
    product_id,
    -- amounts
    quantity,
    unit_price,
    discount_amount,
    currency,
    -- times
    sold_at,
    updated_at,
    -- where the version stands
    source_file,
    source_record,
    landing_id
from analytics.staging.clean_sales
) as model
where landing_id in  (null)) as replaced) as keys;

with places as (
    select substr(sale_id, 16, 4) as place, min(sale_id) as low, max(sale_id) as high
    from (select sale_id from (select sale_id, store_id, customer_id, product_id, quantity, unit_price, discount_amount, currency, sold_at, updated_at, source_file, source_record
from (
select
    -- ids
    sale_id,
    store_id,
    customer_id,
    product_id,
    -- amounts
    quantity,
    unit_price,
    discount_amount,
    currency,
    -- times
    sold_at,
    updated_at,
    -- where the version stands
    source_file,
    source_record,
    landing_id
from analytics.staging.clean_sales
) as model
where landing_id in  (2))
        union all
        select sale_id from (select sale_id, store_id, customer_id, product_id, quantity, unit_price, discount_amount, currency, sold_at, updated_at, source_file, source_record
from (
select
    -- ids
    sale_id,
    store_id,
    customer_id,
    product_id,
    -- amounts
    quantity,
    unit_price,
    discount_amount,
    currency,
    -- times
    sold_at,
    updated_at,
    -- where the version stands
    source_file,
    source_record,
    landing_id
from analytics.staging.clean_sales
) as model
where landing_id in  (null)) as replaced) as keys
    group by substr(sale_id, 16, 4)
),
leaps as (
    select
        low,
        high,
        greatest(0, least(unicode(substr(place, 1, 1)) - 48, 75)) * 438976 + greatest(0, least(unicode(substr(place, 2, 1)) - 48, 75)) * 5776 + greatest(0, least(unicode(substr(place, 3, 1)) - 48, 75)) * 76 + greatest(0, least(unicode(substr(place, 4, 1)) - 48, 75)) * 1 - lag(greatest(0, least(unicode(substr(place, 1, 1)) - 48, 75)) * 438976 + greatest(0, least(unicode(substr(place, 2, 1)) - 48, 75)) * 5776 + greatest(0, least(unicode(substr(place, 3, 1)) - 48, 75)) * 76 + greatest(0, least(unicode(substr(place, 4, 1)) - 48, 75)) * 1) over (order by low) as leap
    from places
),
ranked as (
    select
        low,
        high,
        row_number() over (order by leap desc nulls last, low) <= 7 and leap * 16 > sum(leap) over () as is_cut
    from leaps
),
numbered as (
    select low, high, sum(case when is_cut then 1 else 0 end) over (order by low rows unbounded preceding) as part
    from ranked
)
select min(low), max(high) from numbered group by part order by min(low);

select landing_id from (select landing_id
        from analytics.staging.landed_files
        where file_date = cast('2024-01-02' as date) and split_part(source_file, '/', 2) = 'sales'
        qualify landing_id < max(landing_id) over (partition by source_file)) as landings order by landing_id;

create or replace temporary table analytics.prod.daily_sales__dbt_tmp as
select sale_id, store_id, customer_id, product_id, quantity, unit_price, discount_amount, currency, sold_at, updated_at, source_file, source_record
from (
select
    -- ids
    sale_id,
    store_id,
    customer_id,
    product_id,
    -- amounts
    quantity,
    unit_price,
    discount_amount,
    currency,
    -- times
    sold_at,
    updated_at,
    -- where the version stands
    source_file,
    source_record,
    landing_id
from analytics.staging.clean_sales
) as model
where landing_id in  (2)
limit 0;

create or replace temporary table merge_changes as
with existing as (
    select
        sale_id,
        updated_at,
        source_file,
        true as was_current,
        cast(sold_at as date) as day
    from analytics.prod.daily_sales
    where (sale_id between 'bad-2024-01-02-0' and 'bad-2024-01-02-0' or sale_id between 'bad-2024-01-02-1' and 'bad-2024-01-02-2' or sale_id between 'bad-2024-01-02-3' and 'bad-2024-01-02-3' or sale_id between 'bad-2024-01-02-4' and 'bad-2024-01-02-4' or sale_id between 'bad-2024-01-02-5' and 'bad-2024-01-02-5' or sale_id between 'bad-2024-01-02-6' and 'bad-2024-01-02-6' or sale_id between 'bad-2024-01-02-7' and 'bad-2024-01-02-7' or sale_id between 'bad-2024-01-02-8' and 'bad-2024-01-02-9')
),
met as (
    select
        existing.sale_id,
        existing.source_file as old_file,
        existing.was_current,
        existing.day as old_day,
        winners.source_file as new_file,
        winners.updated_at > existing.updated_at as is_newer,
        winners.updated_at = existing.updated_at as ties
    from existing
    inner join analytics.prod.daily_sales__dbt_tmp as winners on existing.sale_id = winners.sale_id
),
tied as (
    select existing.sale_id
    from (select sale_id from met where ties) as ties
    inner join analytics.prod.daily_sales__dbt_tmp as winners on ties.sale_id = winners.sale_id
    inner join analytics.prod.daily_sales as existing
        on ties.sale_id = existing.sale_id and (existing.sale_id between 'bad-2024-01-02-0' and 'bad-2024-01-02-0' or existing.sale_id between 'bad-2024-01-02-1' and 'bad-2024-01-02-2' or existing.sale_id between 'bad-2024-01-02-3' and 'bad-2024-01-02-3' or existing.sale_id between 'bad-2024-01-02-4' and 'bad-2024-01-02-4' or existing.sale_id between 'bad-2024-01-02-5' and 'bad-2024-01-02-5' or existing.sale_id between 'bad-2024-01-02-6' and 'bad-2024-01-02-6' or existing.sale_id between 'bad-2024-01-02-7' and 'bad-2024-01-02-7' or existing.sale_id between 'bad-2024-01-02-8' and 'bad-2024-01-02-9')
    where
case
    when winners.updated_at is distinct from existing.updated_at
        then existing.updated_at is null or coalesce(winners.updated_at > existing.updated_at, false)
    when winners.sale_id is distinct from existing.sale_id
        then existing.sale_id is null or coalesce(winners.sale_id > existing.sale_id, false)
    when winners.store_id is distinct from existing.store_id
        then existing.store_id is null or coalesce(winners.store_id > existing.store_id, false)
    when winners.customer_id is distinct from existing.customer_id
        then existing.customer_id is null or coalesce(winners.customer_id > existing.customer_id, false)
    when winners.product_id is distinct from existing.product_id
        then existing.product_id is null or coalesce(winners.product_id > existing.product_id, false)
    when winners.quantity is distinct from existing.quantity
        then existing.quantity is null or coalesce(winners.quantity > existing.quantity, false)
    when winners.unit_price is distinct from existing.unit_price
        then existing.unit_price is null or coalesce(winners.unit_price > existing.unit_price, false)
    when winners.discount_amount is distinct from existing.discount_amount
        then existing.discount_amount is null or coalesce(winners.discount_amount > existing.discount_amount, false)
    when winners.currency is distinct from existing.currency
        then existing.currency is null or coalesce(winners.currency > existing.currency, false)
    when winners.sold_at is distinct from existing.sold_at
        then existing.sold_at is null or coalesce(winners.sold_at > existing.sold_at, false)
    when winners.source_file is distinct from existing.source_file
        then winners.source_file < existing.source_file
    when winners.source_record is distinct from existing.source_record
        then winners.source_record < existing.source_record
    else false
end
        -- The same row: of a first run that was killed before it wrote the ledger.
        or (winners.source_file = existing.source_file and winners.source_record = existing.source_record)
),
compared as (
    select
        sale_id,
        old_file,
        was_current,
        old_day,
        new_file,
        is_newer or sale_id in (select sale_id from tied) as wins
    from met
)
select *, wins or new_file is null as leaves
from compared
limit 0;

create or replace temporary table merge_entering as
select
    source_file as file,
    cast(sold_at as date) as day,
    cast(count(case when true then 1 end) as bigint) as entering
from analytics.prod.daily_sales__dbt_tmp as winners
where not exists (
    select 1 from merge_changes where winners.sale_id = merge_changes.sale_id and not merge_changes.wins
)
group by source_file, cast(sold_at as date)
limit 0;

BEGIN;

update analytics.staging.merge_lock set turn = turn + 1;

insert into analytics.prod.daily_sales__dbt_tmp
select sale_id, store_id, customer_id, product_id, quantity, unit_price, discount_amount, currency, sold_at, updated_at, source_file, source_record
from (
select
    -- ids
    sale_id,
    store_id,
    customer_id,
    product_id,
    -- amounts
    quantity,
    unit_price,
    discount_amount,
    currency,
    -- times
    sold_at,
    updated_at,
    -- where the version stands
    source_file,
    source_record,
    landing_id
from analytics.staging.clean_sales
) as model
where landing_id in  (2);

insert into merge_changes
with existing as (
    select
        sale_id,
        updated_at,
        source_file,
        true as was_current,
        cast(sold_at as date) as day
    from analytics.prod.daily_sales
    where (sale_id between 'bad-2024-01-02-0' and 'bad-2024-01-02-0' or sale_id between 'bad-2024-01-02-1' and 'bad-2024-01-02-2' or sale_id between 'bad-2024-01-02-3' and 'bad-2024-01-02-3' or sale_id between 'bad-2024-01-02-4' and 'bad-2024-01-02-4' or sale_id between 'bad-2024-01-02-5' and 'bad-2024-01-02-5' or sale_id between 'bad-2024-01-02-6' and 'bad-2024-01-02-6' or sale_id between 'bad-2024-01-02-7' and 'bad-2024-01-02-7' or sale_id between 'bad-2024-01-02-8' and 'bad-2024-01-02-9')
),
met as (
    select
        existing.sale_id,
        existing.source_file as old_file,
        existing.was_current,
        existing.day as old_day,
        winners.source_file as new_file,
        winners.updated_at > existing.updated_at as is_newer,
        winners.updated_at = existing.updated_at as ties
    from existing
    inner join analytics.prod.daily_sales__dbt_tmp as winners on existing.sale_id = winners.sale_id
),
tied as (
    select existing.sale_id
    from (select sale_id from met where ties) as ties
    inner join analytics.prod.daily_sales__dbt_tmp as winners on ties.sale_id = winners.sale_id
    inner join analytics.prod.daily_sales as existing
        on ties.sale_id = existing.sale_id and (existing.sale_id between 'bad-2024-01-02-0' and 'bad-2024-01-02-0' or existing.sale_id between 'bad-2024-01-02-1' and 'bad-2024-01-02-2' or existing.sale_id between 'bad-2024-01-02-3' and 'bad-2024-01-02-3' or existing.sale_id between 'bad-2024-01-02-4' and 'bad-2024-01-02-4' or existing.sale_id between 'bad-2024-01-02-5' and 'bad-2024-01-02-5' or existing.sale_id between 'bad-2024-01-02-6' and 'bad-2024-01-02-6' or existing.sale_id between 'bad-2024-01-02-7' and 'bad-2024-01-02-7' or existing.sale_id between 'bad-2024-01-02-8' and 'bad-2024-01-02-9')
    where
case
    when winners.updated_at is distinct from existing.updated_at
        then existing.updated_at is null or coalesce(winners.updated_at > existing.updated_at, false)
    when winners.sale_id is distinct from existing.sale_id
        then existing.sale_id is null or coalesce(winners.sale_id > existing.sale_id, false)
    when winners.store_id is distinct from existing.store_id
        then existing.store_id is null or coalesce(winners.store_id > existing.store_id, false)
    when winners.customer_id is distinct from existing.customer_id
        then existing.customer_id is null or coalesce(winners.customer_id > existing.customer_id, false)
    when winners.product_id is distinct from existing.product_id
        then existing.product_id is null or coalesce(winners.product_id > existing.product_id, false)
    when winners.quantity is distinct from existing.quantity
        then existing.quantity is null or coalesce(winners.quantity > existing.quantity, false)
    when winners.unit_price is distinct from existing.unit_price
        then existing.unit_price is null or coalesce(winners.unit_price > existing.unit_price, false)
    when winners.discount_amount is distinct from existing.discount_amount
        then existing.discount_amount is null or coalesce(winners.discount_amount > existing.discount_amount, false)
    when winners.currency is distinct from existing.currency
        then existing.currency is null or coalesce(winners.currency > existing.currency, false)
    when winners.sold_at is distinct from existing.sold_at
        then existing.sold_at is null or coalesce(winners.sold_at > existing.sold_at, false)
    when winners.source_file is distinct from existing.source_file
        then winners.source_file < existing.source_file
    when winners.source_record is distinct from existing.source_record
        then winners.source_record < existing.source_record
    else false
end
        -- The same row: of a first run that was killed before it wrote the ledger.
        or (winners.source_file = existing.source_file and winners.source_record = existing.source_record)
),
compared as (
    select
        sale_id,
        old_file,
        was_current,
        old_day,
        new_file,
        is_newer or sale_id in (select sale_id from tied) as wins
    from met
)
select *, wins or new_file is null as leaves
from compared;

insert into merge_entering
select
    source_file as file,
    cast(sold_at as date) as day,
    cast(count(case when true then 1 end) as bigint) as entering
from analytics.prod.daily_sales__dbt_tmp as winners
where not exists (
    select 1 from merge_changes where winners.sale_id = merge_changes.sale_id and not merge_changes.wins
)
group by source_file, cast(sold_at as date);

select to_number('another run has merged ' || in_force.source_file || ' meanwhile. Nothing was written; run it again')
from analytics.staging.landed_files as in_force
inner join analytics.staging.landed_files as planned
    on in_force.source_file = planned.source_file
where
    in_force.landing_id not in (-1)
    and in_force.landing_id in (
select max(landed.landing_id) as landing_id
from analytics.staging.landed_files as landed
inner join analytics.prod.load_ledger as ledger
    on landed.source_file = ledger.source_file
    and landed.content_hash = ledger.content_hash
    and ledger.verdict in ('passed', 'released')
where landed.is_typed and split_part(landed.source_file, '/', 2) = 'sales'
group by landed.source_file
)
    and planned.landing_id in (2);

update analytics.prod.load_ledger
set
    current_rows = current_rows + moved.difference,
    superseded_rows = superseded_rows - moved.difference
from (
    select file, sum(difference) as difference
    from (
        select file, entering as difference from merge_entering
        union all
        select old_file, -count(*) from merge_changes where leaves and was_current group by old_file
    ) as movements
    group by file
    having sum(difference) <> 0
) as moved
where analytics.prod.load_ledger.source_file = moved.file and analytics.prod.load_ledger.verdict in ('passed', 'released');

delete from analytics.prod.load_ledger
where source_file in (select source_file from analytics.staging.file_verdicts where landing_id in (2));

insert into analytics.prod.load_ledger (source_file, content_hash, file_date, verdict, received_rows, current_rows, superseded_rows, rejected_rows, held_rows)
select
    arriving.source_file,
    arriving.content_hash,
    arriving.file_date,
    arriving.verdict,
    arriving.received,
    coalesce(entered.current_rows, 0),
    arriving.valid - coalesce(entered.current_rows, 0),
    arriving.rejected,
    0
from analytics.staging.file_verdicts as arriving
left join (
    select file, sum(entering) as current_rows from merge_entering group by file
) as entered on arriving.source_file = entered.file
where arriving.landing_id in (2);

delete from analytics.prod.load_ledger where verdict = 'held' and file_date = cast('2024-01-02' as date) and split_part(source_file, '/', 2) = 'sales';

insert into analytics.prod.load_ledger (source_file, content_hash, file_date, verdict, received_rows, current_rows, superseded_rows, rejected_rows, held_rows)
select source_file, content_hash, file_date, verdict, received, 0, 0, 0, received
from (
select verdicts.*
from analytics.staging.file_verdicts as verdicts
inner join (
select *
from analytics.staging.landed_files
qualify landing_id = max(landing_id) over (partition by source_file)
) as newest on verdicts.landing_id = newest.landing_id
where verdicts.verdict = 'held'
) as held
where file_date = cast('2024-01-02' as date) and split_part(source_file, '/', 2) = 'sales';

insert into analytics.staging.stale_days (day, touched_by)
select distinct day, '<invocation>'
from (
    select old_day as day from merge_changes where leaves
    union all
    select day from merge_entering
) as days;

delete from analytics.prod.daily_sales
where
    (sale_id between 'bad-2024-01-02-0' and 'bad-2024-01-02-0' or sale_id between 'bad-2024-01-02-1' and 'bad-2024-01-02-2' or sale_id between 'bad-2024-01-02-3' and 'bad-2024-01-02-3' or sale_id between 'bad-2024-01-02-4' and 'bad-2024-01-02-4' or sale_id between 'bad-2024-01-02-5' and 'bad-2024-01-02-5' or sale_id between 'bad-2024-01-02-6' and 'bad-2024-01-02-6' or sale_id between 'bad-2024-01-02-7' and 'bad-2024-01-02-7' or sale_id between 'bad-2024-01-02-8' and 'bad-2024-01-02-9')
    and sale_id in (select sale_id from merge_changes where leaves and new_file is null);

merge into analytics.prod.daily_sales as existing
using (
    select *
from analytics.prod.daily_sales__dbt_tmp as winners
where not exists (
    select 1 from merge_changes where winners.sale_id = merge_changes.sale_id and not merge_changes.wins
)
) as winners
    on winners.sale_id = existing.sale_id and (existing.sale_id between 'bad-2024-01-02-0' and 'bad-2024-01-02-0' or existing.sale_id between 'bad-2024-01-02-1' and 'bad-2024-01-02-2' or existing.sale_id between 'bad-2024-01-02-3' and 'bad-2024-01-02-3' or existing.sale_id between 'bad-2024-01-02-4' and 'bad-2024-01-02-4' or existing.sale_id between 'bad-2024-01-02-5' and 'bad-2024-01-02-5' or existing.sale_id between 'bad-2024-01-02-6' and 'bad-2024-01-02-6' or existing.sale_id between 'bad-2024-01-02-7' and 'bad-2024-01-02-7' or existing.sale_id between 'bad-2024-01-02-8' and 'bad-2024-01-02-9')
when matched then update set
    store_id = winners.store_id,
    customer_id = winners.customer_id,
    product_id = winners.product_id,
    quantity = winners.quantity,
    unit_price = winners.unit_price,
    discount_amount = winners.discount_amount,
    currency = winners.currency,
    sold_at = winners.sold_at,
    updated_at = winners.updated_at,
    source_file = winners.source_file,
    source_record = winners.source_record
when not matched then insert (sale_id, store_id, customer_id, product_id, quantity, unit_price, discount_amount, currency, sold_at, updated_at, source_file, source_record)
    values (winners.sale_id, winners.store_id, winners.customer_id, winners.product_id, winners.quantity, winners.unit_price, winners.discount_amount, winners.currency, winners.sold_at, winners.updated_at, winners.source_file, winners.source_record);

COMMIT;

select 1;


-- model.reference_pipeline.file_verdicts

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.file_verdicts"}';

select comment from analytics.INFORMATION_SCHEMA.tables where table_schema = 'STAGING' and table_name = 'FILE_VERDICTS';

select 'unchanged' as status;


-- model.reference_pipeline.files_to_mend

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.files_to_mend"}';

select comment from analytics.INFORMATION_SCHEMA.tables where table_schema = 'STAGING' and table_name = 'FILES_TO_MEND';

select 'unchanged' as status;


-- model.reference_pipeline.known_files

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.known_files"}';

select comment from analytics.INFORMATION_SCHEMA.tables where table_schema = 'STAGING' and table_name = 'KNOWN_FILES';

select 'unchanged' as status;


-- model.reference_pipeline.landed_files

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.landed_files"}';

describe table "ANALYTICS"."STAGING"."LANDED_FILES";


-- model.reference_pipeline.load_ledger

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.load_ledger"}';

describe table "ANALYTICS"."PROD"."LOAD_LEDGER";


-- model.reference_pipeline.load_metrics

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.load_metrics"}';

select comment from analytics.INFORMATION_SCHEMA.tables where table_schema = 'PROD' and table_name = 'LOAD_METRICS';

select 'unchanged' as status;


-- model.reference_pipeline.raw_sales

describe table "ANALYTICS"."STAGING"."RAW_SALES";

select coalesce(max(landing_id), 0) from analytics.staging.landed_files;

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.raw_sales"}';

list @staging.landing_zone/raw/sales/2024-01-02/;

with listed as (
    select
        'raw/' || split_part('/' || "name", '/raw/', -1) as source_file,
        "md5" as fingerprint
    from table(result_scan(last_query_id()))
    where not endswith("name", '/')
),
dated as (
    select
        source_file,
        fingerprint,
        case
            when regexp_like(
                source_file,
                'raw/sales/[0-9]{4}-[0-9]{2}-[0-9]{2}/[^/]+[.]csv([.]gz)?'
            ) then try_to_date(split_part(source_file, '/', 3), 'YYYY-MM-DD')
        end as file_date
    from listed
),
newest as (
    select source_file, fingerprint
    from analytics.staging.landed_files
    where startswith(source_file, 'raw/sales/2024-01-02/')
    qualify landing_id = max(landing_id) over (partition by source_file)
),
changes as (
    select
        case
            when dated.file_date is null then 'other'
            when refused.source_file is null then 'new'
            else 'mended'
        end as change,
        dated.source_file,
        dated.fingerprint,
        dated.file_date
    from dated
    left join analytics.staging.refused_files as refused on dated.source_file = refused.source_file
    left join newest on dated.source_file = newest.source_file
    -- While a refusal stands, the landed content is no longer the file's newest.
    where
        dated.file_date is null
        or not equal_null(dated.fingerprint, coalesce(refused.fingerprint, newest.fingerprint))
    union all
    select
        'gone' as change,
        refused.source_file,
        refused.fingerprint,
        refused.file_date
    from analytics.staging.refused_files as refused
    left join dated on refused.source_file = dated.source_file
    where startswith(refused.source_file, 'raw/sales/2024-01-02/') and dated.source_file is null
)
select
    changes.change as "change",
    changes.source_file as "source_file",
    changes.fingerprint as "fingerprint",
    changes.file_date as "file_date",
    analytics.staging.landing_ids.nextval as "landing_id"
from changes
order by changes.source_file;

create or replace temporary table landing_lines (source_file varchar, line number, content varchar);

copy into landing_lines (source_file, line, content)
from (
    select
        concat('raw/', split_part(concat('/', metadata$filename), '/raw/', -1)),
        metadata$file_row_number,
        $1
    from @staging.landing_zone
)
files = ('raw/sales/2024-01-02/sales_export.csv')
file_format = (format_name = 'staging.landing_line')
on_error = skip_file
purge = false
force = true;

with counted as (
    select
        source_file,
        line,
        coalesce(content, '') as content,
        length(coalesce(content, '')) - length(replace(coalesce(content, ''), '"', '')) as quotes
    from landing_lines
),
summed as (
    select
        *,
        sum(quotes) over (
            partition by source_file order by line rows between unbounded preceding and current row
        ) as quotes_so_far
    from counted
),
placed as (
    select
        *,
        mod(quotes_so_far, 2) as leaves_open,
        mod(quotes_so_far - quotes, 2) as begins_open
    from summed
),
completed as (
    select
        source_file,
        quotes,
        case when begins_open = 1 then '"' else '' end
        || content
        || case when leaves_open = 1 then '"' else '' end as content,
        sum(1 - begins_open) over (
            partition by source_file order by line rows between unbounded preceding and current row
        ) as record
    from placed
    -- A blank line is no record.
    where begins_open = 1 or content <> ''
),
unquoted as (
    select
        source_file,
        record,
        quotes,
        regexp_replace(content, '"[^"]*"', '') as content,
        regexp_like(content, '("([^"]|"")*"|[^",]*)(,("([^"]|"")*"|[^",]*))*') as is_well_formed
    from completed
),
records as (
    select
        source_file,
        record,
        count(*) as lines,
        mod(sum(quotes), 2) as is_open,
        count_if(contains(content, char(13))) as carriage_returns,
        count_if(not is_well_formed) as odd,
        sum(length(content) - length(replace(content, ',', ''))) + 1 as fields
    from unquoted
    group by source_file, record
),
judged as (
    select
        source_file,
        record,
        case
            when is_open = 1 then 'an unclosed quote'
            when odd = 0 and carriage_returns > 0 then 'a carriage return without a line feed, outside of quotes'
            when odd > 0
                then 'a quote inside a field that is not quoted as a whole, from its first character to its last'
            when record = 1 and lines > 1 then 'a line break in the name of a column'
            when fields <> first_value(fields) over (partition by source_file order by record)
                then
                    fields
                    || ' fields, but the header has '
                    || first_value(fields) over (partition by source_file order by record)
        end as problem
    from records
),
malformed as (
    select
        source_file,
        record,
        problem
    from judged
    where problem is not null
    qualify record = min(record) over (partition by source_file)
)
select
    counted.source_file,
    counted.content,
    malformed.record,
    malformed.problem
from counted
left join malformed on counted.source_file = malformed.source_file
where counted.line = 1;

begin;

copy into analytics.staging.raw_sales (
    sale_id, store_id, customer_id, product_id, quantity, unit_price, discount_amount, currency, sold_at, updated_at, source_file, content_hash, source_record, file_date, landing_id
)
from (
    select
        $1,
        $2,
        $3,
        $4,
        $5,
        $6,
        $7,
        $8,
        $9,
        $10,
        concat('raw/', split_part(concat('/', metadata$filename), '/raw/', -1)),
        metadata$file_content_key,
        case
            when $10 is null or $11 is not null
                then cast('other fields than the header in record ' || metadata$file_row_number as number)
            else metadata$file_row_number
        end,
        to_date(split_part(concat('raw/', split_part(concat('/', metadata$filename), '/raw/', -1)), '/', 3)),
        case concat('raw/', split_part(concat('/', metadata$filename), '/raw/', -1))
            when 'raw/sales/2024-01-02/sales_export.csv' then 2
            end
    from @staging.landing_zone
)
files = ('raw/sales/2024-01-02/sales_export.csv')
file_format = (format_name = 'staging.landing_csv')
on_error = skip_file
purge = false
force = true;

select
    source_file,
    max(content_hash) as content_hash,
    min(case
        when contains(sale_id, char(0)) or contains(store_id, char(0)) or contains(customer_id, char(0)) or contains(product_id, char(0)) or contains(quantity, char(0)) or contains(unit_price, char(0)) or contains(discount_amount, char(0)) or contains(currency, char(0)) or contains(sold_at, char(0)) or contains(updated_at, char(0))
            then source_record
    end) as record_with_nul
from analytics.staging.raw_sales
where landing_id in (2)
group by source_file;

insert into analytics.staging.landed_files (
    source_file, content_hash, file_date, landing_id, is_typed, received, extra_columns, fingerprint
)
values
(
    'raw/sales/2024-01-02/sales_export.csv', '<checksum>', to_date('2024-01-02'),
    2, false, 19, null,
    '<checksum>'
);

commit;

select count(*) from analytics.staging.landed_files
        where landing_id > 1 and split_part(source_file, '/', 2) = 'sales';


-- model.reference_pipeline.refused_files

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.refused_files"}';

describe table "ANALYTICS"."STAGING"."REFUSED_FILES";


-- model.reference_pipeline.rejected_sales

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.rejected_sales"}';

select comment from analytics.INFORMATION_SCHEMA.tables where table_schema = 'STAGING' and table_name = 'REJECTED_SALES';

select 'unchanged' as status;


-- model.reference_pipeline.released_files

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.released_files"}';

describe table "ANALYTICS"."STAGING"."RELEASED_FILES";


-- model.reference_pipeline.sales_by_day

update analytics.staging.stale_days set counted_by = '<invocation>';

select distinct day from analytics.staging.stale_days where counted_by = '<invocation>' order by day;

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.sales_by_day"}';

create or replace temporary table analytics.prod.sales_by_day__dbt_tmp as
-- depends_on: analytics.staging.stale_days
with sales as (
    select
        cast(sold_at as date) as day,
        store_id,
        currency,
        quantity,
        -- DuckDB would keep the product within 18 digits.
        quantity * cast(unit_price as decimal(28, 2)) as amount,
        discount_amount
    from analytics.prod.daily_sales
    where (sold_at >= cast('2024-01-02' as timestamp) and sold_at < cast('2024-01-03' as timestamp)) and cast(sold_at as date) in (cast('2024-01-02' as date))
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
group by day, store_id, currency limit 0;

describe table analytics.prod.sales_by_day__dbt_tmp;

describe table "ANALYTICS"."PROD"."SALES_BY_DAY";

describe table analytics.prod.sales_by_day__dbt_tmp;

select distinct day from analytics.staging.stale_days where counted_by = '<invocation>' order by day;

BEGIN;

update analytics.staging.merge_lock set turn = turn + 1;

delete from analytics.prod.sales_by_day where day in (cast('2024-01-02' as date));

insert into analytics.prod.sales_by_day (day, store_id, currency, sales, gross, returns, discount, net)
        select day, store_id, currency, sales, gross, returns, discount, net
        from (
-- depends_on: analytics.staging.stale_days
with sales as (
    select
        cast(sold_at as date) as day,
        store_id,
        currency,
        quantity,
        -- DuckDB would keep the product within 18 digits.
        quantity * cast(unit_price as decimal(28, 2)) as amount,
        discount_amount
    from analytics.prod.daily_sales
    where (sold_at >= cast('2024-01-02' as timestamp) and sold_at < cast('2024-01-03' as timestamp)) and cast(sold_at as date) in (cast('2024-01-02' as date))
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
        ) as totals where day in (cast('2024-01-02' as date));

delete from analytics.staging.stale_days where counted_by = '<invocation>';

COMMIT;


-- model.reference_pipeline.stale_days

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.stale_days"}';

describe table "ANALYTICS"."STAGING"."STALE_DAYS";


-- model.reference_pipeline.topic_generations

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.topic_generations"}';

describe table "ANALYTICS"."STAGING"."TOPIC_GENERATIONS";


-- model.reference_pipeline.typed_sales

select distinct currency from analytics.staging.currencies where currency is not null order by 1;

select landing_id from (select landed.landing_id
        from analytics.staging.landed_files as landed
        where split_part(landed.source_file, '/', 2) = 'sales'
            and not landed.is_typed
            and (
                landed.file_date = cast('2024-01-02' as date)
                or exists (
        select 1
        from "ANALYTICS"."PROD"."LOAD_LEDGER" as ledger
        where ledger.verdict in ('passed', 'released')
            and ledger.source_file = landed.source_file
            and ledger.content_hash = landed.content_hash
    )
            )) as landings order by landing_id;

alter session set query_tag = '{"dag": "", "run": "", "node": "model.reference_pipeline.typed_sales"}';

create or replace temporary table analytics.staging.typed_sales__dbt_tmp as
-- depends_on: analytics.staging.landed_files, analytics.staging.released_files
-- depends_on: analytics.staging.currencies
with arrived as (
    select
        nullif(sale_id, '') as raw_sale_id,
        nullif(store_id, '') as raw_store_id,
        nullif(customer_id, '') as raw_customer_id,
        nullif(product_id, '') as raw_product_id,
        nullif(quantity, '') as raw_quantity,
        nullif(unit_price, '') as raw_unit_price,
        nullif(discount_amount, '') as raw_discount_amount,
        nullif(currency, '') as raw_currency,
        nullif(sold_at, '') as raw_sold_at,
        nullif(updated_at, '') as raw_updated_at,
        source_file,
        source_record,
        file_date,
        landing_id
    from analytics.staging.raw_sales
),
typed as (
    select
        *,
        raw_sale_id as sale_id,
        raw_store_id as store_id,
        raw_customer_id as customer_id,
        raw_product_id as product_id,
        case when regexp_like(raw_quantity, '[+-]?[0-9]{1,18}') then case when try_cast(raw_quantity as integer) between -2147483648 and 2147483647 then try_cast(raw_quantity as integer) end end as quantity,
        case when regexp_like(raw_unit_price, '[+-]?[0-9]{1,16}([.][0-9]{1,2})?') then try_cast(raw_unit_price as decimal(18,2)) end as unit_price,
        case when raw_discount_amount is null then cast('0' as decimal(18,2)) else case when regexp_like(raw_discount_amount, '[+-]?[0-9]{1,16}([.][0-9]{1,2})?') then try_cast(raw_discount_amount as decimal(18,2)) end end as discount_amount,
        raw_currency as currency,
        case when regexp_like(raw_sold_at, '(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?') then cast(convert_timezone('UTC', coalesce(try_to_timestamp_tz(replace(case when regexp_like(raw_sold_at, '.*[+-][0-9]{2}:[0-9]{2}') then raw_sold_at else replace(raw_sold_at, 'Z', '') || '+00:00' end, ' ', 'T'), 'YYYY-MM-DDTHH24:MI:SSTZH:TZM'), try_to_timestamp_tz(replace(case when regexp_like(raw_sold_at, '.*[+-][0-9]{2}:[0-9]{2}') then raw_sold_at else replace(raw_sold_at, 'Z', '') || '+00:00' end, ' ', 'T'), 'YYYY-MM-DDTHH24:MI:SS.FFTZH:TZM'))) as timestamp_ntz) end as sold_at,
        case when regexp_like(raw_updated_at, '(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?') then cast(convert_timezone('UTC', coalesce(try_to_timestamp_tz(replace(case when regexp_like(raw_updated_at, '.*[+-][0-9]{2}:[0-9]{2}') then raw_updated_at else replace(raw_updated_at, 'Z', '') || '+00:00' end, ' ', 'T'), 'YYYY-MM-DDTHH24:MI:SSTZH:TZM'), try_to_timestamp_tz(replace(case when regexp_like(raw_updated_at, '.*[+-][0-9]{2}:[0-9]{2}') then raw_updated_at else replace(raw_updated_at, 'Z', '') || '+00:00' end, ' ', 'T'), 'YYYY-MM-DDTHH24:MI:SS.FFTZH:TZM'))) as timestamp_ntz) end as updated_at
    from arrived
),
checked as (
    select
        sale_id,
        store_id,
        customer_id,
        product_id,
        quantity,
        unit_price,
        discount_amount,
        currency,
        sold_at,
        updated_at,
        source_file,
        source_record,
        file_date,
        landing_id,
        cast(case
            when not coalesce(raw_sale_id is not null
                and raw_store_id is not null
                and raw_product_id is not null
                and raw_quantity is not null
                and (raw_quantity is null or quantity is not null)
                and (quantity is null or (
quantity <> 0 and quantity between -1000000000 and 1000000000
))
                and raw_unit_price is not null
                and (raw_unit_price is null or unit_price is not null)
                and (unit_price is null or (
unit_price >= 0
))
                and (raw_discount_amount is null or discount_amount is not null)
                and (discount_amount is null or (
discount_amount >= 0
))
                and raw_currency is not null
                and (currency is null or currency in ('AED', 'AFN', 'ALL', 'AMD', 'ANG', 'AOA', 'ARS', 'AUD', 'AWG', 'AZN', 'BAM', 'BBD', 'BDT', 'BGN', 'BHD', 'BIF', 'BMD', 'BND', 'BOB', 'BRL', 'BSD', 'BTN', 'BWP', 'BYN', 'BZD', 'CAD', 'CDF', 'CHF', 'CLP', 'CNY', 'COP', 'CRC', 'CUP', 'CVE', 'CZK', 'DJF', 'DKK', 'DOP', 'DZD', 'EGP', 'ERN', 'ETB', 'EUR', 'FJD', 'FKP', 'GBP', 'GEL', 'GHS', 'GIP', 'GMD', 'GNF', 'GTQ', 'GYD', 'HKD', 'HNL', 'HTG', 'HUF', 'IDR', 'ILS', 'INR', 'IQD', 'IRR', 'ISK', 'JMD', 'JOD', 'JPY', 'KES', 'KGS', 'KHR', 'KMF', 'KPW', 'KRW', 'KWD', 'KYD', 'KZT', 'LAK', 'LBP', 'LKR', 'LRD', 'LSL', 'LYD', 'MAD', 'MDL', 'MGA', 'MKD', 'MMK', 'MNT', 'MOP', 'MRU', 'MUR', 'MVR', 'MWK', 'MXN', 'MYR', 'MZN', 'NAD', 'NGN', 'NIO', 'NOK', 'NPR', 'NZD', 'OMR', 'PAB', 'PEN', 'PGK', 'PHP', 'PKR', 'PLN', 'PYG', 'QAR', 'RON', 'RSD', 'RUB', 'RWF', 'SAR', 'SBD', 'SCR', 'SDG', 'SEK', 'SGD', 'SHP', 'SLE', 'SOS', 'SRD', 'SSP', 'STN', 'SVC', 'SYP', 'SZL', 'THB', 'TJS', 'TMT', 'TND', 'TOP', 'TRY', 'TTD', 'TWD', 'TZS', 'UAH', 'UGX', 'USD', 'UYU', 'UZS', 'VED', 'VES', 'VND', 'VUV', 'WST', 'XAF', 'XCD', 'XCG', 'XOF', 'XPF', 'YER', 'ZAR', 'ZMW', 'ZWG'))
                and raw_sold_at is not null
                and (raw_sold_at is null or sold_at is not null)
                and (sold_at is null or (
sold_at < file_date + interval '2 days'
))
                and raw_updated_at is not null
                and (raw_updated_at is null or updated_at is not null)
                and (updated_at is null or (
updated_at < file_date + interval '2 days'
)), false)
                then nullif(substr(case when raw_sale_id is null then '; sale_id is empty' else '' end
                || case when raw_store_id is null then '; store_id is empty' else '' end
                || case when raw_product_id is null then '; product_id is empty' else '' end
                || case when raw_quantity is null then '; quantity is empty' else '' end
                || case when raw_quantity is not null and quantity is null then '; quantity is not integer' else '' end
                || case when not (quantity is null or (
quantity <> 0 and quantity between -1000000000 and 1000000000
)) then '; quantity is 0 or beyond 1,000,000,000' else '' end
                || case when raw_unit_price is null then '; unit_price is empty' else '' end
                || case when raw_unit_price is not null and unit_price is null then '; unit_price is not decimal(18,2)' else '' end
                || case when not (unit_price is null or (
unit_price >= 0
)) then '; unit_price is negative' else '' end
                || case when raw_discount_amount is not null and discount_amount is null then '; discount_amount is not decimal(18,2)' else '' end
                || case when not (discount_amount is null or (
discount_amount >= 0
)) then '; discount_amount is negative' else '' end
                || case when raw_currency is null then '; currency is empty' else '' end
                || case when not (currency in ('AED', 'AFN', 'ALL', 'AMD', 'ANG', 'AOA', 'ARS', 'AUD', 'AWG', 'AZN', 'BAM', 'BBD', 'BDT', 'BGN', 'BHD', 'BIF', 'BMD', 'BND', 'BOB', 'BRL', 'BSD', 'BTN', 'BWP', 'BYN', 'BZD', 'CAD', 'CDF', 'CHF', 'CLP', 'CNY', 'COP', 'CRC', 'CUP', 'CVE', 'CZK', 'DJF', 'DKK', 'DOP', 'DZD', 'EGP', 'ERN', 'ETB', 'EUR', 'FJD', 'FKP', 'GBP', 'GEL', 'GHS', 'GIP', 'GMD', 'GNF', 'GTQ', 'GYD', 'HKD', 'HNL', 'HTG', 'HUF', 'IDR', 'ILS', 'INR', 'IQD', 'IRR', 'ISK', 'JMD', 'JOD', 'JPY', 'KES', 'KGS', 'KHR', 'KMF', 'KPW', 'KRW', 'KWD', 'KYD', 'KZT', 'LAK', 'LBP', 'LKR', 'LRD', 'LSL', 'LYD', 'MAD', 'MDL', 'MGA', 'MKD', 'MMK', 'MNT', 'MOP', 'MRU', 'MUR', 'MVR', 'MWK', 'MXN', 'MYR', 'MZN', 'NAD', 'NGN', 'NIO', 'NOK', 'NPR', 'NZD', 'OMR', 'PAB', 'PEN', 'PGK', 'PHP', 'PKR', 'PLN', 'PYG', 'QAR', 'RON', 'RSD', 'RUB', 'RWF', 'SAR', 'SBD', 'SCR', 'SDG', 'SEK', 'SGD', 'SHP', 'SLE', 'SOS', 'SRD', 'SSP', 'STN', 'SVC', 'SYP', 'SZL', 'THB', 'TJS', 'TMT', 'TND', 'TOP', 'TRY', 'TTD', 'TWD', 'TZS', 'UAH', 'UGX', 'USD', 'UYU', 'UZS', 'VED', 'VES', 'VND', 'VUV', 'WST', 'XAF', 'XCD', 'XCG', 'XOF', 'XPF', 'YER', 'ZAR', 'ZMW', 'ZWG')) then '; currency is not listed in currencies' else '' end
                || case when raw_sold_at is null then '; sold_at is empty' else '' end
                || case when raw_sold_at is not null and sold_at is null then '; sold_at is not timestamp' else '' end
                || case when not (sold_at is null or (
sold_at < file_date + interval '2 days'
)) then '; sold_at is later than the day after the file''s date' else '' end
                || case when raw_updated_at is null then '; updated_at is empty' else '' end
                || case when raw_updated_at is not null and updated_at is null then '; updated_at is not timestamp' else '' end
                || case when not (updated_at is null or (
updated_at < file_date + interval '2 days'
)) then '; updated_at is later than the day after the file''s date' else '' end, 3), '')
        end as varchar) as reject_reasons
    from typed
),
-- Of the keys that stand more than once in their file alone.
repeated as (
    select landing_id, sale_id
    from checked
    where reject_reasons is null
    group by landing_id, sale_id
    having count(*) > 1
),
overtaken as (
    select checked.landing_id, checked.source_record
    from checked
    inner join repeated on checked.landing_id = repeated.landing_id and checked.sale_id = repeated.sale_id
    where checked.reject_reasons is null
    qualify row_number() over (
        partition by checked.landing_id, checked.sale_id
        order by checked.updated_at desc nulls last, checked.sale_id desc nulls last, checked.store_id desc nulls last, checked.customer_id desc nulls last, checked.product_id desc nulls last, checked.quantity desc nulls last, checked.unit_price desc nulls last, checked.discount_amount desc nulls last, checked.currency desc nulls last, checked.sold_at desc nulls last, checked.source_file, checked.source_record
    ) > 1
)
select
    checked.*,
    overtaken.source_record is not null as is_overtaken
from checked
left join overtaken on checked.landing_id = overtaken.landing_id and checked.source_record = overtaken.source_record
 limit 0;

describe table analytics.staging.typed_sales__dbt_tmp;

describe table "ANALYTICS"."STAGING"."TYPED_SALES";

describe table analytics.staging.typed_sales__dbt_tmp;

select distinct currency from analytics.staging.currencies where currency is not null order by 1;

BEGIN;

update analytics.staging.merge_lock set turn = turn + 1;

delete from analytics.staging.typed_sales where landing_id in (2);

insert into analytics.staging.typed_sales (sale_id, store_id, customer_id, product_id, quantity, unit_price, discount_amount, currency, sold_at, updated_at, source_file, source_record, file_date, landing_id, reject_reasons, is_overtaken)
        select sale_id, store_id, customer_id, product_id, quantity, unit_price, discount_amount, currency, sold_at, updated_at, source_file, source_record, file_date, landing_id, reject_reasons, is_overtaken
        from (
        with arrived as (
    select
        nullif(sale_id, '') as raw_sale_id,
        nullif(store_id, '') as raw_store_id,
        nullif(customer_id, '') as raw_customer_id,
        nullif(product_id, '') as raw_product_id,
        nullif(quantity, '') as raw_quantity,
        nullif(unit_price, '') as raw_unit_price,
        nullif(discount_amount, '') as raw_discount_amount,
        nullif(currency, '') as raw_currency,
        nullif(sold_at, '') as raw_sold_at,
        nullif(updated_at, '') as raw_updated_at,
        source_file,
        source_record,
        file_date,
        landing_id
    from analytics.staging.raw_sales
    where landing_id in (2)
),
typed as (
    select
        *,
        raw_sale_id as sale_id,
        raw_store_id as store_id,
        raw_customer_id as customer_id,
        raw_product_id as product_id,
        case when regexp_like(raw_quantity, '[+-]?[0-9]{1,18}') then case when try_cast(raw_quantity as integer) between -2147483648 and 2147483647 then try_cast(raw_quantity as integer) end end as quantity,
        case when regexp_like(raw_unit_price, '[+-]?[0-9]{1,16}([.][0-9]{1,2})?') then try_cast(raw_unit_price as decimal(18,2)) end as unit_price,
        case when raw_discount_amount is null then cast('0' as decimal(18,2)) else case when regexp_like(raw_discount_amount, '[+-]?[0-9]{1,16}([.][0-9]{1,2})?') then try_cast(raw_discount_amount as decimal(18,2)) end end as discount_amount,
        raw_currency as currency,
        case when regexp_like(raw_sold_at, '(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?') then cast(convert_timezone('UTC', coalesce(try_to_timestamp_tz(replace(case when regexp_like(raw_sold_at, '.*[+-][0-9]{2}:[0-9]{2}') then raw_sold_at else replace(raw_sold_at, 'Z', '') || '+00:00' end, ' ', 'T'), 'YYYY-MM-DDTHH24:MI:SSTZH:TZM'), try_to_timestamp_tz(replace(case when regexp_like(raw_sold_at, '.*[+-][0-9]{2}:[0-9]{2}') then raw_sold_at else replace(raw_sold_at, 'Z', '') || '+00:00' end, ' ', 'T'), 'YYYY-MM-DDTHH24:MI:SS.FFTZH:TZM'))) as timestamp_ntz) end as sold_at,
        case when regexp_like(raw_updated_at, '(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?') then cast(convert_timezone('UTC', coalesce(try_to_timestamp_tz(replace(case when regexp_like(raw_updated_at, '.*[+-][0-9]{2}:[0-9]{2}') then raw_updated_at else replace(raw_updated_at, 'Z', '') || '+00:00' end, ' ', 'T'), 'YYYY-MM-DDTHH24:MI:SSTZH:TZM'), try_to_timestamp_tz(replace(case when regexp_like(raw_updated_at, '.*[+-][0-9]{2}:[0-9]{2}') then raw_updated_at else replace(raw_updated_at, 'Z', '') || '+00:00' end, ' ', 'T'), 'YYYY-MM-DDTHH24:MI:SS.FFTZH:TZM'))) as timestamp_ntz) end as updated_at
    from arrived
),
checked as (
    select
        sale_id,
        store_id,
        customer_id,
        product_id,
        quantity,
        unit_price,
        discount_amount,
        currency,
        sold_at,
        updated_at,
        source_file,
        source_record,
        file_date,
        landing_id,
        cast(case
            when not coalesce(raw_sale_id is not null
                and raw_store_id is not null
                and raw_product_id is not null
                and raw_quantity is not null
                and (raw_quantity is null or quantity is not null)
                and (quantity is null or (
quantity <> 0 and quantity between -1000000000 and 1000000000
))
                and raw_unit_price is not null
                and (raw_unit_price is null or unit_price is not null)
                and (unit_price is null or (
unit_price >= 0
))
                and (raw_discount_amount is null or discount_amount is not null)
                and (discount_amount is null or (
discount_amount >= 0
))
                and raw_currency is not null
                and (currency is null or currency in ('AED', 'AFN', 'ALL', 'AMD', 'ANG', 'AOA', 'ARS', 'AUD', 'AWG', 'AZN', 'BAM', 'BBD', 'BDT', 'BGN', 'BHD', 'BIF', 'BMD', 'BND', 'BOB', 'BRL', 'BSD', 'BTN', 'BWP', 'BYN', 'BZD', 'CAD', 'CDF', 'CHF', 'CLP', 'CNY', 'COP', 'CRC', 'CUP', 'CVE', 'CZK', 'DJF', 'DKK', 'DOP', 'DZD', 'EGP', 'ERN', 'ETB', 'EUR', 'FJD', 'FKP', 'GBP', 'GEL', 'GHS', 'GIP', 'GMD', 'GNF', 'GTQ', 'GYD', 'HKD', 'HNL', 'HTG', 'HUF', 'IDR', 'ILS', 'INR', 'IQD', 'IRR', 'ISK', 'JMD', 'JOD', 'JPY', 'KES', 'KGS', 'KHR', 'KMF', 'KPW', 'KRW', 'KWD', 'KYD', 'KZT', 'LAK', 'LBP', 'LKR', 'LRD', 'LSL', 'LYD', 'MAD', 'MDL', 'MGA', 'MKD', 'MMK', 'MNT', 'MOP', 'MRU', 'MUR', 'MVR', 'MWK', 'MXN', 'MYR', 'MZN', 'NAD', 'NGN', 'NIO', 'NOK', 'NPR', 'NZD', 'OMR', 'PAB', 'PEN', 'PGK', 'PHP', 'PKR', 'PLN', 'PYG', 'QAR', 'RON', 'RSD', 'RUB', 'RWF', 'SAR', 'SBD', 'SCR', 'SDG', 'SEK', 'SGD', 'SHP', 'SLE', 'SOS', 'SRD', 'SSP', 'STN', 'SVC', 'SYP', 'SZL', 'THB', 'TJS', 'TMT', 'TND', 'TOP', 'TRY', 'TTD', 'TWD', 'TZS', 'UAH', 'UGX', 'USD', 'UYU', 'UZS', 'VED', 'VES', 'VND', 'VUV', 'WST', 'XAF', 'XCD', 'XCG', 'XOF', 'XPF', 'YER', 'ZAR', 'ZMW', 'ZWG'))
                and raw_sold_at is not null
                and (raw_sold_at is null or sold_at is not null)
                and (sold_at is null or (
sold_at < file_date + interval '2 days'
))
                and raw_updated_at is not null
                and (raw_updated_at is null or updated_at is not null)
                and (updated_at is null or (
updated_at < file_date + interval '2 days'
)), false)
                then nullif(substr(case when raw_sale_id is null then '; sale_id is empty' else '' end
                || case when raw_store_id is null then '; store_id is empty' else '' end
                || case when raw_product_id is null then '; product_id is empty' else '' end
                || case when raw_quantity is null then '; quantity is empty' else '' end
                || case when raw_quantity is not null and quantity is null then '; quantity is not integer' else '' end
                || case when not (quantity is null or (
quantity <> 0 and quantity between -1000000000 and 1000000000
)) then '; quantity is 0 or beyond 1,000,000,000' else '' end
                || case when raw_unit_price is null then '; unit_price is empty' else '' end
                || case when raw_unit_price is not null and unit_price is null then '; unit_price is not decimal(18,2)' else '' end
                || case when not (unit_price is null or (
unit_price >= 0
)) then '; unit_price is negative' else '' end
                || case when raw_discount_amount is not null and discount_amount is null then '; discount_amount is not decimal(18,2)' else '' end
                || case when not (discount_amount is null or (
discount_amount >= 0
)) then '; discount_amount is negative' else '' end
                || case when raw_currency is null then '; currency is empty' else '' end
                || case when not (currency in ('AED', 'AFN', 'ALL', 'AMD', 'ANG', 'AOA', 'ARS', 'AUD', 'AWG', 'AZN', 'BAM', 'BBD', 'BDT', 'BGN', 'BHD', 'BIF', 'BMD', 'BND', 'BOB', 'BRL', 'BSD', 'BTN', 'BWP', 'BYN', 'BZD', 'CAD', 'CDF', 'CHF', 'CLP', 'CNY', 'COP', 'CRC', 'CUP', 'CVE', 'CZK', 'DJF', 'DKK', 'DOP', 'DZD', 'EGP', 'ERN', 'ETB', 'EUR', 'FJD', 'FKP', 'GBP', 'GEL', 'GHS', 'GIP', 'GMD', 'GNF', 'GTQ', 'GYD', 'HKD', 'HNL', 'HTG', 'HUF', 'IDR', 'ILS', 'INR', 'IQD', 'IRR', 'ISK', 'JMD', 'JOD', 'JPY', 'KES', 'KGS', 'KHR', 'KMF', 'KPW', 'KRW', 'KWD', 'KYD', 'KZT', 'LAK', 'LBP', 'LKR', 'LRD', 'LSL', 'LYD', 'MAD', 'MDL', 'MGA', 'MKD', 'MMK', 'MNT', 'MOP', 'MRU', 'MUR', 'MVR', 'MWK', 'MXN', 'MYR', 'MZN', 'NAD', 'NGN', 'NIO', 'NOK', 'NPR', 'NZD', 'OMR', 'PAB', 'PEN', 'PGK', 'PHP', 'PKR', 'PLN', 'PYG', 'QAR', 'RON', 'RSD', 'RUB', 'RWF', 'SAR', 'SBD', 'SCR', 'SDG', 'SEK', 'SGD', 'SHP', 'SLE', 'SOS', 'SRD', 'SSP', 'STN', 'SVC', 'SYP', 'SZL', 'THB', 'TJS', 'TMT', 'TND', 'TOP', 'TRY', 'TTD', 'TWD', 'TZS', 'UAH', 'UGX', 'USD', 'UYU', 'UZS', 'VED', 'VES', 'VND', 'VUV', 'WST', 'XAF', 'XCD', 'XCG', 'XOF', 'XPF', 'YER', 'ZAR', 'ZMW', 'ZWG')) then '; currency is not listed in currencies' else '' end
                || case when raw_sold_at is null then '; sold_at is empty' else '' end
                || case when raw_sold_at is not null and sold_at is null then '; sold_at is not timestamp' else '' end
                || case when not (sold_at is null or (
sold_at < file_date + interval '2 days'
)) then '; sold_at is later than the day after the file''s date' else '' end
                || case when raw_updated_at is null then '; updated_at is empty' else '' end
                || case when raw_updated_at is not null and updated_at is null then '; updated_at is not timestamp' else '' end
                || case when not (updated_at is null or (
updated_at < file_date + interval '2 days'
)) then '; updated_at is later than the day after the file''s date' else '' end, 3), '')
        end as varchar) as reject_reasons
    from typed
),
-- Of the keys that stand more than once in their file alone.
repeated as (
    select landing_id, sale_id
    from checked
    where reject_reasons is null
    group by landing_id, sale_id
    having count(*) > 1
),
overtaken as (
    select checked.landing_id, checked.source_record
    from checked
    inner join repeated on checked.landing_id = repeated.landing_id and checked.sale_id = repeated.sale_id
    where checked.reject_reasons is null
    qualify row_number() over (
        partition by checked.landing_id, checked.sale_id
        order by checked.updated_at desc nulls last, checked.sale_id desc nulls last, checked.store_id desc nulls last, checked.customer_id desc nulls last, checked.product_id desc nulls last, checked.quantity desc nulls last, checked.unit_price desc nulls last, checked.discount_amount desc nulls last, checked.currency desc nulls last, checked.sold_at desc nulls last, checked.source_file, checked.source_record
    ) > 1
)
select
    checked.*,
    overtaken.source_record is not null as is_overtaken
from checked
left join overtaken on checked.landing_id = overtaken.landing_id and checked.source_record = overtaken.source_record
        ) as typed;

update analytics.staging.landed_files
set
    is_typed = true,
    typed = judged.typed,
    valid = judged.valid,
    rejected = judged.rejected,
    distinct_keys = judged.distinct_keys,
    recent = judged.recent,
    commonest_reason = judged.commonest_reason,
    failed_checks = nullif(substr(
        case when judged.received = 0 then ', row_count' else '' end
        || case when judged.rejected > 0.05 * judged.received then ', reject_rate' else '' end
        || case when judged.received > 0 and judged.recent = 0 then ', freshness' else '' end
        || case when judged.has_shrunk then ', volume' else '' end,
        3
    ), '')
from (
    select
        landings.landing_id,
        landings.received,
        coalesce(measures.typed, 0) as typed,
        coalesce(measures.valid, 0) as valid,
        coalesce(measures.rejected, 0) as rejected,
        coalesce(measures.distinct_keys, 0) as distinct_keys,
        coalesce(measures.recent, 0) as recent,
        commonest.reject_reasons as commonest_reason,
        false as has_shrunk
    from analytics.staging.landed_files as landings
    left join (
        select
            landing_id,
            count(*) as typed,
            count(case when reject_reasons is null then 1 end) as valid,
            count(case when reject_reasons <> '' then 1 end) as rejected,
            count(case when reject_reasons is null and not is_overtaken then 1 end) as distinct_keys,
            count(
                case
                    when
                        reject_reasons is null
                        and sold_at >= file_date - interval '1 day'
                        and sold_at < file_date + interval '1 day'
                        then 1
                end
            ) as recent
        from analytics.staging.typed_sales
        where landing_id in (2)
        group by landing_id
    ) as measures on landings.landing_id = measures.landing_id
    left join (
        select landing_id, reject_reasons
        from analytics.staging.typed_sales
        where landing_id in (2) and reject_reasons <> ''
        group by landing_id, reject_reasons
        qualify row_number() over (partition by landing_id order by count(*) desc, reject_reasons) = 1
    ) as commonest on landings.landing_id = commonest.landing_id
    where landings.landing_id in (2)
) as judged
where analytics.staging.landed_files.landing_id = judged.landing_id;

COMMIT;


-- seed.reference_pipeline.currencies

alter session set query_tag = '{"dag": "", "run": "", "node": "seed.reference_pipeline.currencies"}';

begin;

delete from "ANALYTICS"."STAGING"."CURRENCIES";

BEGIN;

insert into analytics.staging.currencies (currency) values
          (%s), ...;

COMMIT;


-- test.reference_pipeline.clean_sales_keep_the_contract.bbdb0e21a2

select landing_id from (
select passed.*
from (
select *
from analytics.staging.file_verdicts
where verdict in ('passed', 'released')
qualify landing_id = max(landing_id) over (partition by source_file)
) as passed
where passed.file_date = cast('2024-01-02' as date)
    and not exists (
        select 1
        from "ANALYTICS"."PROD"."LOAD_LEDGER" as ledger
        where ledger.verdict in ('passed', 'released')
            and ledger.source_file = passed.source_file
            and ledger.content_hash = passed.content_hash
    )
) as landings order by landing_id;

alter session set query_tag = '{"dag": "", "run": "", "node": "test.reference_pipeline.clean_sales_keep_the_contract.bbdb0e21a2"}';

select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
  select
    sale_id is not null and store_id is not null and product_id is not null and quantity is not null and quantity <> 0 and unit_price is not null and unit_price >= 0 and discount_amount is not null and discount_amount >= 0 and currency is not null and sold_at is not null and updated_at is not null as expression,
    *
from (select * from analytics.staging.clean_sales where landing_id in (2)) dbt_subquery
where
    not ((sale_id is not null and store_id is not null and product_id is not null and quantity is not null and quantity <> 0 and unit_price is not null and unit_price >= 0 and discount_amount is not null and discount_amount >= 0 and currency is not null and sold_at is not null and updated_at is not null) = true)
    ) dbt_internal_test;


-- test.reference_pipeline.clean_sales_one_row_per_sale_and_file.ee1a3d2596

select landing_id from (
select passed.*
from (
select *
from analytics.staging.file_verdicts
where verdict in ('passed', 'released')
qualify landing_id = max(landing_id) over (partition by source_file)
) as passed
where passed.file_date = cast('2024-01-02' as date)
    and not exists (
        select 1
        from "ANALYTICS"."PROD"."LOAD_LEDGER" as ledger
        where ledger.verdict in ('passed', 'released')
            and ledger.source_file = passed.source_file
            and ledger.content_hash = passed.content_hash
    )
) as landings order by landing_id;

alter session set query_tag = '{"dag": "", "run": "", "node": "test.reference_pipeline.clean_sales_one_row_per_sale_and_file.ee1a3d2596"}';

select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
select
    landing_id,
    sale_id,
    count(*) as "n_records"
from (select * from analytics.staging.clean_sales where landing_id in (2)) dbt_subquery
where
    (landing_id is not null or sale_id is not null)
group by landing_id, sale_id
having count(*) > 1
    ) dbt_internal_test;


-- test.reference_pipeline.dbt_expectations_expect_compound_columns_to_be_unique_load_ledger_source_file__content_hash.4be38f6592

alter session set query_tag = '{"dag": "", "run": "", "node": "test.reference_pipeline.dbt_expectations_expect_compound_columns_to_be_unique_load_ledger_source_file__content_hash.4be38f6592"}';

select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
select
    source_file,
    content_hash,
    count(*) as "n_records"
from analytics.prod.load_ledger
where
    (source_file is not null or content_hash is not null)
group by source_file, content_hash
having count(*) > 1
    ) dbt_internal_test;


-- test.reference_pipeline.dbt_expectations_expect_compound_columns_to_be_unique_sales_by_day_day__store_id__currency.cb4a20abfb

alter session set query_tag = '{"dag": "", "run": "", "node": "test.reference_pipeline.dbt_expectations_expect_compound_columns_to_be_unique_sales_by_day_day__store_id__currency.cb4a20abfb"}';

select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
select
    day,
    store_id,
    currency,
    count(*) as "n_records"
from analytics.prod.sales_by_day
where
    (day is not null or store_id is not null or currency is not null)
group by day, store_id, currency
having count(*) > 1
    ) dbt_internal_test;


-- test.reference_pipeline.every_record_is_accounted_for_typed_sales_sales.fb5fcae57d

select landing_id from (select landed.landing_id
from analytics.staging.landed_files as landed
where
    landed.is_typed
    and landed.file_date = cast('2024-01-02' as date) and split_part(landed.source_file, '/', 2) = 'sales'
    and not exists (
        select 1
        from "ANALYTICS"."PROD"."LOAD_LEDGER" as ledger
        where ledger.source_file = landed.source_file and ledger.content_hash = landed.content_hash
    )
) as landings order by landing_id;

alter session set query_tag = '{"dag": "", "run": "", "node": "test.reference_pipeline.every_record_is_accounted_for_typed_sales_sales.fb5fcae57d"}';

select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
with counted as (
    select
        landing_id,
        count(*) as typed,
        count(case when reject_reasons is null then 1 end) as valid,
        count(case when reject_reasons <> '' then 1 end) as rejected
    from analytics.staging.typed_sales
    where landing_id in (2)
    group by landing_id
)
select
    landed.source_file,
    landed.received,
    counted.typed,
    counted.valid,
    counted.rejected,
    landed.failed_checks
from analytics.staging.landed_files as landed
left join counted on landed.landing_id = counted.landing_id
where
    landed.landing_id in (2)
    and (
        landed.received <> coalesce(counted.typed, 0)
        or landed.received <> coalesce(counted.valid + counted.rejected, 0)
        or landed.received <> landed.valid + landed.rejected
        or landed.failed_checks is null
        and (
            landed.received = 0
            or landed.rejected > 0.05 * landed.received
            or landed.recent = 0
        )
    )
    ) dbt_internal_test;


-- test.reference_pipeline.known_files_one_row_per_file.d27b608d58

alter session set query_tag = '{"dag": "", "run": "", "node": "test.reference_pipeline.known_files_one_row_per_file.d27b608d58"}';

select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
select
    source_file,
    count(*) as "n_records"
from analytics.staging.known_files
where
    (source_file is not null)
group by source_file
having count(*) > 1
    ) dbt_internal_test;


-- test.reference_pipeline.ledger_adds_up

alter session set query_tag = '{"dag": "", "run": "", "node": "test.reference_pipeline.ledger_adds_up"}';

select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
  -- Every row of every file is in exactly one state.
-- depends_on: analytics.prod.daily_sales
select
    source_file,
    received_rows,
    current_rows,
    superseded_rows,
    rejected_rows,
    held_rows
from analytics.prod.load_ledger
where
    received_rows <> current_rows + superseded_rows + rejected_rows + held_rows
    or least(current_rows, superseded_rows, rejected_rows, held_rows) < 0
    ) dbt_internal_test;


-- test.reference_pipeline.no_file_to_mend

alter session set query_tag = '{"dag": "", "run": "", "node": "test.reference_pipeline.no_file_to_mend"}';

select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
  -- Fails while a sales file of the run is refused or held. Nothing descends from the view: the other files have gone on.
select
    state,
    source_file,
    source_record,
    failed_check,
    affected_rows,
    received_rows,
    reason,
    case
        -- A name of two lines is not to be typed.
        when state = 'held' and source_file not like '%' || chr(10) || '%'
            then 'make release FILE=''' || replace(source_file, '''', '''"''"''') || ''' REASON="..."'
    end as release_it_by
from analytics.staging.files_to_mend
where file_date = cast('2024-01-02' as date) and split_part(source_file, '/', 2) = 'sales'
order by source_file
    ) dbt_internal_test;


-- test.reference_pipeline.not_null_currencies_currency.2b959b8bf2

alter session set query_tag = '{"dag": "", "run": "", "node": "test.reference_pipeline.not_null_currencies_currency.2b959b8bf2"}';

select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
select currency
from analytics.staging.currencies
where currency is null
    ) dbt_internal_test;


-- test.reference_pipeline.rejected_sales_say_why.1a52159047

select landing_id from (
select passed.*
from (
select *
from analytics.staging.file_verdicts
where verdict in ('passed', 'released')
qualify landing_id = max(landing_id) over (partition by source_file)
) as passed
where passed.file_date = cast('2024-01-02' as date)
    and not exists (
        select 1
        from "ANALYTICS"."PROD"."LOAD_LEDGER" as ledger
        where ledger.verdict in ('passed', 'released')
            and ledger.source_file = passed.source_file
            and ledger.content_hash = passed.content_hash
    )
) as landings order by landing_id;

alter session set query_tag = '{"dag": "", "run": "", "node": "test.reference_pipeline.rejected_sales_say_why.1a52159047"}';

select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
select
    reject_reasons is not null as expression,
    *
from (select * from analytics.staging.rejected_sales where landing_id in (2)) dbt_subquery
where
    not ((reject_reasons is not null) = true)
    ) dbt_internal_test;


-- test.reference_pipeline.sales_by_day_amounts_add_up.abd3945154

alter session set query_tag = '{"dag": "", "run": "", "node": "test.reference_pipeline.sales_by_day_amounts_add_up.abd3945154"}';

select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
  select
    net = gross - returns - discount as expression,
    *
from analytics.prod.sales_by_day
where
    not ((net = gross - returns - discount) = true)
    ) dbt_internal_test;


-- test.reference_pipeline.unique_currencies_currency.07f3a5fd0a

alter session set query_tag = '{"dag": "", "run": "", "node": "test.reference_pipeline.unique_currencies_currency.07f3a5fd0a"}';

select
      count(*) as failures,
      count(*) != 0 as should_warn,
      count(*) != 0 as should_error
    from (
select
    currency as unique_field,
    count(*) as n_records
from analytics.staging.currencies
where currency is not null
group by currency
having count(*) > 1
    ) dbt_internal_test;
