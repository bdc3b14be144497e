"""What comes of a file: each case beside a good file of its day, all in one load."""

from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from orchestration import report
from support.reference import Reference
from support.sales_files import CASES, DATES, file, load, path_of, paths, row
from support.warehouse import DATABASE, Built, Project, Warehouse, compare

# They share a warehouse.
pytestmark = pytest.mark.xdist_group("files")


@pytest.fixture(scope="module")
def warehouse(project: Project, tmp_path_factory) -> Warehouse:
    return Warehouse(project, tmp_path_factory.mktemp("files") / "warehouse")


@pytest.fixture(scope="module")
def expected() -> Reference:
    return Reference()


@pytest.fixture(scope="module")
def loaded(warehouse: Warehouse, expected: Reference) -> Built:
    """The load of all cases."""
    files = {}
    for name, case in CASES.items():
        path, good = paths(name)
        files |= {path: case.content(DATES[name]), good: file(DATES[name], prefix="good")}
    return load(warehouse, expected, files)


@pytest.mark.parametrize("name", CASES)
def test_what_comes_of_a_file(warehouse: Warehouse, loaded: Built, name: str) -> None:
    case, (path, good) = CASES[name], paths(name)

    # The other file went on, whatever came of this one.
    went_on = warehouse.query(f"select verdict, received_rows from prod.load_ledger where source_file = '{good}'")
    assert went_on == [("passed", 19)]
    mend = warehouse.query(
        f"select state, failed_check, source_record, reason from staging.files_to_mend where source_file = '{path}'"
    )
    ledger = warehouse.query(f"select verdict from prod.load_ledger where source_file = '{path}'")
    warned = [warning for warning in loaded.warnings if path in warning]
    if case.fate == "refused":
        [(state, _, record, reason)] = mend
        assert (state, record) == ("refused", case.record)
        assert case.says in reason
        assert not ledger
        assert any(reason in warning for warning in warned)
    elif case.fate == "held":
        [(state, check, _, _)] = mend
        assert (state, check) == ("held", case.says)
        assert ledger == [("held",)]
    elif case.fate == "accepted":
        assert not mend
        assert ledger == [("passed",)]
        assert [case.says in warning for warning in warned] == [True] * bool(case.says)
    else:
        assert not mend
        assert not ledger
        assert any(case.says in warning for warning in warned)


@pytest.mark.parametrize(("rate", "says"), [("0.07", "more than 7 %"), ("0.001", "more than 0.1 %")])
def test_the_rate_is_told_as_it_was_written(warehouse: Warehouse, loaded: Built, rate: str, says: str) -> None:
    warehouse.dbt("run", "--select", "files_to_mend", "--vars", f"{{max_reject_rate: {rate}}}")
    [(reason,)] = warehouse.query("select reason from staging.files_to_mend where failed_check = 'reject_rate'")
    assert says in reason


def test_nothing_new_is_green_and_says_so(warehouse: Warehouse, expected: Reference) -> None:
    day = DATES["BOM"]
    before = warehouse.tables()
    built = load(warehouse, expected, {}, day)
    assert not built.red
    assert warehouse.tables() == before
    assert any("Nothing to do" in message for message in built.messages)
    assert report.found_nothing_new()


def test_a_day_without_a_file_is_green(warehouse: Warehouse, expected: Reference) -> None:
    built = load(warehouse, expected, {}, date(2023, 1, 1))
    assert not built.red


def test_files_of_a_day_are_mended_restated_taken_away_and_sent_twice(
    warehouse: Warehouse, expected: Reference
) -> None:
    """All at once, for a load costs a second; what waits to be mended is compared after each."""
    day = DATES["unclosed quote"] + timedelta(days=2)
    mended, gone, twice, copy, first = (path_of(day, f"{name}.csv") for name in ("mended", "gone", "twice", "z", "a"))
    refused, held = CASES["unclosed quote"].content(day), CASES["header only"].content(day)
    before = {mended: refused, gone: b"\0", twice: held, copy: file(day, prefix="copy")}
    assert load(warehouse, expected, before, day).red
    # A refused file that is taken away is forgotten; one that was held and is then refused waits once.
    warehouse.land({path: data for path, data in warehouse.landed.items() if path != gone})
    assert load(warehouse, expected, {twice: refused}, day).red
    # A file keeps its day red until it is mended. Of one content the one that comes first by its path wins every tie,
    # though it comes later.
    well = {mended: file(day), twice: file(day, prefix="twice"), first: file(day, prefix="copy")}
    assert not load(warehouse, expected, well, day).red
    # Though it is not the first load of this warehouse.
    assert not report.found_nothing_new()
    rows = "select current_rows, superseded_rows from prod.load_ledger where source_file = '{}'"
    assert warehouse.query(rows.format(first)) == [(19, 0)]
    assert warehouse.query(rows.format(copy)) == [(0, 19)]
    # A restatement that is bad leaves the earlier content in force, until the file is mended or comes back.
    before = warehouse.tables()["prod.daily_sales"]
    assert load(warehouse, expected, {mended: held}, day).red
    assert warehouse.tables()["prod.daily_sales"] == before
    assert not load(warehouse, expected, {mended: file(day)}, day).red


