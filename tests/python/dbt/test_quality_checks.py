"""The checks of production say what is unusual, and that a reference came late; they stop nothing."""

import json
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from orchestration import report
from orchestration.alerts import text as messages
from support.reference import CUSTOMERS, FEEDS, ORDERS, PRODUCTS, SALES, Feed
from support.sales_files import file
from support.table_files import table
from support.warehouse import DATABASE, Built, Project, Warehouse

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("quality checks")

DAY = date(2024, 1, 5)


def rows_of(feed: Feed, *rows: dict[str, str], day: date = DAY) -> bytes:
    return table(feed, *({"updated_at": f"{day}T11:00:00Z"} | row for row in rows))


def orders(size: int, day: date = DAY, prefix: str = "o") -> bytes:
    return rows_of(ORDERS, *({"order_id": f"{prefix}-{number}"} for number in range(size)), day=day)


def at(feed: Feed, hour: int, day: date = DAY) -> str:
    return f"raw/{feed.name}/{day}/{hour:02}/{feed.name}.csv"


def checked(warehouse: Warehouse, run_date: date | None = None) -> Built:
    """What the production checks of orders and of sales say, of what is built."""
    return warehouse.dbt(
        "test", "--select", "tag:orders_quality_checks", "daily_sales_have_their_products", run_date=run_date
    )


@pytest.fixture(scope="module")
def loaded(project: Project, tmp_path_factory) -> Warehouse:
    """Some hours of orders, and sales, before any product or customer."""
    warehouse = Warehouse(project, tmp_path_factory.mktemp("checks") / "warehouse", feeds=FEEDS)
    hours = {at(ORDERS, hour): orders(10, prefix=f"{hour}") for hour in range(4)}
    warehouse.land(hours | {f"raw/sales/{DAY}/sales_export.csv": file(DAY, size=30)})
    assert not warehouse.build().red
    return warehouse


@pytest.fixture
def warehouse(loaded: Warehouse, tmp_path: Path) -> Warehouse:
    copy = Warehouse(loaded.project, tmp_path / "warehouse", feeds=FEEDS)
    (copy.folder / DATABASE).write_bytes((loaded.folder / DATABASE).read_bytes())
    copy.land(loaded.landed)
    return copy


def test_a_reference_that_comes_late_is_counted_and_gone_with_the_next_run(warehouse: Warehouse) -> None:
    def unknown(built: Built) -> dict[str, int]:
        return {name: built.failures[name] for name, status in built.statuses.items() if status == "warn"}

    # While there is no product at all sales are not measured by them; orders are, by their rows.
    assert unknown(checked(warehouse)) == {"orders_have_their_customers": 40, "orders_have_their_products": 40}
    products = {at(PRODUCTS, 7): rows_of(PRODUCTS, {"product_id": "another"})}
    customers = {at(CUSTOMERS, 7): rows_of(CUSTOMERS, {"customer_id": "C"})}
    warehouse.land(warehouse.landed | products | customers)
    built = warehouse.build()
    assert not built.red
    assert unknown(built) == {"daily_sales_have_their_products": 1, "orders_have_their_products": 40}
    warehouse.land(warehouse.landed | {at(PRODUCTS, 8): rows_of(PRODUCTS, {"product_id": "P"})})
    assert unknown(warehouse.build()) == {}


def test_the_reference_checks_of_sales_need_no_table(project: Project, tmp_path: Path) -> None:
    """Daily sales may be loaded where no product and no customer ever is, and the other way round."""
    warehouse = Warehouse(project, tmp_path / "warehouse", feeds=(SALES,))
    warehouse.land({f"raw/sales/{DAY}/sales_export.csv": file(DAY)})
    names = ("daily_sales_have_their_products", "daily_sales_have_their_customers")
    assert set(warehouse.dbt("test", "--select", *names).statuses.values()) == {"pass"}
    assert not warehouse.build().red
    assert set(warehouse.dbt("test", "--select", *names).statuses.values()) == {"pass"}


