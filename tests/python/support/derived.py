"""A derived column of daily sales, as an analyst adds one: a line in the select, and one in the properties file."""

from decimal import Decimal
from pathlib import Path

from support.sales_files import FIRST, file, row
from support.warehouse import Project, Warehouse

NEXT = FIRST.replace(day=FIRST.day + 1)
GROSS = "    cast(quantity * cast(unit_price as decimal(28, 2)) as decimal(38, 2)) as gross_amount,\n"
LISTED = '      - {name: gross_amount, data_type: "decimal(38,2)", description: Quantity times unit price.}\n'
WRONG = "select count(*) from prod.daily_sales where gross_amount is distinct from quantity * unit_price"


def with_gross_amount(project: Project, root: Path) -> Project:
    """A copy of the project with the column."""
    copy = project.copy(root)
    copy.patch("models/marts/sales/daily_sales.sql", {"    currency,\n": f"    currency,\n{GROSS}"})
    times = "      - {name: sold_at,"
    copy.patch("models/marts/sales/daily_sales.yml", {times: LISTED + times})
    return copy


def it_is_loaded_merged_and_made_anew(before: Warehouse, changed: Project) -> None:
    """`before` is a warehouse of the project without the column, which takes it on."""
    first, second = (f"raw/sales/{day}/sales_export.csv" for day in (FIRST, NEXT))
    before.land({first: file(FIRST, row("x", FIRST, quantity="2"))})
    assert not before.build().red
    before.project = changed
    stopped = before.build().statuses["daily_sales"]
    assert "The columns of daily_sales have changed: gross_amount is new. Nothing was written." in stopped
    assert not before.build("--full-refresh", "--select", "daily_sales+").red
    assert before.query(WRONG) == [(0,)]
    # A later file corrects a sale: its amount follows.
    before.land(before.landed | {second: file(NEXT, row("x", NEXT, quantity="3", updated_at=f"{NEXT}T11:00:00Z"))})
    assert not before.build().red
    corrected = "select quantity, gross_amount / unit_price from prod.daily_sales where sale_id = 'x'"
    assert [tuple(map(Decimal, found)) for found in before.query(corrected)] == [(3, 3)]
    assert before.query(WRONG) == [(0,)]
    rows = "select * from prod.daily_sales order by sale_id"
    merged = before.query(rows)
    assert not before.build("--full-refresh").red
    assert before.query(rows) == merged
