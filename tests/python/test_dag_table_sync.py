"""The DAG of the tables follows from dbt's manifest, and knows what has to be done. No scheduler is needed."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from airflow.sdk.exceptions import AirflowSkipException
from cosmos import DbtBuildLocalOperator
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner
from tables import KINDS
from warehouse import DATABASE, Project, Warehouse, environment

from orchestration import alerts, project, report, tables
from orchestration.local.demos import table_files as demo_tables
from orchestration.sync import DONE, TOGETHER, done, together
from orchestration.tables import Known, Table, changes

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("dag_table_sync")

DAG_ID = "table_sync"
DAG_FILE = project.PROJECT / "orchestration" / "dags" / f"{DAG_ID}.py"
OURS = ("customers", "inventory", "orders", "products")


@pytest.fixture(scope="module")
def dag():
    """The DAG, read from its file as Airflow reads it."""
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(DAG_FILE)
    assert not bag.import_errors
    return bag.dags[DAG_ID]


def manifest_of(one: Project, folder: Path) -> Path:
    """A manifest file of a project."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(one.manifest.writable_manifest().to_dict()))
    return path


def test_each_table_is_synced_then_validated_and_stops_no_other(dag):
    assert set(OURS) <= {task.removeprefix("sync_") for task in dag.task_dict}
    after = {name: task.downstream_task_ids for name, task in dag.task_dict.items()}
    names = [table.name for table in tables.tables()]
    assert after.pop(TOGETHER) == {f"sync_{name}" for name in names}
    assert after.pop("find_new_files") == {TOGETHER} | {f"sync_{name}" for name in names}
    assert after.pop("notify_success") == set()
    assert after == {f"sync_{name}": {f"validate_{name}"} for name in names} | {
        f"validate_{name}": {"notify_success"} for name in names
    }
    assert dag.get_task("notify_success").trigger_rule == "none_failed_min_one_success"


def test_schedule_and_settings(dag):
    assert dag.timetable.expression == "0 * * * *"
    assert type(dag.timetable).__name__ == "CronDataIntervalTimetable"
    assert dag.start_date == datetime(2024, 1, 1, tzinfo=UTC)
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert dag.description and dag.doc_md
    for task in dag.tasks:
        # What is done together is tried again by each table's own task.
        tries = 0 if task.task_id == TOGETHER else 3
        assert (task.owner, task.retries, task.retry_delay) == ("data-engineering", tries, timedelta(minutes=5))
        assert task.pool == "warehouse"
    assert dag.get_task(TOGETHER).on_failure_callback == []
    assert dag.get_task(TOGETHER).env["RUN_DATE"] == ""
    for name in OURS:
        for stage in ("sync", "validate"):
            (told,) = dag.get_task(f"{stage}_{name}").on_failure_callback
            assert isinstance(told, partial)
            assert (told.func, told.keywords) == (alerts.tell_failure, {"table": name})
            # All there is, of whatever day: the environment of the scheduler must not narrow it.
            assert dag.get_task(f"{stage}_{name}").env["RUN_DATE"] == ""


def test_a_table_more_shows_up_after_a_parse(project_with_prices, tmp_path):
    found = tables.tables(manifest_of(project_with_prices, tmp_path))
    assert [table.name for table in found] == sorted([*OURS, "prices"])
    assert found == sorted(found, key=lambda table: table.name)
    by_name = {table.name: table for table in found}
    assert by_name["prices"] == Table("prices", hourly=True, seeds=())
    assert by_name["orders"].seeds == ("currencies",)
    with pytest.raises(FileNotFoundError, match=r"manifest\.json is missing: `dbt parse` makes it"):
        tables.tables(tmp_path / "nowhere" / "manifest.json")