def test_a_run_without_tests_does_not_get_round_the_gate(warehouse: Warehouse, expected: Reference) -> None:
    day = DATES["no fresh sale"] + timedelta(days=2)
    before = warehouse.tables()
    files = {f"raw/sales/{day}/held.csv": CASES["no fresh sale"].content(day)}
    warehouse.land(warehouse.landed | files)
    ran = warehouse.dbt("run", "--exclude", "tag:churn", run_date=day)
    assert not ran.broken, ran.broken
    assert warehouse.tables()["prod.daily_sales"] == before["prod.daily_sales"]
    assert warehouse.tables()["prod.sales_by_day"] == before["prod.sales_by_day"]
    load(warehouse, expected, {}, day)


def test_a_full_refresh_that_is_killed_before_the_totals_is_healed(warehouse: Warehouse, expected: Reference) -> None:
    """It takes new files too, so that the totals of their days are stale."""
    day = DATES["gzip"] + timedelta(days=2)
    warehouse.land(warehouse.landed | {f"raw/sales/{day}/sales_export.csv": file(day)})
    warehouse.build_until("daily_sales", "--full-refresh", run_date=day)
    load(warehouse, expected, {}, day)


def test_a_full_refresh_ends_the_same(warehouse: Warehouse, expected: Reference) -> None:
    expected.load(warehouse.landed)
    compare(expected, warehouse, warehouse.build("--full-refresh"))


def test_tables_that_somebody_has_dropped_are_made_anew(warehouse: Warehouse, expected: Reference) -> None:
    with duckdb.connect(warehouse.folder / DATABASE) as connection:
        connection.execute("drop table staging.typed_sales; drop table prod.daily_sales")
    expected.load(warehouse.landed)
    compare(expected, warehouse, warehouse.build())


def test_a_file_that_waits_for_its_merge_gives_nothing_to_a_restatement(project: Project, tmp_path: Path) -> None:
    """What comes back with a restatement comes from files in force, not from one whose run was killed at the gate."""
    first, second = date(2024, 1, 1), date(2024, 1, 2)
    one, two = f"raw/sales/{first}/sales_export.csv", f"raw/sales/{second}/sales_export.csv"
    warehouse, expected = Warehouse(project, tmp_path / "warehouse"), Reference()
    files = {one: file(first, row("k", first))}
    warehouse.land(files)
    warehouse.build(run_date=first)
    waiting = files | {two: file(second, row("k", first, updated_at=f"{first}T00:00:00Z"), row("b", second))}
    warehouse.land(waiting)
    warehouse.build_until("clean_sales", run_date=second)
    warehouse.land(waiting | {one: file(first)})
    warehouse.build(run_date=first)
    assert warehouse.query("select count(*) from prod.daily_sales where sale_id = 'k'") == [(0,)]
    files = {one: file(first), two: file(second, row("c", second))}
    warehouse.land(files)
    expected.load(files)
    compare(expected, warehouse, warehouse.build())


def test_a_stricter_rate_holds_no_file_that_is_loaded(project: Project, tmp_path: Path) -> None:
    """A verdict is of its time: the var that changes later stops no run."""
    day = date(2024, 1, 1)
    warehouse = Warehouse(project, tmp_path / "warehouse")
    warehouse.land({f"raw/sales/{day}/sales_export.csv": file(day)})
    warehouse.build()
    with duckdb.connect(warehouse.folder / DATABASE) as connection:
        connection.execute("update staging.landed_files set valid = valid - 5, rejected = rejected + 5")
    assert not warehouse.build().red
