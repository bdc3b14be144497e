"""What the features of customers cost against pure DuckDB, and as snapshots add up; and the memory of training."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.bench import MILLION, PROJECT, Bench
from bench.document import Line, ratio
from bench.measure import Cost, run
from orchestration.local.demos import churn_files

BUILD = ("build", "--exclude-resource-type", "unit_test", "--selector", "customer_features")
LOAD = (
    *("build", "--exclude-resource-type", "unit_test", "--indirect-selection", "cautious"),
    *("--select", "+customer_features", "+usage_events"),
)
DAY = churn_files.SNAPSHOT
# How many snapshots are before it.
FEW, MANY = 1, 365


@dataclass(frozen=True)
class Facts:
    """What customers have done in half a year, and a little of what came after the snapshot."""

    customers: int = 100_000
    events: int = 10 * MILLION
    payments: int = 12 * 100_000
    tickets: int = 200_000
    answers: int = 150_000


# Tables to train on: with the few rows a process has the memory that it needs for any.
TRAINED_ON, FEW_ROWS, COLUMNS = 200_000, 1_000, 30
# Half a year up to the end of the snapshot, and a week more.
BEGINS, DAYS = DAY + timedelta(days=1 - 180), 187
# Of each kind of fact: its table, how many there are, and what differs in a row from one that has landed, by the number
# of the thing, its hash `h`, and the number `n` of the row. Of 20 things one has a later version, which is each 21st
# row; of 50 events one was sent again, and of 10 one came a day late.
HAPPENED = f"timestamp '{BEGINS}' + interval 1 second * (h % {DAYS * 86_400})::bigint"
USER = "'C' || lpad(((h >> 20) % {customers})::varchar, 6, '0')"
VERSIONED = "n - n // 21 - (n % 21 = 20)::bigint"
VERSION = "+ interval 1 day * (case when n % 21 = 20 then 1 + hash(n) % 60 else 0 end)::integer"
ROWS = {
    "typed_events": (
        "events",
        "case when n % 50 = 49 then n - 49 + hash(n) % 49 else n end",
        f"""'E' || lpad(number::varchar, 9, '0') as event_id, {USER} as user_id, {HAPPENED} as event_timestamp,
        ['signed_in', 'page_viewed', 'searched', 'added_to_cart', 'checked_out', 'signed_out', 'shared', 'rated'][
            ((h >> 40) % 8 + 1)::integer
        ] as event_type, {HAPPENED} + interval 1 day * (hash(n) % 10 = 0)::integer as sent_at, n as kafka_offset""",
    ),
    "typed_customers": (
        "customers",
        VERSIONED,
        f"""'C' || lpad(number::varchar, 6, '0') as customer_id, timestamp '{BEGINS}' - interval 1 day as signed_up_at,
        timestamp '{BEGINS}' {VERSION} as updated_at,
        case when n % 21 = 20 then {HAPPENED} end as cancelled_at""",
    ),
    "typed_support_tickets": (
        "tickets",
        VERSIONED,
        f"""'T' || number as ticket_id, {USER} as customer_id, {HAPPENED} as opened_at,
        {HAPPENED} {VERSION} as updated_at, n % 420 = 20 as is_deleted""",
    ),
    "typed_payments": (
        "payments",
        VERSIONED,
        f"""'P' || number as payment_id, {USER} as customer_id, {HAPPENED} as paid_at,
        {HAPPENED} {VERSION} as updated_at,
        case when hash(n) % 20 = 0 then 'failed' else 'succeeded' end as status""",
    ),
    "typed_nps_responses": (
        "answers",
        VERSIONED,
        f"""'N' || number as response_id, {USER} as customer_id, {HAPPENED} as responded_at,
        {HAPPENED} {VERSION} as updated_at, (hash(n) % 11)::integer as score""",
    ),
}
# The same features as one would write them for one day, from what was typed, with its rules known by heart: no file is
# held, no two versions are of one time, and no row is rejected.
THEIRS = """
create table customer_snapshots as
with customers as (
    select customer_id
    from facts.staging.typed_customers
    where updated_at < $ends
    group by customer_id
    having
        not max_by(is_deleted, updated_at) and max_by(signed_up_at, updated_at) < $ends
        and coalesce(arg_max_null(cancelled_at, updated_at), $ends) >= $ends
),
logins as (
    select user_id as customer_id, max(event_timestamp) as last_login_at
    from facts.staging.typed_events
    where event_type = 'signed_in' and event_timestamp < $ends and sent_at < $ends
    group by user_id
),
features_in_use as (
    select user_id as customer_id, count(distinct event_type) as features_used
    from facts.staging.typed_events
    where
        event_timestamp >= $ends - interval 30 day and event_timestamp < $ends and sent_at < $ends
        and event_type in (select feature from facts.staging.features)
    group by user_id
),
tickets as (
    select customer_id, count(*) filter (where opened_at >= $ends - interval 30 day) as opened_30d
    from (
        select
            max_by(customer_id, updated_at) as customer_id, max_by(opened_at, updated_at) as opened_at,
            max_by(is_deleted, updated_at) as is_deleted
        from facts.staging.typed_support_tickets
        where updated_at < $ends
        group by ticket_id
    ) as newest
    where opened_at < $ends and not is_deleted
    group by customer_id
),
payments as (
    select customer_id, count(*) filter (where status = 'failed' and paid_at >= $ends - interval 90 day) as failed_90d
    from (
        select
            max_by(customer_id, updated_at) as customer_id, max_by(paid_at, updated_at) as paid_at,
            max_by(status, updated_at) as status, max_by(is_deleted, updated_at) as is_deleted
        from facts.staging.typed_payments
        where updated_at < $ends
        group by payment_id
    ) as newest
    where paid_at < $ends and not is_deleted
    group by customer_id
),
answers as (
    select customer_id, max_by(score, (responded_at, response_id)) as score
    from (
        select
            response_id, max_by(customer_id, updated_at) as customer_id,
            max_by(responded_at, updated_at) as responded_at, max_by(score, updated_at) as score,
            max_by(is_deleted, updated_at) as is_deleted
        from facts.staging.typed_nps_responses
        where updated_at < $ends
        group by response_id
    ) as newest
    where responded_at < $ends and not is_deleted
    group by customer_id
)
select
    customers.customer_id,
    date_diff('day', last_login_at::date, $day)::integer as days_since_last_login,
    coalesce(opened_30d, 0)::integer as support_tickets_30d,
    (coalesce(features_used, 0) / (select count(*) from facts.staging.features))::decimal(9, 6)
        as feature_adoption_score,
    coalesce(failed_90d, 0)::integer as payment_failures_90d,
    score::integer as nps_score,
    $day as snapshot_date
