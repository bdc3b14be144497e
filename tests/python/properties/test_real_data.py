"""Real sales: 68 days of a shop, 105,335 sales, of which none is rejected. Six of the days in `make test`."""

from collections.abc import Iterable, Iterator
from datetime import date
from itertools import islice
from pathlib import Path

import pytest

from support.real_sales import NEEDED, Files, real_days, restated
from support.reference import Reference
from support.warehouse import Project, Warehouse, compare, compare_tables

pytestmark = NEEDED


@pytest.fixture(scope="module")
def days(tmp_path_factory) -> Files:
    """All real days as files of sales."""
    return real_days(tmp_path_factory.mktemp("real"))


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
