"""The DuckDB file: people name it, copy it, move it and attach it as they like, and what is in it still works."""

import shutil
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import duckdb
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

from orchestration import report, tables
from orchestration.alerts import facts
from support.reference import CUSTOMERS, FEEDS, INVENTORY
from support.sales_files import file, row
from support.table_files import customers, path_of, stock
from support.warehouse import DATABASE, PROJECT, Project, Warehouse, environment

FIRST, SECOND = date(2024, 1, 1), date(2024, 1, 2)
SALES_OF = "raw/sales/{}/sales_export.csv".format
# Blanks, a hyphen, a word of SQL, digits, letters of other alphabets, dots: a name like any other.
ODD = "2024 Über-select.v2.duckdb"
MISNAMED = {
    "staging.duckdb": "like the schema staging in it",
    "PROD.db": "like the schema prod in it",
    "audit_prod": "like the schema audit_prod in it",
    "main.duckdb": "main, a name that DuckDB keeps for itself",
    "temp.x": "temp, a name that DuckDB keeps for itself",
    "system.duckdb": "system, a name that DuckDB keeps for itself",
    "information_schema.duckdb": "information_schema, a name that DuckDB keeps for itself",
    "it's.duckdb": "with a quote, a # or an invisible character",
    'a"b.duckdb': "with a quote, a # or an invisible character",
    "a#b.duckdb": "with a quote, a # or an invisible character",
    "a\tb.duckdb": "with a quote, a # or an invisible character",
}
OFTEN = ("staging.duckdb", "PROD.db")


@dataclass
class Named(Warehouse):
    """A warehouse whose file has another name; dbt parses for it."""

    name: str = DATABASE

    @property
    def places(self) -> dict[str, str]:
        return super().places | {"WAREHOUSE_PATH": str(self.folder / self.name)}


def invoke(warehouse: Warehouse, *command: str, **settings: str):
    """A command of dbt that parses by itself."""
    with environment(**warehouse.places, **settings):
        result = dbtRunner().invoke([command[0], *warehouse.project.options(), *command[1:]])
    DuckDBConnectionManager.close_all_connections()
    return result


def contents(connection: duckdb.DuckDBPyConnection, catalog: str) -> dict[str, list[tuple]]:
    """The rows of every table and view of a catalog, by schema and name."""
    listed = connection.execute(
        "select schema_name, name from (select database_name, schema_name, table_name as name from duckdb_tables() "
        "union all select database_name, schema_name, view_name from duckdb_views() where not internal) "
        f"where database_name = {catalog!r}"
    ).fetchall()
    return {
        f"{schema}.{name}": sorted(
            connection.execute(f'select * from "{catalog}".{schema}.{name}').fetchall(), key=repr
        )
        for schema, name in listed
    }


@pytest.mark.parametrize(
    "name", [*OFTEN, *(pytest.param(name, marks=pytest.mark.long) for name in MISNAMED if name not in OFTEN)]
)
def test_a_name_that_would_not_work_is_refused_before_there_is_a_file(
    project: Project, tmp_path: Path, name: str
) -> None:
    warehouse = Named(replace(project, target=tmp_path / "target"), tmp_path / "warehouse", name=name)
    said = str(invoke(warehouse, "build").exception)
    assert f"The warehouse file {warehouse.folder / name} is named {MISNAMED[name]}" in said
    assert "Give it another name (WAREHOUSE_PATH)." in said
    assert not (warehouse.folder / name).exists()


