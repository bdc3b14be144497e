"""What landing and loading events costs, against librdkafka alone and the straightforward way, and how it grows.

The reading side alone is measured, the whole of each process, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb

from bench.bench import MILLION, PROJECT, Bench
from bench.document import Line
from bench.measure import Cost, run
from orchestration.events import chain
from orchestration.events.chain import Generation, Record, Tail
from orchestration.events.objects import objects_at

TOPIC, SMALL = "events.{count}", "events.small"
PARTITIONS = 4
OBJECT = 10_000
# What DuckDB is allowed, in MB, where the memory of a load is measured: it takes what it gets.
MEMORY_LIMIT = 150
# Values of some 300 bytes; of 50 events one is a copy of an event not long before, in whichever partition.
ROWS = """
with numbered as (
    select n, n % 50 = 49 as copies, hash(n) as h from range({first}, {first} + {count}) as r (n)
),
known as (
    -- No copy of a copy.
    select n, case when copies then n - 49 + h % 49 else n end as number from numbered
),
drawn as (
    select n, number, hash(number) as h from known
)
select
    n % {partitions} as partition,
    'user-' || h % 100000 as key,
    to_json({{
        'event_id': md5(number::varchar),
        'user_id': 'user-' || h % 100000,
        'event_type': ['page_viewed', 'signed_in', 'item_added', 'item_removed', 'order_placed'][(h % 5)::integer + 1],
        'event_timestamp': strftime(timestamp '2024-01-05' + interval 1 millisecond * number, '%Y-%m-%dT%H:%M:%S.%fZ'),
        'properties': {{
            'page': '/products/' || (h >> 8) % 50000,
            'session': md5((number // 20)::varchar),
            'referrer': 'https://www.example.com/search?q=' || (h >> 16) % 1000000,
            'seconds': (h >> 4) % 6000 / 10
        }}
    }})::varchar as value
from drawn
order by n
"""
# How many different events are among the first so many.
DISTINCT = "select n from range({count}) as r (n) where n % 50 <> 49"
BUILD = (
    *("build", "--exclude-resource-type", "unit_test"),
    *("--selector", "realtime_event_ingestion", "--indirect-selection", "cautious"),
)
# What a year of runs every five minutes leaves behind.
RUNS_A_YEAR = 365 * 288
# Events of a year behind a small run, among which it looks for copies: all of them, or those of so many days around.
BEHIND, DAYS_AROUND = (MILLION, 10 * MILLION), 7


def rows(first: int, count: int) -> Iterator[tuple[int, str, str]]:
    """The events of some numbers: partition, key and value."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        found = connection.execute(ROWS.format(first=first, count=count, partitions=PARTITIONS))
        while some := found.fetchmany(OBJECT):
            yield from some


def events(bench: Bench, _: object) -> None:
    """Rates, memory and growth."""
    bench.results += growth_lines(*growth(bench, RUNS_A_YEAR)) + copies(bench)
    # The broker of the tests: no other one holds a million events.
    sys.path.append(str(PROJECT / "tests" / "python"))
    from confluent_kafka.admin import AdminClient, NewTopic

    from support import real_kafka

    if missing := real_kafka.missing():
        bench.say(missing)
        return
    folder = bench.folder / "kafka"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with real_kafka.real_kafka(folder) as kafka:
        admin = AdminClient({"bootstrap.servers": kafka.address})
        for count in (MILLION // 4, MILLION):
            bench.say(f"Sending {count:,} events")
            topic = TOPIC.format(count=count)
            admin.create_topics([NewTopic(topic, PARTITIONS)])[topic].result()
            fill(kafka.address, count)
        bench.results = measure(bench, kafka.address, MILLION // 4, MILLION) + bench.results


def fill(address: str, count: int) -> None:
    """Sends so many events to their topic, which is there."""
    from confluent_kafka import Producer

    # One request at a time keeps the order.
    producer = Producer({"bootstrap.servers": address, "linger.ms": 50, "max.in.flight": 1})
    for partition, key, value in rows(0, count):
        while True:
            try:
                producer.produce(TOPIC.format(count=count), value, key, partition)
                break
            except BufferError:  # it is full until some are sent
                producer.poll(0.1)
    if left := producer.flush(60):
        raise RuntimeError(f"the broker did not take {left} events")


def measure(bench: Bench, address: str, few: int, many: int) -> list[Line]:
    """Measures all of it in turn: of many events everything, of few, for its memory, landing and loading."""
    folder = bench.folder / "events"
    limited = bench.profile("profiles_limited", f"memory_limit: {MEMORY_LIMIT}MB")
    found: dict[tuple[str, int], list[Cost]] = {}

    def keep(name: str, count: int, cost: Cost) -> None:
        found.setdefault((name, count), []).append(cost)

    for number in range(bench.repeats):
        for count in (few, many):
            bench.say(f"{count:,} events, {number + 1} of {bench.repeats}")
            shutil.rmtree(folder, ignore_errors=True)
            for root in ("none", "landing"):
                (folder / root).mkdir(parents=True)
            if count == many:
                keep("read", count, reader("read", address, count))
            keep("land", count, reader("land", address, count, folder / "landing"))
            for name, root in {"empty": "none", "load": "landing"}.items():
                warehouse(bench).unlink(missing_ok=True)
                keep(name, count, build(bench, folder / root))
            warehouse(bench).unlink()
            keep("limited", count, build(bench, folder / "landing", limited))
            if count == many:
                keep("frame", count, reader("frame", address, count, folder / "frame.duckdb"))
                # It takes as long for each event, and minutes for all of them.
                keep("to_sql", count, reader("to_sql", address, count, folder / "to_sql.duckdb", share_of(count)))
                keep("to_frame", count, reader("to_frame", address, count, share_of(count)))
                check(warehouse(bench), folder / "frame.duckdb", count)
    return lines(few, many, {what: Cost.best(costs) for what, costs in found.items()})


def share_of(count: int) -> int:
    """How many events are written by to_sql."""
    return max(count // 20, 1)


def check(ours: Path, theirs: Path, count: int) -> None:
    """Raises RuntimeError unless the load and the straightforward way hold the same events."""
    columns = "event_id, user_id, event_type, event_timestamp"
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"attach '{ours}' as warehouse (read_only); attach '{theirs}' as theirs (read_only)")
        a, b = f"select {columns} from warehouse.prod.usage_events", f"select {columns} from theirs.usage_events"
        different, loaded, expected = (
            connection.execute(f"select count(*) from ({query})").fetchone()[0]
            for query in (f"({a} except all {b}) union all ({b} except all {a})", a, DISTINCT.format(count=count))
        )
    if different or loaded != expected:
        raise RuntimeError(f"{loaded:,} of {expected:,} events were loaded; {different:,} differ from those by pandas")


def reader(how: str, address: str, count: int, *arguments: object) -> Cost:
    """One process that reads a topic."""
    command = [sys.executable, "-m", "bench.events", how, address, TOPIC.format(count=count), str(count)]
    return run([*command, *map(str, arguments)], {}, PROJECT)


def warehouse(bench: Bench) -> Path:
    """The one that is built: where another one is named, dbt parses the project anew."""
    return bench.folder / "events" / "warehouse.duckdb"


def build(bench: Bench, root: Path, profiles: Path | None = None, *options: str) -> Cost:
    """One `dbt build` of events."""
    return bench.run_dbt((*BUILD, *options), root, warehouse(bench), profiles=profiles)


@dataclass(frozen=True)
class Growth:
    """With so many runs behind it: a build that finds nothing, a small one, and looking for what is new, in seconds."""

    runs: int
    idle: Cost
    small: Cost
    news: float


def growth(bench: Bench, runs: int) -> tuple[Growth, Growth]:
    """What an idle and a small run cost with nothing and with so many runs behind them, in turn."""
    folder, used = bench.folder / "events_grown", warehouse(bench)
    first = first_run(bench, folder)
    found: dict[int, dict[str, list]] = {0: {}, runs: {}}
    for number in found:
        bench.say(f"{number:,} runs of events behind")
        shutil.copytree(first, folder / str(number))
        grow(folder / str(number), number)
    for _ in range(bench.repeats):
        for number, costs in found.items():
            kept = folder / str(number)
            shutil.copy(kept / used.name, used)
            costs.setdefault("idle", []).append(build(bench, kept / "landing"))
            costs.setdefault("news", []).append(find_news(kept / "landing", used))
            landed = land_objects(kept / "landing", OBJECT, Tail(OBJECT + number))
            costs.setdefault("small", []).append(build(bench, kept / "landing"))
            for path in landed:
                path.unlink()
    grown = [
        Growth(number, Cost.best(one["idle"]), Cost.best(one["small"]), min(one["news"]))
        for number, one in found.items()
    ]
    return grown[0], grown[1]


def copies(bench: Bench) -> list[Line]:
    """What a small run costs with more and more events behind it."""
    folder, used = bench.folder / "events_behind", warehouse(bench)
    first, found = first_run(bench, folder), {}
    for count in BEHIND:
        bench.say(f"{count:,} events behind a small run")
        shutil.copytree(first, folder / str(count))
        grow(folder / str(count), 1, count // PARTITIONS)
        land_objects(folder / str(count) / "landing", OBJECT, Tail(OBJECT + count // PARTITIONS))
    bounds = {
        "among all": (None,),
        f"{DAYS_AROUND} days around": (
            bench.profile("profiles_bounded"), "--vars", json.dumps({"duplicates_within_days": DAYS_AROUND})
        ),
    }  # fmt: skip
    for _ in range(bench.repeats):
        for count in BEHIND:
            for bound, options in bounds.items():
                shutil.copy(folder / str(count) / used.name, used)
                found.setdefault((bound, count), []).append(build(bench, folder / str(count) / "landing", *options))
    return [
        Line(
            f"{BEHIND[1]:,} events behind",
            f"CPU seconds of a build of {OBJECT:,} events that looks for copies {bound}",
            "{1:.1f}; with {2:,} {0:.1f}".format(*(Cost.best(found[bound, count]).cpu for count in BEHIND), BEHIND[0]),
        )
        for bound in bounds
    ]


def first_run(bench: Bench, folder: Path) -> Path:
    """A folder with a few events that have landed and the warehouse that has loaded them."""
    first, used = folder / "first", warehouse(bench)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(used.parent, ignore_errors=True)
    used.parent.mkdir()
    land_objects(first / "landing", 0, Tail(0))
    build(bench, first / "landing")
    used.rename(first / used.name)
    return first


def land_objects(root: Path, first: int, end: Tail) -> list[Path]:
    """Lands one object a partition behind the end of its chain, `OBJECT` events in all; returns where they are."""
    root.mkdir(parents=True, exist_ok=True)
    objects = objects_at(str(root))
    generation = chain.begin(objects, Generation(SMALL, 0, None, "earliest", dict.fromkeys(range(PARTITIONS), 0)))
    records: dict[int, list[Record]] = {partition: [] for partition in range(PARTITIONS)}
    for partition, key, value in rows(first, OBJECT):
        some = records[partition]
        some.append(Record(end.next + len(some), 1_704_445_200_000, key.encode(), value.encode(), None))
    for partition, some in records.items():
        # Its range ends far behind its records, so that the next one begins at a round number.
        chain.append(objects, generation, partition, end, some, end.next + OBJECT)
    return [root / generation.folder / str(number) / f"{end.next:020d}.parquet" for number in range(PARTITIONS)]


def grow(kept: Path, runs: int, events: int = 1) -> None:
    """Adds to what has landed and to a warehouse what a year of so many runs leaves behind, each of an object with so
    many events a partition."""
    folder = f"raw/events/{SMALL}/0"
    for partition in range(PARTITIONS):
        for number in range(runs):
            # The listing alone looks at them.
            name = f"{OBJECT + number * events:020d}.parquet"
            (kept / "landing" / folder / str(partition) / name).touch()
    landings = f"""
        select
            {PARTITIONS} * n + p + 1 + {PARTITIONS} as landing_id,
            '{folder}/' || p || '/' || printf('%020d.parquet', {OBJECT} + n * {events}) as path,
            p, {OBJECT} + n * {events} as first, n
        from range({runs}) as runs (n), range({PARTITIONS}) as partitions (p)
        order by n, p
    """
    landed = "g.landing_id as landing_id, g.path as source_file, md5(g.path) as content_hash"
    offset = "g.first + e"
    place = (
        f"g.path as source_file, {offset} as source_record, g.p::integer as kafka_partition, {offset} as kafka_offset"
    )
    at = f"timestamp '2023-01-05' + interval 1 second * (365 * 86400 * (g.n * {events} + e) // {runs * events})"
    event = f"{place}, md5(g.path || e) as event_id, {at} as event_timestamp"
    counts = f"{events} as typed, {events} as valid, 0 as rejected, {events} as distinct_keys"
    registers = {
        "staging.landed_files": f"""{landed}, {events} as received, md5(g.path) as fingerprint, g.first as first_offset,
            g.first + {events} as next_offset, {counts}""",
        "prod.load_ledger": f"""g.path as source_file, md5(g.path) as content_hash, {events} as received_rows,
            {events} as current_rows, 0 as superseded_rows, 0 as rejected_rows""",
    }
    rows_of = {
        "staging.raw_events": f"{place}, md5(g.path) as content_hash, g.landing_id as landing_id",
        "staging.typed_events": f"{event}, g.landing_id as landing_id",
        "prod.usage_events": event,
    }
    with duckdb.connect(str(kept / "warehouse.duckdb")) as connection:
        connection.execute("set TimeZone = 'UTC'")
        for table, values in (registers | rows_of).items():
            # All else as in one row that is there.
            one = f"(select * from {table} limit 1) as one, ({landings}) as g"
            each = f", range({events}) as events (e)" if table in rows_of else ""
            connection.execute(f"insert into {table} select one.* replace ({values}) from {one}{each}")


def find_news(root: Path, warehouse: Path) -> float:
    """CPU seconds of looking for what is new, after imports."""
    command = [sys.executable, "-m", "bench.events", "news", str(root)]
    env = {**os.environ, "WAREHOUSE_PATH": str(warehouse), "DBT_TARGET": "duckdb"}
    told = subprocess.run(command, cwd=PROJECT, env=env, check=True, capture_output=True, text=True).stdout
    return json.loads(told.splitlines()[-1])


def lines(few: int, many: int, found: dict[tuple[str, int], Cost]) -> list[Line]:
    """Rates and memory."""
    cpu = {name: cost.cpu for (name, count), cost in found.items() if count == many}
    load = cpu["load"] - cpu["empty"]
    ours = cpu["land"] + load
    # What to_sql adds for a share of the events it adds as often for all.
    plain = cpu["frame"] + (cpu["to_sql"] - cpu["to_frame"]) * many / share_of(many)
    both = f"{cpu['land']:.1f} s and {load:.1f} s"
    group = f"{many:,} events"
    rates = [
        (
            "Rate of landing over that of librdkafka alone",
            cpu["read"] / cpu["land"],
            1 / 3,
            f"{cpu['read']:.1f} s / {cpu['land']:.1f} s",
        ),
        (
            "Rate of landing and load over that of librdkafka alone",
            cpu["read"] / ours,
            0.1,
            f"{cpu['read']:.1f} s / ({both})",
        ),
        ("Rate of landing and load over that of pandas with to_sql", plain / ours, 5, f"{plain:.0f} s / ({both})"),
    ]
    result = [
        Line(group, what, f"{value:.2f} ({detail})", f"at least {goal:.2g}", round(value, 2) >= round(goal, 2))
        for what, value, goal, detail in rates
    ]
    at_best = f"{cpu['frame'] / ours:.2f} ({cpu['frame']:.1f} s / ({both}))"
    result.append(Line(group, "The same, where DuckDB reads the data frame in place", at_best))
    for name, said in {"land": "landing", "limited": f"load, DuckDB allowed {MEMORY_LIMIT} MB", "load": "load"}.items():
        small, large = found[name, few].memory, found[name, many].memory
        what = f"Peak memory of the {said}, over that of {few:,}"
        grown = f"{large / small:.2f} ({large:,.0f} MB / {small:,.0f} MB)"
        # Without a limit DuckDB keeps what it has read and written as long as there is room.
        goal = () if name == "load" else ("at most 1.25", round(large / small, 2) <= 1.25)
        result.append(Line(group, what, grown, *goal))
    result.append(
        Line(
            group,
            f"CPU seconds of the load, DuckDB allowed {MEMORY_LIMIT} MB",
            f"{found['limited', many].cpu - cpu['empty']:.1f}; as it likes {load:.1f}",
        )
    )
    return result


def growth_lines(none: Growth, year: Growth) -> list[Line]:
    """What grows."""
    group = f"Events, with {year.runs:,} runs behind"
    found = {
        "CPU seconds of a build that finds nothing": (none.idle.cpu, year.idle.cpu),
        f"CPU seconds of a build of {OBJECT:,} events": (none.small.cpu, year.small.cpu),
        "CPU seconds of looking for what is new": (none.news, year.news),
    }
    return [Line(group, what, f"{after:.1f}; with none {before:.1f}") for what, (before, after) in found.items()]


# In a process of its own each.


def seconds_to_find_news(root: str) -> float:
    """The least of some attempts."""
    from orchestration import arrivals

    took = []
    for _ in range(3):
        begun = time.process_time()
        found = arrivals.compare(objects_at(root), arrivals.known())
        took.append(time.process_time() - begun)
        if found:
            raise RuntimeError(f"there is something new: {found}")
    return min(took)


def messages(address: str, topic: str, count: int, seconds: float = 30) -> Iterator[list]:
    """What a plain consumer reads, some at a time; for some it waits so many seconds."""
    from confluent_kafka import Consumer, TopicPartition

    settings = {"bootstrap.servers": address, "group.id": "bench", "enable.auto.commit": False}
    with closing(Consumer(settings)) as consumer:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
        while count > 0:
            # A call waits until it has as many as it asks for.
            some = consumer.consume(min(OBJECT, count), seconds)
            if not some or any(message.error() for message in some):
                raise RuntimeError(f"{topic} ended {count} events too early")
            count -= len(some)
            yield some


def land_all(address: str, topic: str, count: int, root: str) -> None:
    """Lands a topic."""
    from orchestration.events.lander import Limits, land

    landed = land({"bootstrap.servers": address}, topic, root, limits=Limits(OBJECT, seconds=3_600))
    if landed.events != count:
        raise RuntimeError(f"{landed.events} of {count} events have landed")


def frame_of(address: str, topic: str, count: int):
    """The events of a topic as a data frame without copies."""
    import pandas as pd

    values = [json.loads(message.value()) for some in messages(address, topic, count) for message in some]
    frame = pd.DataFrame(values).sort_values("event_timestamp").drop_duplicates("event_id")
    frame["event_timestamp"] = pd.to_datetime(frame["event_timestamp"]).dt.tz_localize(None)
    frame["properties"] = frame["properties"].map(json.dumps)
    return frame


def by_frame(address: str, topic: str, count: int, file: str) -> None:
    """The straightforward way, at its best: DuckDB reads the data frame in place."""
    frame = frame_of(address, topic, count)
    with duckdb.connect(file, config={"threads": 1}) as connection:
        connection.register("frame", frame)
        connection.execute("create table usage_events as select * from frame")


def by_to_sql(address: str, topic: str, _: int, file: str, some: str) -> None:
    """The straightforward way as it is written most often, of the first so many events."""
    frame = frame_of(address, topic, int(some))
    with duckdb.connect(file, config={"threads": 1}) as connection:
        connection.begin()
        frame.to_sql("usage_events", connection, index=False)


def to_frame(address: str, topic: str, _: int, some: str) -> None:
    """The same without to_sql."""
    frame_of(address, topic, int(some))


def main() -> None:
    """What one process does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("how", choices=["read", "land", "frame", "to_sql", "to_frame", "news"])
    parser.add_argument("arguments", nargs="+")
    options = parser.parse_args()
    if options.how == "news":
        return print(json.dumps(seconds_to_find_news(*options.arguments)))
    address, topic, count, *others = options.arguments
    if options.how == "read":
        for _ in messages(address, topic, int(count)):
            pass
    else:
        does = {"land": land_all, "frame": by_frame, "to_sql": by_to_sql, "to_frame": to_frame}[options.how]
        does(address, topic, int(count), *others)


if __name__ == "__main__":
    main()
