"""Each check of the gate, broken by itself, stops the merge; without the checks the merge still guards itself."""

from __future__ import annotations

import shutil

import duckdb
import pytest

from support.marks import often
from support.reference import COLUMNS
from support.warehouse import DATABASE, Warehouse

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("gate")

ROW = "{key},A,,P,1,2.50,0,EUR,2024-01-0{day}T10:00:00Z,2024-01-0{day}T11:00:00Z"
GATE = ["resource_type:test", "daily_sales+"]

ACCOUNTED = "every_record_is_accounted_for_typed_sales_sales"
# The test that finds it, and how what it guards is broken after the transform has done its work.
BREAKS = {
    "a record is not typed": (
        ACCOUNTED,
        "delete from staging.typed_sales where landing_id = 2 and source_record = 3",
    ),
    "a record is typed twice": (
        ACCOUNTED,
        "insert into staging.typed_sales select * from staging.typed_sales where landing_id = 2 and source_record = 3",
    ),
    "a row is rejected without a reason": (
        ACCOUNTED,
        "update staging.typed_sales set reject_reasons = '' where landing_id = 2 and reject_reasons is not null",
    ),
    "the verdict has counted other rows": (
        ACCOUNTED,
        "update staging.landed_files set valid = valid - 1 where landing_id = 2",
    ),
    "a stale file passed": (ACCOUNTED, "update staging.landed_files set recent = 0 where landing_id = 2"),
    "a file passed beyond the reject rate": (
        ACCOUNTED,
        """
        update staging.landed_files set valid = valid - 2, rejected = rejected + 2 where landing_id = 2;
        update staging.typed_sales set reject_reasons = 'x' where landing_id = 2 and source_record in (3, 4)""",
    ),
    "a sale twice": (
        "clean_sales_one_row_per_sale_and_file",
        """
        alter view staging.clean_sales rename to kept;
        create view staging.clean_sales as select * from staging.kept union all select * from staging.kept""",
    ),
    "a sale without a store": (
        "clean_sales_keep_the_contract",
        """
        alter view staging.clean_sales rename to kept;
        create view staging.clean_sales as select * replace (nullif(store_id, 'A') as store_id) from staging.kept""",
    ),
    "a sale of no quantity": (
        "clean_sales_keep_the_contract",
        """
        alter view staging.clean_sales rename to kept;
        create view staging.clean_sales as select * replace (cast(null as integer) as quantity) from staging.kept""",
    ),
    "a rejected row says nothing": (
        "rejected_sales_say_why",
        """
        alter view staging.rejected_sales rename to kept;
        create view staging.rejected_sales as select * replace (nullif('', '') as reject_reasons) from staging.kept""",
    ),
}


def sales(day: int) -> bytes:
    """A good file of twenty sales, and of one without a store, which is rejected."""
    rows = [ROW.format(key=f"{day}-{number}", day=day) for number in range(20)]
    return "\n".join([",".join(COLUMNS), *rows, rows[0].replace(",A,", ",,"), ""]).encode()


@pytest.fixture(scope="module")
def prepared(project, tmp_path_factory) -> Warehouse:
    """A warehouse with one day in production and another that is transformed and waits at the gate."""
    warehouse = Warehouse(project, tmp_path_factory.mktemp("prepared") / "warehouse")
    first = {"raw/sales/2024-01-01/sales_export.csv": sales(1)}
    warehouse.land(first)
    assert not warehouse.build().red
    warehouse.land(first | {"raw/sales/2024-01-02/sales_export.csv": sales(2)})
    assert not warehouse.dbt(
        "run", "--select", "config.materialized:register", "path:models/feeds/sales", "file_verdicts"
    ).broken
    return warehouse


@pytest.fixture
def waiting(prepared, tmp_path) -> Warehouse:
    """A copy of that warehouse to break."""
    warehouse = Warehouse(prepared.project, tmp_path / "warehouse")
    shutil.copy(prepared.folder / DATABASE, warehouse.folder / DATABASE)
    return warehouse


def production(warehouse: Warehouse) -> list[tuple]:
    return warehouse.query("select * from prod.daily_sales order by all")


def execute(warehouse: Warehouse, statements: str) -> None:
    with duckdb.connect(str(warehouse.folder / DATABASE)) as connection:
        connection.execute(statements)


def test_what_waits_at_the_gate_goes_through(waiting):
    built = waiting.build("--select", *GATE)
    assert not built.red
    assert len(production(waiting)) == 40


# In `make test` each of the tests that find one.
OFTEN = {test: broken for broken, (test, _) in BREAKS.items()}.values()


@pytest.mark.parametrize("broken", often(BREAKS, OFTEN))
def test_a_broken_check_stops_the_merge(waiting, broken):
    before = production(waiting)
    check, statements = BREAKS[broken]
    execute(waiting, statements)
    built = waiting.build("--select", *GATE)
    assert built.statuses[check] == "fail"
    assert [name for name, status in built.statuses.items() if status == "fail"] == [check]
    assert built.statuses["daily_sales"] == "skipped"
    assert production(waiting) == before


def test_the_checks_named_here_are_the_gates(project):
    gate = {"model.reference_pipeline." + name for name in ("typed_sales", "clean_sales", "rejected_sales")}
    nodes = project.manifest.nodes.values()
    tests = {
        node.name for node in nodes if node.resource_type == "test" and getattr(node, "attached_node", None) in gate
    }
    assert tests == {check for check, _ in BREAKS.values()}


def test_rows_unaccounted_for_stop_the_merge_without_any_test(waiting):
    before = production(waiting)
    execute(waiting, "update staging.landed_files set valid = valid - 1 where landing_id = 2")
    built = waiting.dbt("run", "--select", "daily_sales")
    assert (
        "21 rows were received, but 19 are valid and 1 rejected. Nothing was merged." in built.statuses["daily_sales"]
    )
    assert production(waiting) == before


def test_a_reject_rate_in_percent_is_no_reject_rate(waiting):
    vars = ("--vars", "{max_reject_rate: 5}")
    built = waiting.dbt("run", "--full-refresh", "--select", "typed_sales", *vars)
    assert "The var max_reject_rate is 5. It is a share: from 0 to 1" in built.statuses["typed_sales"]


def test_who_looks_at_totals_sees_them_and_takes_no_stale_day(waiting):
    execute(waiting, "insert into staging.stale_days (day, touched_by) values ('2024-01-01', 'a merge')")
    said = str(waiting.dbt("show", "--select", "sales_by_day").messages)
    assert "2024-01-01" in said and "Previewing node 'sales_by_day'" in said
    assert waiting.query("select counted_by from staging.stale_days") == [(None,)]


def test_a_held_file_is_not_merged_without_any_test(waiting):
    before = production(waiting)
    execute(waiting, "update staging.landed_files set failed_checks = 'freshness' where landing_id = 2")
    assert not waiting.dbt("run", "--select", "daily_sales").broken
    assert production(waiting) == before