def test_reading_the_file_starts_no_dbt():
    """Airflow reads it again and again."""
    read = (
        "import sys; from airflow.dag_processing.dagbag import DagBag; "
        f"assert DagBag({str(DAG_FILE)!r}).dags; print([name for name in sys.modules if name.startswith('dbt.')])"
    )
    environ = os.environ | {"PYTHONPATH": str(project.PROJECT), "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
    out = subprocess.run([sys.executable, "-c", read], env=environ, capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"


def test_every_model_and_test_of_a_table_is_in_its_tasks(project: Project, dag):
    """What the tasks of all tables select, together, is all that there is of tables."""
    selected = set()
    with environment(WAREHOUSE_PATH=str(project.target / DATABASE)):
        for name in OURS:
            sync, validate = dag.get_task(f"sync_{name}"), dag.get_task(f"validate_{name}")
            for task, options in (
                (sync, ["--exclude", *sync.exclude.split(), "--indirect-selection", "cautious"]),
                (validate, []),
            ):
                arguments = ["ls", "--output", "name", "--select", *task.select.split(), *options]
                listed = dbtRunner(manifest=project.manifest).invoke([*arguments, *project.options()])
                assert listed.success
                if task is sync:
                    others = [other for other in OURS if other != name]
                    assert not [node for node in listed.result if any(other in node for other in others)]
                selected |= set(listed.result)
    wanted = {
        node.name
        for node in project.manifest.nodes.values()
        if node.original_file_path.startswith("models/tables/")
        or set(node.tags) & {f"{n}_quality_checks" for n in OURS}
    }
    assert wanted - selected == set()


def test_what_is_left_after_a_build_together(project: Project, tmp_path, dag):
    """A check that warns is left to the table's task, and all is where a table fails."""
    chosen = [table for table in tables.tables() if table.name in OURS]
    warehouse = Warehouse(project, tmp_path / "warehouse")
    warehouse.land(demo_tables.first_hour())

    def build() -> list[str]:
        with environment(**warehouse.places):
            select = ["--select", *together(chosen).split(), "--exclude", dag.get_task(TOGETHER).exclude]
            options = ["--exclude-resource-type", "unit_test", "--indirect-selection", "cautious", *project.options()]
            result = dbtRunner(manifest=project.manifest).invoke(["build", *select, *options])
        DuckDBConnectionManager.close_all_connections()
        return done(result.result.results)

    everything = {f"{stage}_{name}" for name in OURS for stage in ("sync", "validate")}
    assert set(build()) == everything
    # An order whose customer is not known, and far fewer customers than before.
    warehouse.land(demo_tables.first_hour() | demo_tables.second_hour())
    assert everything - set(build()) == {"validate_customers", "validate_orders"}
    # A table that somebody has changed: what all share waits for it, and each of the others is built by itself.
    with duckdb.connect(warehouse.folder / DATABASE) as connection:
        connection.execute("alter table staging.newest_products rename column category to kind")
    warehouse.land(warehouse.landed | demo_tables.third_hour())
    assert build() == []


@pytest.mark.parametrize(
    ("tries", "done", "news", "ended"),
    [
        (1, ["sync_orders"], ["orders"], "left out"),
        # A retry, and a task that a person clears, have a reason.
        (2, ["sync_orders"], ["orders"], "built"),
        (1, ["sync_products"], ["orders"], "built"),
        # What does it together was killed.
        (1, None, ["orders"], "built"),
        (1, None, ["products"], "skipped"),
    ],
)
def test_what_a_sync_does_after_all_are_built_together(dag, monkeypatch, tries, done, news, ended):
    told = {DONE: done, alerts.NEWS: dict.fromkeys(news, 1)}
    ran = []
    monkeypatch.setattr(DbtBuildLocalOperator, "execute", lambda *_, **__: ran.append("built"))
    ti = SimpleNamespace(try_number=tries, task_id="sync_orders", xcom_pull=lambda task_ids, key: told[key])
    with pytest.raises(AirflowSkipException) if ended == "skipped" else nullcontext():
        dag.get_task("sync_orders").execute({"ti": ti})
    assert ran == ["built"] * (ended == "built")


A, B = "raw/orders/2024-01-05/10/orders.csv", "raw/orders/2024-01-05/11/orders.csv"
OTHER = "raw/customers/2024-01-05/10/customers.csv"
BUILT = frozenset({"orders", "customers"})


@pytest.mark.parametrize(
    ("files", "known", "found"),
    [
        ({}, Known(tables=BUILT), None),
        ({A: "1"}, Known({A: "1"}, tables=BUILT), None),
        ({A: "1", B: "1"}, Known({A: "1"}, tables=BUILT), 1),
        ({A: "2", B: "1"}, Known({A: "1", B: "1"}, tables=BUILT), 1),
        # A file that has been taken stays taken; one that was refused and is gone is to be forgotten.
        ({}, Known({A: "1"}, tables=BUILT), None),
        ({}, Known({A: "1"}, refused=frozenset({A}), tables=BUILT), 1),
        ({A: "1"}, Known({A: ""}, refused=frozenset({A}), tables=BUILT), 1),
        # A load was killed, or a held file released.
        ({A: "1"}, Known({A: "1"}, unfinished=frozenset({A}), tables=BUILT), 0),
        # Nothing of this is a matter of other tables.
        ({}, Known({OTHER: "1"}, refused=frozenset({OTHER}), unfinished=frozenset({OTHER}), tables=BUILT), None),
        ({}, Known(), 0),
        ({A: "1"}, Known(), 1),
    ],
)
def test_what_there_is_to_do(files, known, found):
    assert changes("orders", files, known) == found


def test_what_there_is_to_do_after_loads(project_with_prices: Project, tmp_path, monkeypatch, caplog):
    """On a warehouse: nothing once a file is loaded; again after each thing that may happen to it."""
    warehouse = Warehouse(project_with_prices, tmp_path / "warehouse", feeds=KINDS)
    configured = [Table(feed.name, hourly=True, seeds=()) for feed in KINDS]
    monkeypatch.setitem(project.ENV, "LANDING_ROOT", str(warehouse.root))
    monkeypatch.setenv("WAREHOUSE_PATH", str(warehouse.folder / DATABASE))
    monkeypatch.setattr(report, "PROJECT", warehouse.project.root)

    def news() -> dict[str, int]:
        return tables.with_news(configured)

    stock = "product_id,warehouse_id,quantity_on_hand,updated_at\nP{0},W,1,2024-01-05T10:00:00Z\n".format
    prices = "product_id,country,unit_price,updated_at\nP1,GB,{0},2024-01-05T10:00:00Z\n".format
    first, second = (f"raw/inventory/2024-01-05/{hour}/inventory.csv" for hour in (10, 11))
    price = "raw/prices/2024-01-05/10/prices.csv"
    assert news() == {feed.name: 0 for feed in KINDS}
    # A table of which there never was a file is looked for in the wrong place, most often.
    assert [
        f"there is no {warehouse.root}/raw/{feed.name}/<YYYY-MM-DD>/<HH>/*.csv" in caplog.text for feed in KINDS
    ] == [True] * 3
    caplog.clear()
    warehouse.land({first: stock(1).encode(), price: prices("1.50").encode()})
    assert news() == {"customers": 0, "inventory": 1, "prices": 1}
    assert caplog.text.count("there is no ") == 1
    assert "no file of customers was ever found" in caplog.text
    assert not warehouse.build().broken
    assert news() == {}
    # A file without a row is held; what is held is no news until a person has released it.
    warehouse.land(warehouse.landed | {second: stock(1).splitlines()[0].encode() + b"\n"})
    assert news() == {"inventory": 1}
    warehouse.build()
    assert news() == {}
    warehouse.release(second)
    assert news() == {"inventory": 0}
    warehouse.build()
    assert news() == {}
    # Refused, and gone.
    warehouse.land(warehouse.landed | {price: b"nothing\n"})
    assert news() == {"prices": 1}
    warehouse.build()
    assert news() == {}
    warehouse.land({path: data for path, data in warehouse.landed.items() if path != price})
    assert news() == {"prices": 1}
    # Killed between the load and the merge.
    warehouse.land(warehouse.landed | {price: prices("2.50").encode()})
    warehouse.build_until("typed_prices")
    assert news() == {"prices": 0}
    warehouse.build()
    assert news() == {}