from customers
left join logins using (customer_id)
left join features_in_use using (customer_id)
left join tickets using (customer_id)
left join payments using (customer_id)
left join answers using (customer_id)
"""


def churn(bench: Bench, _: object) -> None:
    """Features, then training."""
    facts = Facts()
    bench.results += feature_lines(facts, *features(bench, facts))
    bench.results.append(training(bench))


def features(bench: Bench, facts: Facts) -> tuple[Cost, Cost, Cost, Cost]:
    """One snapshot by pure DuckDB, and by dbt without facts and with few and many snapshots before it, in turn."""
    kept, used, theirs = warehouses(bench, facts), warehouse(bench), bench.folder / "churn" / "theirs.duckdb"
    costs: dict[str, list[Cost]] = {name: [] for name in ("theirs", *kept)}
    for number in range(bench.repeats):
        bench.say(f"Features of {facts.customers:,} customers, {number + 1} of {bench.repeats}")
        theirs.unlink(missing_ok=True)
        costs["theirs"].append(run([sys.executable, "-m", "bench.churn", str(kept["few"]), str(theirs)], {}, PROJECT))
        for name, path in kept.items():
            shutil.copy(path, used)
            costs[name].append(build(bench, BUILD, bench.empty, DAY))
            if name != "empty" and number == 0:
                check(used, theirs, facts.customers)
    return tuple(Cost.best(costs[name]) for name in ("theirs", "empty", "few", "many"))


def warehouse(bench: Bench) -> Path:
    """The one that is built: where another one is named, dbt parses the project anew."""
    return bench.folder / "churn" / "warehouse.duckdb"


def build(bench: Bench, command: Sequence[str], root: Path, day: date | str = "") -> Cost:
    """One command of dbt on that warehouse."""
    return bench.run_dbt(command, root, warehouse(bench), {"RUN_DATE": str(day)})


def warehouses(bench: Bench, facts: Facts) -> dict[str, Path]:
    """A warehouse without facts, and two with facts and with few and many snapshots before the one to be built.

    A few customers land and are loaded. Then the tables that features are made of are filled straight: landing ten
    million events would take far longer than what is measured. A row is as one that has landed but for what a feature
    is made of; the many snapshots are the first one again and again.
    """
    folder, used = bench.folder / "churn", warehouse(bench)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    bench.say(f"Making {facts.events:,} events of {facts.customers:,} customers")
    churn_files.write(folder / "landing", 50)
    build(bench, LOAD, folder / "landing")
    kept = {name: folder / f"{name}.duckdb" for name in ("empty", "few", "many")}
    shutil.copy(used, kept["empty"])
    fill(kept["empty"], Facts(0, 0, 0, 0, 0))
    fill(used, facts)
    build(bench, BUILD, bench.empty, DAY - timedelta(days=FEW))
    shutil.copy(used, kept["few"])
    with duckdb.connect(str(used)) as connection:
        connection.execute(f"""
            insert into prod.customer_snapshots
            select one.* replace ((one.snapshot_date - n::integer) as snapshot_date)
            from prod.customer_snapshots as one, range(1, {MANY}) as before (n)
            order by snapshot_date
        """)
    used.rename(kept["many"])
    return kept


def fill(path: Path, facts: Facts) -> None:
    """Puts so many facts in the place of those of a warehouse, and takes its snapshots away."""
    with duckdb.connect(str(path), config={"threads": 1}) as connection:
        connection.execute("set TimeZone = 'UTC'; delete from prod.customer_snapshots")
        for table, (kind, number, values) in ROWS.items():
            count = getattr(facts, kind) + (0 if kind == "events" else getattr(facts, kind) // 20)
            connection.execute(f"""
                create temporary table one as from staging.{table} where reject_reasons is null limit 1;
                delete from staging.{table};
                insert into staging.{table}
                select one.* replace ({values.format(customers=facts.customers)})
                from one, (select n, {number} as number, hash({number}) as h from range({count}) as r (n));
                drop table one
            """)
        names = connection.execute("select column_name from (describe staging.newest_customers)").fetchall()
        connection.execute(f"""
            delete from staging.newest_customers;
            insert into staging.newest_customers
            select {", ".join(name for (name,) in names)} from staging.typed_customers
            qualify row_number() over (partition by customer_id order by updated_at desc) = 1
        """)


def check(ours: Path, theirs: Path, customers: int) -> None:
    """Raises RuntimeError unless both have the same features, of nearly so many customers."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{ours}' as warehouse (read_only); attach '{theirs}' as theirs (read_only)")
        a = f"select * from warehouse.prod.customer_snapshots where snapshot_date = date '{DAY}'"
        b = "select * from theirs.customer_snapshots"
        different, there = (
            connection.execute(f"select count(*) from ({query})").fetchone()[0]
            for query in (f"({a} except all {b}) union all ({b} except all {a})", a)
        )
    if different or not customers * 0.9 < there <= customers:
        raise RuntimeError(f"features of {there:,} customers; {different:,} rows differ from those of pure DuckDB")


