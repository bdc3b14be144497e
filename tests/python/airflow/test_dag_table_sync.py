"""The DAG of the tables follows from dbt's manifest, and knows what has to be done. No scheduler is needed."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped
from cosmos import DbtBuildLocalOperator, DbtTestLocalOperator
from cosmos.dbt.runner import extract_message_by_status
from cosmos.exceptions import CosmosDbtRunError
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

from orchestration import project, report, tables
from orchestration.alerts import callbacks
from orchestration.local.demos import table_files as demo_tables
from orchestration.tables import Known, Table, changes
from support.tables import KINDS
from support.warehouse import DATABASE, Project, Warehouse, environment

# Airflow is imported once for all tests of DAGs.
pytestmark = pytest.mark.xdist_group("dags")

DAG_ID = "table_sync"
DAG_FILE = project.PROJECT / "orchestration" / "dags" / f"{DAG_ID}.py"
OURS = ("customers", "inventory", "nps_responses", "orders", "payments", "products", "support_tickets")


def manifest_of(one: Project, folder: Path) -> Path:
    """A manifest file of a project."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(one.manifest.writable_manifest().to_dict()))
    return path


def test_each_table_is_synced_then_validated_and_stops_no_other(dag):
    assert set(OURS) <= {task.removeprefix("sync_") for task in dag.task_dict}
    after = {name: task.downstream_task_ids for name, task in dag.task_dict.items()}
    names = [table.name for table in tables.tables()]
    assert after.pop("find_new_files") == {f"sync_{name}" for name in names} | {"check_freshness"}
    assert after.pop("check_freshness") == {"notify_success"}
    assert after.pop("notify_success") == set()
    assert after == {f"sync_{name}": {f"validate_{name}"} for name in names} | {
        f"validate_{name}": {"check_freshness", "notify_success"} for name in names
    }
    rules = {name: task.trigger_rule for name, task in dag.task_dict.items()}
    assert rules.pop("notify_success") == "none_failed_min_one_success"
    assert rules.pop("check_freshness") == "all_done"
    assert set(rules.values()) == {"all_success"}
    for name in names:
        assert type(dag.get_task(f"sync_{name}")) is DbtBuildLocalOperator
        assert type(dag.get_task(f"validate_{name}")) is DbtTestLocalOperator


def test_schedule_and_settings(dag):
    assert dag.timetable.expression == "0 * * * *"
    assert type(dag.timetable).__name__ == "CronDataIntervalTimetable"
    assert dag.start_date == datetime(2024, 1, 1, tzinfo=UTC)
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert dag.description and dag.doc_md
    for task in dag.tasks:
        assert (task.owner, task.retries, task.retry_delay) == ("data-engineering", 3, timedelta(minutes=5))
        assert task.pool == "warehouse"
    for name in OURS:
        for stage in ("sync", "validate"):
            (told,) = dag.get_task(f"{stage}_{name}").on_failure_callback
            assert isinstance(told, partial)
            assert (told.func, told.keywords) == (callbacks.tell_failure, {"feed": name})
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
    with environment(WAREHOUSE_PATH=DATABASE):
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
        if node.original_file_path.startswith(("models/marts/tables/", *(f"models/feeds/{name}/" for name in OURS)))
        or set(node.tags) & {f"{n}_quality_checks" for n in OURS}
    }
    assert wanted - selected == set()


def test_what_failed_is_heard_as_dbt_has_it_in_its_results(project: Project, tmp_path):
    """A check, a model that somebody has broken, and nothing of a dbt that does not come to its end."""
    warehouse = Warehouse(project, tmp_path / "warehouse")

    def dbt(*command: str):
        with environment(**warehouse.places):
            done = dbtRunner(manifest=project.manifest, callbacks=[report.listen]).invoke(
                [*command, *project.options()]
            )
        DuckDBConnectionManager.close_all_connections()
        return done

    build = ("build", "--selector", "table_sync", "--exclude-resource-type", "unit_test")
    warehouse.land(demo_tables.first_hour())
    assert dbt(*build).success
    with duckdb.connect(warehouse.folder / DATABASE) as connection:
        connection.execute("alter table staging.newest_products rename column category to kind")
    warehouse.land(demo_tables.first_hour() | demo_tables.second_hour() | {demo_tables.path("orders", 5): b"nothing"})
    done = dbt(*build)
    results = list(zip(*extract_message_by_status(done, ["error", "fail", "runtime error"]), strict=True))
    assert {"no_orders_file_to_mend", "newest_products"} <= {name for name, _ in results}
    assert report.failures_behind(CosmosDbtRunError()) == results
    assert report.failures_behind(ValueError()) == []
    assert dbt("build", "--select", "nothing:of_the_kind").exception
    assert report.failures_behind(CosmosDbtRunError()) == []