@pytest.fixture(scope="module")
def warehouse(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """A warehouse with a row of each kind: current, superseded, rejected, held, refused."""
    warehouse = Warehouse(project, tmp_path_factory.mktemp("file") / "warehouse", feeds=FEEDS)
    warehouse.land(
        {
            SALES_OF(FIRST): file(FIRST, row("x", FIRST), row("y", FIRST, quantity="0")),
            SALES_OF(FIRST).replace("sales_export", "held"): file(FIRST).splitlines()[0] + b"\n",
            SALES_OF(FIRST).replace("sales_export", "refused"): b'"',
            path_of(CUSTOMERS, FIRST): customers({"name": "Bea"}),
            path_of(INVENTORY, FIRST): stock(3),
        }
    )
    assert not warehouse.build().broken
    return warehouse


def test_a_copy_can_be_opened_and_attached_under_any_name(warehouse: Warehouse, tmp_path: Path) -> None:
    with duckdb.connect(warehouse.folder / DATABASE, read_only=True) as connection:
        expected = contents(connection, "warehouse")
    assert {
        "prod.customers",
        "prod.customers_history",
        "staging.rejected_sales",
        "staging.files_to_mend",
    } <= expected.keys()
    assert all(
        expected[f"{name}"] for name in ("prod.customers_history", "staging.rejected_sales", "staging.files_to_mend")
    )
    copy = tmp_path / "copy of it.duckdb"
    shutil.copy(warehouse.folder / DATABASE, copy)
    with duckdb.connect(copy, read_only=True) as connection:
        assert contents(connection, "copy of it") == expected
        assert connection.execute("select count(*) from prod.customers").fetchone() == (2,)
    # Beside another database, whose schemas have the same names.
    with duckdb.connect(tmp_path / "other.duckdb") as connection:
        for name in ("landed_files", "load_ledger", "newest_customers", "typed_sales"):
            for schema in ("staging", "prod"):
                connection.execute(
                    f"create schema if not exists {schema}; create table {schema}.{name} as select 1 as x"
                )
        for alias in ("w", "select", "Zwei Worte"):
            connection.execute(f"attach '{copy}' as \"{alias}\" (read_only)")
            assert contents(connection, alias) == expected
            connection.execute(f'use "{alias}"')
            assert connection.execute("select count(*) from prod.customers").fetchone() == (2,)
            connection.execute(f'use other; detach "{alias}"')


def test_a_moved_file_is_built_on_and_asked(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By everything that asks the warehouse. Its views, as an earlier version made them, named its catalog."""
    moved = Named(replace(warehouse.project, target=tmp_path / "target"), tmp_path / "moved", feeds=FEEDS, name=ODD)
    shutil.copy(warehouse.folder / DATABASE, moved.folder / ODD)
    with duckdb.connect(moved.folder / ODD) as connection:
        connection.execute("attach ':memory:' as warehouse; create schema warehouse.staging")
        connection.execute("create table warehouse.staging.newest_customers as from staging.newest_customers")
        connection.execute("create or replace view prod.customers as select * from warehouse.staging.newest_customers")
    moved.land(warehouse.landed | {SALES_OF(SECOND): file(SECOND, row("z", SECOND))})
    result = invoke(moved, "build", "--exclude-resource-type", "unit_test", "test")
    assert result.success, result.exception
    with duckdb.connect(moved.folder / ODD, read_only=True) as connection:
        views = connection.execute("select sql from duckdb_views() where not internal").fetchall()
        assert not [sql for (sql,) in views if "Über" in sql or "warehouse." in sql]
        assert len(contents(connection, "2024 Über-select")["prod.load_ledger"]) == 5
    monkeypatch.setattr(report, "PROJECT", PROJECT)
    with environment(**moved.places):
        assert len(facts.loaded("sales", None)) == 3
        assert {line["state"] for line in facts.to_mend("sales", None)} == {"held", "refused"}
        assert SALES_OF(SECOND) in tables._known([tables.Table("sales", False, ())]).fingerprints


@pytest.mark.parametrize("option", [("--empty",), pytest.param(("--sample", "3 days"), marks=pytest.mark.long)])
def test_production_is_not_emptied(warehouse: Warehouse, option: tuple[str, ...]) -> None:
    """Not by an option that is for trying things out beside it."""
    before = warehouse.tables()
    views = warehouse.query("select view_name, sql from duckdb_views() order by all")
    for command in (["build"], ["run"], ["run", "--select", "customers"]):
        built = warehouse.dbt(*command, *option)
        failed = [status for status in built.statuses.values() if status.startswith("error: ")]
        assert failed
        assert [f"is production, which {option[0]} would build from" in status for status in failed] == [True] * len(
            failed
        )
        assert {name for name, status in built.statuses.items() if status == "success"} <= {"currencies", "load_ledger"}
    assert warehouse.query("select view_name, sql from duckdb_views() order by all") == views
    assert warehouse.tables() == before


@pytest.mark.long
def test_what_is_built_beside_production_reads_it_under_its_own_name(warehouse: Warehouse, tmp_path: Path) -> None:
    production = Named(replace(warehouse.project, target=tmp_path / "target"), tmp_path / "production", name=ODD)
    shutil.copy(warehouse.folder / DATABASE, production.folder / ODD)
    assert invoke(production, "parse", "--write-json").success
    beside = {"CI_WAREHOUSE_PATH": str(tmp_path / "ci.duckdb")}
    target = ("--target", "ci")
    assert invoke(production, "run-operation", "borrow_registers", *target, **beside).success
    shutil.copytree(tmp_path / "target", tmp_path / "state")
    selection = ("--select", "daily_sales", "customers", "--defer", "--state", str(tmp_path / "state"))
    result = invoke(production, "build", *target, *selection, "--exclude-resource-type", "unit_test", "test", **beside)
    assert result.success, result.exception
    with duckdb.connect(tmp_path / "ci.duckdb", read_only=True) as connection:
        connection.execute(f"attach '{production.folder / ODD}' (read_only)")
        ours = connection.execute("select count(*) from ci_prod.customers").fetchone()
        assert ours == (2,)
    same = {"CI_WAREHOUSE_PATH": str(tmp_path / "elsewhere" / ODD)}
    (tmp_path / "elsewhere").mkdir()
    failed = invoke(production, "run-operation", "borrow_registers", *target, **same)
    assert not failed.success
