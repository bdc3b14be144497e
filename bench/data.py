"""Sales files of any size, made by DuckDB: the same numbers give the same bytes, and rows cost next to nothing."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import duckdb

FIRST_DAY = date(2024, 1, 1)

# Sale by sale, in the order of their numbers. Of 1,000 rows 50 correct one of the sales just before the file's own, 10
# repeat a sale of the file and 5 break the contract.
ROWS = """
with drawn as (
    select
        n,
        hash({start} + n) as h,
        n % 20 = 7 and {start} >= {size} as corrects,
        n % 100 = 50 as repeats,
        n % 200 = 120 as is_bad
    from range({size}) as r (n)
),
numbered as (
    select
        *,
        case
            when corrects then {start} - {size} + (h % {size}) // 20 * 20 + 1
            when repeats then {start} + n - 1
            else {start} + n
        end as number
    from drawn
),
timed as (
    select
        *,
        timestamp '{day}' - interval 1 day * corrects::int
        + interval 1 second * (number % {size} * 64800 // {size}) as sold
    from numbered
)
select
    {key} as sale_id,
    's' || h % 200 as store_id,
    case when h % 10 < 3 then '' else 'customer-' || (h >> 8) % 1000000 end as customer_id,
    'product-' || (h >> 16) % 50000 as product_id,
    case when is_bad then '0' when h % 33 = 0 then '-1' else ((h >> 4) % 9 + 1)::varchar end as quantity,
    ((h >> 12) % 20000 / 100)::decimal(18, 2)::varchar as unit_price,
    case when h % 5 = 0 then ((h >> 20) % 300 / 100)::decimal(18, 2)::varchar else '' end as discount_amount,
    case when h % 10 = 9 then 'USD' else 'EUR' end as currency,
    strftime(sold, '%Y-%m-%dT%H:%M:%SZ') as sold_at,
    strftime(sold + interval 1 hour * (n % 7), '%Y-%m-%dT%H:%M:%SZ') as updated_at
from timed
order by n
"""
KEYS = {"growing": "printf('S%012d', number)", "random": "md5(number::varchar)"}


def date_of(day: int) -> date:
    """A day, counted from the first."""
    return FIRST_DAY + timedelta(days=day)


def write_file(root: Path, day: int, start: int, size: int, keys: str) -> str:
    """Writes the file of a day unless it is there: `size` sales from number `start` on.

    `keys` are `growing` with time or `random`. Returns the file's path below the landing root.
    """
    path = f"raw/sales/{date_of(day)}/sales_export.csv"
    file = root / path
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        query = ROWS.format(day=date_of(day), start=start, size=size, key=KEYS[keys])
        with duckdb.connect() as connection:
            connection.execute(f"set TimeZone = 'UTC'; copy ({query}) to '{file}.part' (header true)")
        file.with_name(file.name + ".part").rename(file)
    return path
