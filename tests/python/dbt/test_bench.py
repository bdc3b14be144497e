"""The bench's yardstick keeps the same promises: the same files make the same tables, and a difference is seen."""

import shutil
import subprocess
import sys

import duckdb
import pytest
from rich.progress import Progress

from bench import baseline, churn, events
from bench import tables as bench_tables
from bench.bench import COMPARED, Batch, Bench, compare
from bench.data import KEYS, write_file
from bench.measure import Cost, run
from orchestration.contracts import faults
from orchestration.contracts.reading import read
from orchestration.local.demos import churn_files
from orchestration.local.stand_ins.broker import broker
from support import event_worlds
from support.warehouse import DATABASE, PROJECT, Project, Warehouse

SIZE = 2_000


@pytest.mark.parametrize(
    "keys", [pytest.param(keys, marks=[pytest.mark.long] if keys == "random" else []) for keys in KEYS]
)
def test_the_yardstick_makes_the_same_tables(project: Project, tmp_path, keys: str) -> None:
    warehouse = Warehouse(project, tmp_path / "warehouse")
    theirs = tmp_path / "theirs.duckdb"
    for day in range(3):
        file = write_file(warehouse.root, day, day * SIZE, SIZE, keys)
        baseline.load(theirs, warehouse.root, file)
        assert not warehouse.build().red
    compare(warehouse.folder / DATABASE, theirs)

    overtaken = warehouse.query("select min(superseded_rows) from prod.load_ledger where file_date < '2024-01-03'")
    assert overtaken > [(10,)]
    with duckdb.connect(str(theirs)) as connection:
        connection.execute("update prod.daily_sales set quantity = quantity + 1 where source_record = 7")
    with pytest.raises(RuntimeError, match=r"prod\.daily_sales differs"):
        compare(warehouse.folder / DATABASE, theirs)


def test_the_memory_of_a_command_is_its_own(tmp_path) -> None:
    """Not that of the bench, which may have held more, as here."""
    ballast = bytearray(400 << 20)
    ballast[:: 1 << 12] = b"x" * len(ballast[:: 1 << 12])
    small, large = (run([sys.executable, "-c", f"x = b'x' * ({mb} << 20)"], {}, tmp_path).memory for mb in (1, 100))
    assert small < 60
    assert 80 < large - small < 120
    with pytest.raises(RuntimeError, match="ended with 3:\nno luck"):
        run([sys.executable, "-c", "print('no luck'); exit(3)"], {}, tmp_path)


@pytest.mark.parametrize("of", ["our side", "the yardstick"])
def test_what_is_called_correct_is_compared(monkeypatch, tmp_path, of: str) -> None:
    """Of random keys nothing but that is promised."""
    bench = Bench(tmp_path / "bench", Progress(disable=True), repeats=2)

    def load(side: str):
        def loaded(self, root, *arguments):
            """Of the rows that are compared one stands for all."""
            warehouse = next(path for path in arguments if str(path).endswith(DATABASE))
            with duckdb.connect(str(warehouse)) as connection:
                connection.execute("create schema if not exists prod; create schema if not exists staging")
                for table, columns in COMPARED.items():
                    rows = 2 if side == of and table == "prod.daily_sales" else 1
                    one = "1 as x" if columns == "*" else ", ".join(f"1 as {name}" for name in columns.split(", "))
                    connection.execute(f"create table {table} as select {one} from range({rows})")
            return Cost(1, 1)

        return loaded

    monkeypatch.setattr(Bench, "dbt", load("our side"))
    monkeypatch.setattr(Bench, "baseline", load("the yardstick"))
    with pytest.raises(RuntimeError, match=r"prod\.daily_sales differs from the baseline's in 1 rows"):
        bench.builds([Batch(10, 0, "random", 10)])