def feature_lines(facts: Facts, theirs: Cost, empty: Cost, few: Cost, many: Cost) -> list[Line]:
    """The goals."""
    group = f"Features of {facts.customers:,} customers from {facts.events:,} events"
    built, before = few.cpu - empty.cpu, f"({few.cpu:.1f} s - {empty.cpu:.1f} s) / {theirs.cpu:.1f} s"
    grown = f"{many.cpu:.1f} s / {few.cpu:.1f} s"
    memory = f"{few.memory / theirs.memory:.2f} ({few.memory:,.0f} MB / {theirs.memory:,.0f} MB)"
    return [
        ratio(group, "CPU, less that of a build without facts, over pure DuckDB", built / theirs.cpu, 1.5, before),
        ratio(group, f"CPU with {MANY} snapshots before over that with {FEW}", many.cpu / few.cpu, 1.1, grown),
        Line(group, "Peak memory over pure DuckDB", memory),
    ]


def training(bench: Bench) -> Line:
    """The memory of training by hand on a large table, less that on a small one."""
    folder, peaks = bench.folder / "churn", {}
    folder.mkdir(exist_ok=True)
    for rows in (FEW_ROWS, TRAINED_ON):
        bench.say(f"Training on {rows:,} customers")
        size = write_table(folder / "table.parquet", rows, COLUMNS)
        command = [sys.executable, "-m", "orchestration.churn.train", "--data", str(folder / "table.parquet")]
        named = ("--id", "customer_id", "--label", "churned_flag", "--out", str(folder / "model"))
        peaks[rows] = run([*command, *named], {}, PROJECT).memory
    return training_line(peaks[TRAINED_ON], peaks[FEW_ROWS], size)


def write_table(file: Path, rows: int, columns: int) -> float:
    """Writes a table of customers with so many features of random numbers; returns its size in memory, in MB."""
    random = np.random.default_rng(0)
    features = {f"feature_{number}": random.normal(size=rows) for number in range(columns)}
    risk = features["feature_0"] + features["feature_1"] + random.normal(size=rows)
    ids = [f"C{number:07}" for number in range(rows)]
    table = pa.table({"customer_id": ids, **features, "churned_flag": (risk > 1).astype(int)})
    pq.write_table(table, file)
    return table.nbytes / (1 << 20)


def training_line(large: float, small: float, size: float) -> Line:
    """The goal."""
    detail = f"({large:,.0f} MB - {small:,.0f} MB) / {size:,.0f} MB"
    what = f"Peak memory less that of {FEW_ROWS:,} rows, over the table's"
    return ratio(
        f"Training on {TRAINED_ON:,} customers with {COLUMNS} features", what, (large - small) / size, 3, detail
    )


# In a process of its own.


def by_duckdb(facts: str, file: str) -> None:
    """The features of one snapshot by pure DuckDB, from the facts of a warehouse."""
    ends = f"timestamp '{DAY + timedelta(days=1)}'"
    with duckdb.connect(file, config={"threads": 1}) as connection:
        connection.execute(f"set TimeZone = 'UTC'; attach '{facts}' as facts (read_only)")
        connection.execute(THEIRS.replace("$ends", ends).replace("$day", f"date '{DAY}'"))


def main() -> None:
    """What one process does: its arguments are the warehouse of the facts and the file of the features."""
    by_duckdb(*sys.argv[1:])


if __name__ == "__main__":
    main()