@pytest.mark.parametrize(
    ("size", "status"), [(10, "pass"), (1, "pass"), (0, "pass"), (100, "pass"), (101, "warn")], ids=str
)
def test_an_unusual_volume_is_told(warehouse: Warehouse, size: int, status: str) -> None:
    """A tenth and ten times the average are the ends; a file without a row is held, so it is no load."""
    warehouse.land(warehouse.landed | {at(ORDERS, 9): orders(size)})
    warehouse.dbt("build", "--select", "+orders", "--exclude-resource-type", "unit_test", "test")
    assert checked(warehouse).statuses["orders_volume_is_usual"] == status


def test_a_volume_far_below_is_told(warehouse: Warehouse) -> None:
    many = {at(ORDERS, 9): orders(200, prefix="many"), at(ORDERS, 10): orders(1, prefix="few")}
    warehouse.land(warehouse.landed | many)
    warehouse.dbt("build", "--select", "+orders", "--exclude-resource-type", "unit_test", "test")
    assert checked(warehouse).statuses["orders_volume_is_usual"] == "warn"


def test_what_is_not_fresh_is_told_by_the_runs_date_or_the_newest_file(warehouse: Warehouse) -> None:
    def freshness(run_date: date | None = None) -> str:
        return checked(warehouse, run_date).statuses["orders_is_fresh"]

    assert freshness() == "pass"
    # The newest order is of 11 o'clock on the day.
    assert [freshness(DAY + timedelta(days=days)) for days in (0, 2, 3)] == ["pass", "pass", "fail"]
    late = DAY + timedelta(days=3)
    warehouse.land(warehouse.landed | {at(ORDERS, 0, late): orders(10, prefix="stale")})
    warehouse.dbt("build", "--select", "+orders", "--exclude-resource-type", "unit_test", "test")
    assert freshness() == "fail"


def test_a_status_that_no_order_has_is_told(warehouse: Warehouse) -> None:
    with duckdb.connect(warehouse.folder / DATABASE) as connection:
        connection.execute("update staging.newest_orders set status = 'lost' where order_id = '0-1'")
    assert checked(warehouse).statuses["orders_status_is_known"] == "fail"


def test_what_is_found_is_said_and_the_command_of_the_alert_shows_all_of_it(warehouse: Warehouse) -> None:
    """Some rows of every check that does not hold, and nothing of one that does."""
    late = DAY + timedelta(days=3)
    many = {at(ORDERS, 9): orders(200, prefix="many"), at(ORDERS, 10): orders(1, prefix="few")}
    products = {at(PRODUCTS, 7): rows_of(PRODUCTS, {"product_id": "another"})}
    warehouse.land(warehouse.landed | many | products)
    assert not warehouse.build().red
    with duckdb.connect(warehouse.folder / DATABASE) as connection:
        connection.execute("update staging.newest_orders set status = 'lo\nst' where order_id = '0-1'")
    report.failing_rows()
    built = checked(warehouse, late)
    found = {name: count for name, count in built.failures.items() if count}
    assert found.keys() == {
        "daily_sales_have_their_products", "orders_have_their_customers", "orders_have_their_products",
        "orders_is_fresh", "orders_status_is_known", "orders_volume_is_usual",
    }  # fmt: skip
    for name, count in found.items():
        said = [line.partition(" has found: ")[2] for line in built.said if line.startswith(f"{name} has found: ")]
        assert len(said) == min(count, 5)
        assert not any("\n" in line for line in said)
        command = messages.rows_command(name).split()[1:]
        shown = warehouse.dbt(*command, run_date=late)
        [rows] = [json.loads(message)["show"] for message in shown.messages if message.startswith("{")]
        assert len(rows) == count
        if count == 1 and name != "orders_is_fresh":  # which has a time
            assert said == [", ".join(f"{key}={str(value).replace(chr(10), ' ')}" for key, value in rows[0].items())]
    assert sum(" has found: " in line for line in built.said) == sum(min(count, 5) for count in found.values())
    # What the alert is told is the same.
    heard = report.failing_rows()
    assert {name: len(rows) for name, rows in heard.items()} == {name: min(count, 5) for name, count in found.items()}
    assert heard["orders_status_is_known"] == [{"value_field": "lo\nst"}]
    assert report.failing_rows() == {}
