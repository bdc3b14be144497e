"""A warehouse with rows, made by an earlier version of this project: today's goes on from it.

`warehouse_1.0.duckdb.gz` beside this file is that warehouse, as `loads` below left it when it was built by 1.0. It is
never made anew: what it is worth is that it is old.
"""

import gzip
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from support.commands import audited
from support.reference import CUSTOMERS, FEEDS, INVENTORY, ORDERS, PRODUCTS, Reference
from support.sales_files import CASES, file, row
from support.table_files import GONE, customers, path_of, stock, table
from support.warehouse import DATABASE, Project, Warehouse, compare

OLD = Path(__file__).with_name("warehouse_1.0.duckdb.gz")
FIRST, SECOND, THIRD = (date(2024, 1, 1) + timedelta(days=n) for n in range(3))
HELD, REFUSED, RELEASED = (f"raw/sales/{SECOND}/{name}.csv" for name in ("held", "refused", "released"))
LATE = f"{SECOND}T11:00:00Z"

Files = dict[str, bytes]


def sales(day: date) -> str:
    return f"raw/sales/{day}/sales_export.csv"


def loads() -> Iterator[tuple[Files, tuple[str, ...]]]:
    """What the old version was given, load by load: the files, and those that a person let through before."""
    yield (
        {
            sales(FIRST): file(FIRST, row("gone", FIRST), row("kept", FIRST), prefix="a"),
            path_of(CUSTOMERS, FIRST): customers({}),
            path_of(PRODUCTS, FIRST): table(PRODUCTS, size=3),
            path_of(ORDERS, FIRST): table(ORDERS, size=3),
            path_of(INVENTORY, FIRST): stock(9, GONE),
        },
        (),
    )
    # A file of each fate, corrections, a deletion, a second extract.
    yield (
        {
            sales(SECOND): file(
                SECOND, row("kept", FIRST, updated_at=LATE, quantity="2"), row("bad", SECOND, quantity="0"), prefix="b"
            ),
            HELD: CASES["header only"].content(SECOND),
            RELEASED: CASES["no fresh sale"].content(SECOND),
            REFUSED: CASES["unclosed quote"].content(SECOND),
            path_of(CUSTOMERS, SECOND): customers({"updated_at": LATE, "is_deleted": "true"}),
            path_of(INVENTORY, SECOND): stock(9),
        },
        (),
    )
    # A restated file, and one that is let through.
    yield {sales(FIRST): file(FIRST, row("kept", FIRST), prefix="a")}, (RELEASED,)


def next_load() -> tuple[Files, tuple[str, ...]]:
    """What today's version is given first."""
    return (
        {
            sales(SECOND): file(SECOND, row("kept", FIRST, updated_at=LATE, quantity="3"), prefix="b"),
            sales(THIRD): file(THIRD, row("gone", FIRST, updated_at=f"{THIRD}T00:00:00Z")),
            path_of(CUSTOMERS, THIRD): customers({"updated_at": f"{THIRD}T11:00:00Z"}),
            path_of(ORDERS, THIRD): table(ORDERS, {"order_id": "plain-1", "updated_at": f"{THIRD}T11:00:00Z"}),
            path_of(INVENTORY, THIRD): stock(8),
        },
        (HELD,),
    )


def load(
    warehouse: Warehouse, expected: Reference, files: Files, released: tuple[str, ...], options: tuple[str, ...] = ()
) -> None:
    for path in released:
        expected.release(path)
        assert not warehouse.release(path).broken
    warehouse.land(warehouse.landed | files)
    expected.load(warehouse.landed)
    compare(expected, warehouse, warehouse.build(*options))


@pytest.fixture
def old(project: Project, tmp_path: Path) -> tuple[Warehouse, Reference]:
    """The old warehouse with its files, and what the reference says of them."""
    warehouse, expected = Warehouse(project, tmp_path / "warehouse", feeds=FEEDS), Reference(feeds=FEEDS)
    for files, released in loads():
        for path in released:
            expected.release(path)
        warehouse.land(warehouse.landed | files)
        expected.load(warehouse.landed)
    (warehouse.folder / DATABASE).write_bytes(gzip.decompress(OLD.read_bytes()))
    return warehouse, expected


@pytest.mark.parametrize("options", [(), pytest.param(("--full-refresh",), marks=pytest.mark.long)])
def test_an_old_warehouse_is_gone_on_from(old: tuple[Warehouse, Reference], options: tuple[str, ...]) -> None:
    """The files that it knows, new ones, restated ones and a release; in the end an audit finds nothing."""
    warehouse, expected = old
    load(warehouse, expected, *next_load(), options)
    right, said = audited(warehouse)
    assert right, said