def at(day: int, hour: int):
    """A time of a January."""
    return datetime(2024, 1, day, hour, tzinfo=UTC)


@pytest.mark.parametrize("news", [{}, {"orders": 2, "products": 0}])
@pytest.mark.parametrize(
    ("run", "before", "asked"),
    [
        # Freshness is asked once a day, whichever run is its first that comes so far.
        (at(5, 0), at(4, 23), True), (at(5, 1), at(5, 0), False), (at(5, 7), at(3, 2), True), (at(5, 0), None, True),
        (None, None, False),
    ],
    ids=["first", "second", "after a gap", "first ever", "by hand"],
)  # fmt: skip
def test_only_tables_with_news_are_synced(dag, monkeypatch, news, run, before, asked):
    """Airflow skips the direct descendants of a branch task that it does not name."""
    find, said = dag.get_task("find_new_files"), {}
    built = ["orders", "payments"]
    monkeypatch.setitem(find.python_callable.__globals__, "with_news", lambda configured: (news, built))
    monkeypatch.setitem(find.python_callable.__globals__, "use_connections", lambda *_: None)
    earlier = before and SimpleNamespace(logical_date=before)
    ti = SimpleNamespace(
        task=find, map_index=-1, xcom_push=lambda key, value: said.update({key: value}),
        xcom_pull=lambda task_ids, key: said[key], get_previous_ti=lambda state: earlier,
    )  # fmt: skip
    context = {"ti": ti, "dag_run": SimpleNamespace(logical_date=run)}
    monkeypatch.setitem(find.python_callable.__globals__, "get_current_context", lambda: context)
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        find.execute(context)
    idle = {table.name for table in tables.tables()} - set(news)
    fresh = {"check_freshness"} if not news and not asked else set()
    # With news it is not skipped yet, for it comes behind them.
    assert {task for task, _ in skipped.value.tasks} == {f"sync_{name}" for name in idle} | fresh
    assert said["news"] == news

    check = dag.get_task("check_freshness")
    monkeypatch.setattr(check, "select", "")
    if asked:
        check._pre_execute_hook(context | {"task": check})
        assert check.select.split() == [f"tag:{name}_quality_checks,test_name:is_fresh" for name in built]
        assert "ds" in check.env["RUN_DATE"]
    else:
        with pytest.raises(AirflowSkipException):
            check._pre_execute_hook(context | {"task": check})


def test_each_table_is_asked_whether_it_is_fresh(project: Project, tmp_path):
    """By the run's date: a sender that is silent has no file to go by. What was never built is not asked."""
    warehouse = Warehouse(project, tmp_path / "warehouse")
    warehouse.land(demo_tables.first_hour())
    asked = [table.freshness for table in tables.tables() if table.name in OURS]

    def silent(day: str) -> set[str]:
        with environment(**warehouse.places, RUN_DATE=day):
            runner = dbtRunner(manifest=project.manifest, callbacks=[report.listen])
            done = runner.invoke(["test", "--select", *asked, *project.options()])
        DuckDBConnectionManager.close_all_connections()
        assert len([one for one in done.result if one.node.resource_type == "test"]) == len(OURS)
        rows = report.failing_rows()
        failed = {result.node.name for result in done.result if result.status in ("fail", "warn")}
        assert failed == set(rows)
        return {name.removesuffix("_is_fresh") for name in failed}

    with environment(**warehouse.places):
        options = ["--selector", "table_sync", "--exclude-resource-type", "unit_test", *project.options()]
        assert dbtRunner(manifest=project.manifest).invoke(["build", *options]).success
    DuckDBConnectionManager.close_all_connections()
    report.failing_rows()  # what other tests have found is forgotten
    assert silent("2024-01-03") == set()
    assert silent("2024-01-06") == {"inventory", "orders"}
    assert silent("2024-01-20") == {"inventory", "orders", "customers"}
    assert silent("2024-03-20") == {"inventory", "orders", "customers", "products"}


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
        return tables.with_news(configured)[0]

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
