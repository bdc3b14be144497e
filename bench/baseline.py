"""The yardstick: the daily load of one file as one process of pure DuckDB, as fast as we could write it.

It keeps the same promises for that file (strict typing with all reasons, raw kept, the file whole, the gate, guarded
merge, ledger, totals, metrics) and must end with the same tables, row for row. What it leaves out is what the project
adds: restated and refused files, releases, runs side by side, steps that can be run again one by one, models that a
person can read.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import sys
from pathlib import Path

import duckdb

TYPES = {
    "sale_id": "varchar",
    "store_id": "varchar",
    "customer_id": "varchar",
    "product_id": "varchar",
    "quantity": "integer",
    "unit_price": "decimal(18,2)",
    "discount_amount": "decimal(18,2)",
    "currency": "varchar",
    "sold_at": "timestamp",
    "updated_at": "timestamp",
}
MAY_BE_EMPTY = ("customer_id", "discount_amount")
PATTERNS = {
    "integer": "[+-]?[0-9]{1,18}",
    "decimal(18,2)": "[+-]?[0-9]{1,16}([.][0-9]{1,2})?",
    "timestamp": (
        "(19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
        "([.][0-9]{1,6})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])?"
    ),
}
CURRENCIES = Path(__file__).resolve().parents[1] / "seeds" / "currencies.csv"
MAX_REJECT_RATE = 0.05
BLOCK = 1 << 20


def listed(template: str, separator: str = ", ", without: tuple[str, ...] = ()) -> str:
    """A text for each column."""
    return separator.join(template.format(c=c, t=t) for c, t in TYPES.items() if c not in without)


NAMES = listed("{c}")
TABLES = f"""
create schema if not exists staging;
create schema if not exists prod;
create table if not exists staging.raw_sales (
    {listed("{c} varchar")}, source_file varchar, content_hash varchar, source_record bigint, file_date date
);
create table if not exists staging.rejected_sales (
    {listed("{c} varchar")}, source_file varchar, source_record bigint, reject_reasons varchar
);
create table if not exists prod.daily_sales ({listed("{c} {t}")}, source_file varchar, source_record bigint);
create table if not exists prod.load_ledger (
    source_file varchar, content_hash varchar, file_date date, verdict varchar, received_rows bigint,
    current_rows bigint, superseded_rows bigint, rejected_rows bigint, held_rows bigint
);
create table if not exists prod.sales_by_day (
    day date, store_id varchar, currency varchar, sales bigint,
    gross decimal(38, 2), "returns" decimal(38, 2), discount decimal(38, 2), net decimal(38, 2)
);
create table if not exists prod.load_metrics (
    source_file varchar, content_hash varchar, file_date date, received bigint, valid bigint, rejected bigint,
    distinct_keys bigint, recent bigint, verdict varchar, failed_checks varchar
);
"""


def typed(column: str) -> str:
    """A raw value as its type, null where it is not one; empty discounts are 0."""
    kind, raw = TYPES[column], f"raw_{column}"
    if kind == "varchar":
        return raw
    cast = f"try_cast({raw} as {kind})"
    if kind == "timestamp":
        has_offset = f"substr({raw}, -6, 1) in ('+', '-') and substr({raw}, -3, 1) = ':'"
        cast = f"case when {has_offset} then timezone('UTC', try_cast({raw} as timestamptz)) else {cast} end"
    value = f"case when regexp_full_match({raw}, '{PATTERNS[kind]}') then {cast} end"
    return f"case when {raw} is null then 0::{kind} else {value} end" if column == "discount_amount" else value


def faults(latest: str) -> list[tuple[str, str]]:
    """What a row can break, as (condition that is true of a bad row, reason)."""
    accepted = ", ".join(f"'{code}'" for code in CURRENCIES.read_text().split()[1:])
    rules = {
        "quantity": ("quantity = 0 or abs(quantity) > 1000000000", "is 0 or beyond 1,000,000,000"),
        "unit_price": ("unit_price < 0", "is negative"),
        "discount_amount": ("discount_amount < 0", "is negative"),
        "currency": (f"currency not in ({accepted})", "is not listed in currencies"),
        "sold_at": (f"sold_at >= {latest}", "is later than the day after the file''s date"),
        "updated_at": (f"updated_at >= {latest}", "is later than the day after the file''s date"),
    }
    found = []
    for column, kind in TYPES.items():
        if column not in MAY_BE_EMPTY:
            found.append((f"raw_{column} is null", f"{column} is empty"))
        if kind != "varchar":
            found.append((f"raw_{column} is not null and {column} is null", f"{column} is not {kind}"))
        if column in rules:
            found.append((rules[column][0], f"{column} {rules[column][1]}"))
    return found


def inspect(path: Path) -> tuple[str, list[str]]:
    """The file's hash and header; stops at what DuckDB would read over."""
    digest, quotes, head, tail = hashlib.sha256(), 0, b"", b""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
            quotes += block.count(b'"')
            head = head or block[: 1 << 16]
            if b"\0" in block or b",\n" in block or b",\r" in block or (tail == b"," and block[:1] in b"\r\n"):
                sys.exit(f"{path}: a NUL byte, or an empty field at the end of a record")
            tail = block[-1:]
    if quotes % 2:
        sys.exit(f"{path}: an unclosed quote")
    return digest.hexdigest(), next(csv.reader(io.StringIO(head.decode("utf-8-sig", errors="ignore"), newline="")))


