"""DuckDB is loaded by one thread, whatever somebody sets."""

from datetime import date
from pathlib import Path

import duckdb
import pytest

from support.sales_files import file
from support.warehouse import DATABASE, Project, Warehouse

DAY = date(2024, 1, 1)
PATH = f"raw/sales/{DAY}/sales_export.csv"


@pytest.fixture
def warehouse(project: Project, tmp_path: Path) -> Warehouse:
    warehouse = Warehouse(project, tmp_path / "warehouse")
    warehouse.land({PATH: file(DAY)})
    return warehouse


def tables(warehouse: Warehouse) -> list[tuple]:
    return warehouse.query("select table_schema, table_name from information_schema.tables")


def test_more_than_one_thread_is_said_before_anything_is_loaded(warehouse: Warehouse) -> None:
    for command in (["build"], ["run"], ["seed"], ["build", "--full-refresh"]):
        built = warehouse.dbt(*command, "--threads", "2")
        assert "DuckDB is loaded by one thread, and 2 are set. Nothing was loaded." in built.statuses["dbt"]
        assert not tables(warehouse)
    assert not warehouse.build().red
    # Tests only read.
    built = warehouse.dbt("test", "--threads", "4", *warehouse.selection("unit_test"))
    assert not built.red, built.broken


def test_a_warehouse_that_threads_have_damaged_is_told(warehouse: Warehouse) -> None:
    """As an earlier version left it: two landings of one number. The page says how it is healed."""
    warehouse.build()
    with duckdb.connect(warehouse.folder / DATABASE) as connection:
        connection.execute(
            "insert into staging.landed_files by name "
            "select * replace ('raw/customers/2024-01-01/00/customers.csv' as source_file) from staging.landed_files"
        )
    before = warehouse.tables()
    built = warehouse.build()
    assert "1 landing(s) in" in built.statuses["raw_sales"]
    assert "A damaged warehouse" in built.statuses["raw_sales"]
    assert warehouse.tables() == before
