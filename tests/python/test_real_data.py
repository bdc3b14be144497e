"""Real sales: 68 days of a shop, 105,335 sales, of which none is rejected. Six of the days in `make test`."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import islice
from pathlib import Path

import pytest
from reference import COLUMNS, PROJECT, Reference
from warehouse import Project, Warehouse, compare, compare_tables

TOOL = PROJECT.parent / "shared" / "tools" / "online_retail_to_sales.py"
DATA = TOOL.parents[1] / "data" / "online-retail" / "by-day"
Files = dict[str, bytes]
NEEDED = pytest.mark.skipif(
    not (TOOL.exists() and DATA.is_dir()), reason=f"the real sales are not there: {DATA} and {TOOL}"
)
pytestmark = NEEDED


@pytest.fixture(scope="module")
def days(tmp_path_factory) -> Files:
    """All real days as files of sales."""
    return real_days(tmp_path_factory.mktemp("real"))


def real_days(out: Path) -> Files:
    """The files of sales that the tool makes of the real data."""
    subprocess.run([sys.executable, str(TOOL), str(out)], check=True, capture_output=True)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.csv"))}


def groups(files: Files, size: int) -> Iterator[Files]:
    """The files in reverse order, some at a time."""
    left = iter(reversed(files.items()))
    while group := dict(islice(left, size)):
        yield group


def loaded(project: Project, folder: Path, states: Iterable[Files]) -> tuple[Warehouse, Reference]:
    """Loads one state of the landing zone after the other, and compares at the end."""
    warehouse, expected = Warehouse(project, folder), Reference()
    for state in states:
        warehouse.land(warehouse.landed | state)
        expected.load(warehouse.landed)
        built = warehouse.build()
    compare(expected, warehouse, built)
    return warehouse, expected


def restated(data: bytes) -> bytes:
    """A day that comes again: a line in ten is gone, another comes a minute later with another quantity."""
    lines = data.decode().splitlines()
    kept = [line for number, line in enumerate(lines) if number % 10 != 3]
    for place in range(7, len(kept), 10):
        row = dict(zip(COLUMNS, kept[place].split(","), strict=True))
        row |= {"quantity": str(int(row["quantity"]) + 1 or 1), "updated_at": row["updated_at"].replace(":00Z", ":59Z")}
        kept[place] = ",".join(row.values())
    return ("\r\n".join(kept) + "\r\n").encode()


def check(project: Project, folder: Path, files: Files, size: int) -> Warehouse:
    """At once, in reverse order by groups, and with every third day restated in between: production ends the same."""
    at_once, expected = loaded(project, folder / "at_once", [files])
    assert not expected.rejected() and not expected.to_mend()
    backwards, _ = loaded(project, folder / "backwards", groups(files, size))
    compare_tables(at_once.tables(), backwards.tables())

    some = {path: restated(data) for path, data in islice(files.items(), None, None, 3)}
    warehouse, _ = loaded(project, folder / "restated", [files | some, {path: files[path] for path in some}])
    compare_tables(at_once.tables(), warehouse.tables())
    loaded(project, folder / "restated_last", [files, some])
    return at_once


def test_some_real_days(project: Project, days: Files, tmp_path: Path) -> None:
    files = dict(islice(days.items(), 6))
    check(project, tmp_path, files, 3)


@pytest.mark.long
def test_all_real_days(project: Project, days: Files, tmp_path: Path) -> None:
    assert len(days) == 68
    warehouse = check(project, tmp_path, days, 10)
    query = "select sum(received_rows), sum(rejected_rows), min(file_date), max(file_date) from prod.load_ledger"
    [(received, rejected, first, last)] = warehouse.query(query)
    assert (received, rejected) == (105_335, 0)
    assert first < date(2011, 1, 1) < last