def load(database: Path, root: Path, file: str) -> None:
    """Loads one file, given by its path below the landing root."""
    connection = duckdb.connect(database, config={"storage_compatibility_version": "v1.2.0"})
    execute = connection.execute
    # With more threads the main one spins while another works, and CPU seconds say little.
    execute("set threads = 1; set TimeZone = 'UTC'")
    execute(TABLES)
    content_hash, header = inspect(root / file)
    known = f"select 1 from prod.load_ledger where source_file = '{file}' and content_hash = '{content_hash}'"
    if execute(known).fetchone():
        return
    day = re.search(r"\d{4}-\d{2}-\d{2}", file)[0]
    declared = ", ".join(f"'{name}': 'varchar'" for name in header)
    checks = faults(f"(date '{day}' + interval 2 day)")
    reasons = " || ".join(f"case when {bad} then '; {reason}' else '' end" for bad, reason in checks)
    of_file = f"file_date = date '{day}' and source_file = '{file}'"

    execute("begin")
    received = execute(f"""
        insert into staging.raw_sales
        select {NAMES}, '{file}', '{content_hash}', row_number() over () + 1, date '{day}'
        from read_csv('{root / file}', header = true, delim = ',', quote = '"', escape = '"', auto_detect = false,
            columns = {{{declared}}})
    """).fetchone()[0]
    execute(f"""
        create temp table typed as
        select {NAMES}, source_record, case when not ({" and ".join(f"({bad}) is not true" for bad, _ in checks)})
            then substr({reasons}, 3) end as reject_reasons
        from (
            select *, {", ".join(f"{typed(column)} as {column}" for column in TYPES)}
            from (select {listed("nullif({c}, '') as raw_{c}")}, source_record from staging.raw_sales where {of_file})
        )
    """)
    execute(f"""
        create temp table losers as
        select source_record from typed
        where reject_reasons is null and sale_id in (
            select sale_id from typed where reject_reasons is null group by sale_id having count(*) > 1
        )
        qualify row_number() over (
            partition by sale_id
            order by updated_at desc, {listed("{c} desc nulls last", without=("updated_at",))}, source_record
        ) > 1
    """)
    execute(f"""
        insert into staging.rejected_sales
        select {listed("raw.{c}")}, source_file, source_record, bad.reject_reasons
        from staging.raw_sales as raw
        inner join (select source_record, reject_reasons from typed where reject_reasons is not null) as bad
            using (source_record)
        where {of_file}
    """)
    all_typed, valid, rejected, silent, sales, recent, incomplete, lost, low, high = execute(f"""
        select
            count(*),
            count(*) filter (reject_reasons is null),
            count(*) filter (reject_reasons <> ''),
            count(*) filter (reject_reasons = ''),
            count(distinct case when reject_reasons is null then sale_id end),
            count(*) filter (
                reject_reasons is null and sold_at >= date '{day}' - interval 1 day
                and sold_at < date '{day}' + interval 1 day
            ),
            count(*) filter (
                reject_reasons is null and not ({listed("{c} is not null", " and ", ("customer_id",))})
            ),
            (select count(*) from losers),
            min(sale_id) filter (reject_reasons is null),
            max(sale_id) filter (reject_reasons is null)
        from typed
    """).fetchone()
    if all_typed != received or valid + rejected != received or silent or sales != valid - lost or incomplete:
        sys.exit("rows are unaccounted for; nothing was loaded")
    if not received or rejected > MAX_REJECT_RATE * received or not recent:
        sys.exit("the file fails the gate; nothing was loaded")

    ours = """(
        select * from typed where reject_reasons is null and source_record not in (select source_record from losers)
    )"""
    # The keys first, then what is there under them, then the whole content of those that tie.
    execute(
        f"""
        create temp table met as
        select there.rowid as place, ours.sale_id, ours.source_record, ours.updated_at
        from prod.daily_sales as there
        inner join (select sale_id, source_record, updated_at from {ours}) as ours
            on ours.sale_id = there.sale_id and there.sale_id between ? and ?
        """,
        [low, high],
    )
    execute("""
        create temp table compared as
        select met.*, there.source_file as old_file, there.sold_at::date as old_day,
            met.updated_at > there.updated_at as newer, met.updated_at = there.updated_at as ties
        from met inner join prod.daily_sales as there on there.rowid = met.place
    """)
    by_content = listed(
        "when ours.{c} is distinct from there.{c} then there.{c} is null or coalesce(ours.{c} > there.{c}, false)",
        " ",
        ("updated_at",),
    )
    execute(f"""
        update compared
        set newer = case {by_content} when there.source_file <> '{file}' then '{file}' < there.source_file
            else ours.source_record < there.source_record end
        from prod.daily_sales as there, typed as ours
        where ties and there.rowid = compared.place and ours.source_record = compared.source_record
    """)
    execute("delete from prod.daily_sales where rowid in (select place from compared where newer)")
    current = execute(f"""
        insert into prod.daily_sales
        select {NAMES}, '{file}', source_record from {ours}
        where sale_id not in (select sale_id from compared where not newer)
    """).fetchone()[0]
    execute("""
        update prod.load_ledger as ledger
        set current_rows = current_rows - lost, superseded_rows = superseded_rows + lost
        from (select old_file, count(*) as lost from compared where newer group by old_file) as overtaken
        where ledger.source_file = overtaken.old_file
    """)
    execute(
        "insert into prod.load_ledger values (?, ?, ?, 'passed', ?, ?, ?, ?, 0)",
        [file, content_hash, day, received, current, valid - current, rejected],
    )
    execute(
        "insert into prod.load_metrics values (?, ?, ?, ?, ?, ?, ?, ?, 'passed', null)",
        [file, content_hash, day, received, valid, rejected, sales, recent],
    )
    days = execute(f"""
        select distinct sold_at::date as day from {ours}
        where sale_id not in (select sale_id from compared where not newer)
        union
        select old_day from compared where newer
        order by day
    """).fetchall()
    if days:
        dates = ", ".join(f"date '{day}'" for (day,) in days)
        amount = "quantity * unit_price::decimal(28, 2)"
        execute(f"delete from prod.sales_by_day where day in ({dates})")
        execute(f"""
            insert into prod.sales_by_day
            select sold_at::date as day, store_id, currency, count(*),
                sum(case when quantity > 0 then {amount} else 0 end),
                sum(case when quantity < 0 then -({amount}) else 0 end),
                sum(discount_amount), sum({amount}) - sum(discount_amount)
            from prod.daily_sales
            where sold_at >= date '{days[0][0]}' and sold_at < date '{days[-1][0]}' + interval 1 day
                and sold_at::date in ({dates})
            group by all
        """)
    execute("commit")
    connection.close()


if __name__ == "__main__":
    load(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