@pytest.mark.long
def test_random_keys_are_built_as_the_yardstick_builds_them(tmp_path) -> None:
    bench = Bench(tmp_path / "bench", Progress(disable=True), repeats=1)
    (cost,) = bench.builds([Batch(SIZE, SIZE, "random", SIZE)])
    assert cost.cpu > 0


def test_starts_of_dbt_are_counted(tmp_path) -> None:
    """Whatever starts it, in the processes that have loaded what Airflow's scheduler loads."""
    (tmp_path / "orchestration").mkdir()
    for name in ("__init__.py", "warm_up.py"):
        shutil.copy(PROJECT / "orchestration" / name, tmp_path / "orchestration")
    with (tmp_path / "orchestration" / "warm_up.py").open("a") as file:
        file.write(bench_tables.COUNTING)
    start = "from dbt.cli.main import dbtRunner; assert dbtRunner().invoke(['deps', '--help']).success"
    for command in (f"import orchestration.warm_up; {start}; {start}", start):
        subprocess.run([sys.executable, "-c", command], cwd=tmp_path, check=True, capture_output=True)
    assert len((tmp_path / bench_tables.STARTS).read_text().splitlines()) == 2


def test_tables_are_added_whole(tmp_path) -> None:
    for folder in ("models", "seeds"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    before = read(tmp_path)
    bench_tables.add_tables(tmp_path / "models", 6)
    added = read(tmp_path)
    assert faults(tmp_path) == []
    assert added.feeds.keys() - before.feeds.keys() == {"copy_04", "copy_05"}
    of_products = {name for name in before.models if "products" in name} - {"products_history", "versions_products"}
    assert added.models.keys() - before.models.keys() == {
        name.replace("products", copy) for name in of_products for copy in ("copy_04", "copy_05")
    }


def test_events_are_measured_where_all_ways_load_the_same(project: Project, tmp_path) -> None:
    warehouse, count = Warehouse(project, tmp_path / "warehouse"), 1_000
    with broker() as kafka:
        kafka.create(events.TOPIC.format(count=count), events.PARTITIONS)
        events.fill(kafka.address, count)
        events.reader("read", kafka.address, count)
        events.reader("land", kafka.address, count, warehouse.root)
        events.reader("frame", kafka.address, count, tmp_path / "frame.duckdb")
        events.reader("to_sql", kafka.address, count, tmp_path / "to_sql.duckdb", 50)
        with pytest.raises(RuntimeError, match="ended 1 events too early"):
            list(events.messages(kafka.address, events.TOPIC.format(count=count), count + 1, seconds=1))
    assert not event_worlds.build(warehouse).broken
    ours, theirs = warehouse.folder / DATABASE, tmp_path / "frame.duckdb"
    events.check(ours, theirs, count)
    assert warehouse.query("select count(*) from prod.usage_events") == [(980,)]
    with duckdb.connect(str(theirs)) as connection:
        connection.execute(
            "update usage_events set user_id = 'another' where event_id = (select min(event_id) from usage_events)"
        )
    with pytest.raises(RuntimeError, match="980 of 980 events were loaded; 2 differ"):
        events.check(ours, theirs, count)


@pytest.mark.parametrize(
    ("runs", "of_each"), [(3, 1), pytest.param(1, 40, marks=pytest.mark.long)], ids=["many runs", "many events"]
)
def test_what_a_year_leaves_behind_is_as_runs_leave_it(project: Project, tmp_path, runs: int, of_each: int) -> None:
    """So that a build finds nothing to do, and all that is checked holds."""
    warehouse = Warehouse(project, tmp_path / "warehouse")
    events.land_objects(warehouse.root, 0, events.Tail(0))
    assert not event_worlds.build(warehouse).broken
    events.grow(warehouse.root.parent, runs, of_each)
    built = event_worlds.build(warehouse)
    assert not built.broken
    assert any("Nothing to do: no object in raw/events/ is new" in text for text in built.messages)
    (landed,) = warehouse.query(f"select count(*) from prod.event_ledger where current_events = {of_each}")
    assert landed == (events.PARTITIONS * runs,)
    events.land_objects(warehouse.root, events.OBJECT, events.Tail(events.OBJECT + runs * of_each))
    assert not event_worlds.build(warehouse).broken
    assert warehouse.query("select count(*) from prod.usage_events where kafka_offset > 10000") > [(9_000,)]


def test_a_ratio_of_events_is_of_what_a_part_costs_alone() -> None:
    cpu = {"read": 1, "land": 3, "load": 9, "limited": 10, "empty": 4, "frame": 10, "to_sql": 7, "to_frame": 2}
    found = {(name, count): Cost(seconds, count / 10) for name, seconds in cpu.items() for count in (200, 1_000)}
    told = {line.what: (line.result, line.verdict) for line in events.lines(200, 1_000, found)}
    assert told == {
        "Rate of landing over that of librdkafka alone": ("0.33 (1.0 s / 3.0 s)", "reached"),
        "Rate of landing and load over that of librdkafka alone": ("0.12 (1.0 s / (3.0 s and 5.0 s))", "reached"),
        # 10 s, and 5 s for each twentieth.
        "Rate of landing and load over that of pandas with to_sql": ("13.75 (110 s / (3.0 s and 5.0 s))", "reached"),
        "The same, where DuckDB reads the data frame in place": ("1.25 (10.0 s / (3.0 s and 5.0 s))", ""),
        "Peak memory of the landing, over that of 200": ("5.00 (100 MB / 20 MB)", "missed"),
        "Peak memory of the load, DuckDB allowed 150 MB, over that of 200": ("5.00 (100 MB / 20 MB)", "missed"),
        "Peak memory of the load, over that of 200": ("5.00 (100 MB / 20 MB)", ""),
        "CPU seconds of the load, DuckDB allowed 150 MB": ("6.0; as it likes 5.0", ""),
    }


def test_features_are_measured_where_both_sides_have_the_same(project: Project, tmp_path) -> None:
    warehouse, facts = Warehouse(project, tmp_path / "warehouse"), churn.Facts(300, 20_000, 2_000, 600, 500)
    churn_files.write(warehouse.root, 50)
    assert not warehouse.dbt(*churn.LOAD).broken
    ours, theirs = warehouse.folder / DATABASE, tmp_path / "theirs.duckdb"
    churn.fill(ours, facts)
    assert not warehouse.dbt(*churn.BUILD, run_date=churn.DAY).broken
    churn.by_duckdb(str(ours), str(theirs))
    churn.check(ours, theirs, facts.customers)
    # Features are neither all the same nor mostly unknown.
    for column in ("days_since_last_login", "feature_adoption_score", "payment_failures_90d", "nps_score"):
        [(different, known)] = warehouse.query(
            f"select count(distinct {column}), avg(({column} is not null)::integer) from prod.customer_snapshots"
        )
        assert different > 2 and known > 0.5, column
    with duckdb.connect(str(theirs)) as connection:
        connection.execute(
            "update customer_snapshots set nps_score = 11 where customer_id = (select min(customer_id) "
            "from customer_snapshots)"
        )
    with pytest.raises(RuntimeError, match="2 rows differ from those of pure DuckDB"):
        churn.check(ours, theirs, facts.customers)


def test_a_ratio_of_features_is_of_what_a_snapshot_costs_alone() -> None:
    costs = (Cost(2, 100), Cost(4, 90), Cost(7, 150), Cost(7.7, 160))
    told = [(line.result, line.verdict) for line in churn.feature_lines(churn.Facts(), *costs)]
    assert told == [
        ("1.50 ((7.0 s - 4.0 s) / 2.0 s)", "reached"),
        ("1.10 (7.7 s / 7.0 s)", "reached"),
        ("1.50 (150 MB / 100 MB)", ""),
    ]
    line = churn.training_line(large=500, small=200, size=90)
    assert (line.result, line.verdict) == ("3.33 ((500 MB - 200 MB) / 90 MB)", "missed")
