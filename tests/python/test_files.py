"""What comes of a file: each case beside a good file of its day, all in one load."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
from reference import COLUMNS, Reference
from warehouse import DATABASE, Built, Project, Warehouse, compare

# They share a warehouse.
pytestmark = pytest.mark.xdist_group("files")

NAMES = ",".join(COLUMNS)


def sale(key: str, day: date, **changes: str) -> dict[str, str]:
    fields = (key, "S", "C", "P", "1", "1.00", "0", "EUR", f"{day}T10:00:00Z", f"{day}T10:00:00Z")
    return dict(zip(COLUMNS, fields, strict=True)) | changes


def row(key: str, day: date, **changes: str) -> str:
    return ",".join(sale(key, day, **changes).values())


def file(day: date, *rows: str, prefix: str = "bad", size: int = 19) -> bytes:
    """A file of good rows, and behind them the given ones."""
    return "\n".join([NAMES, *(row(f"{prefix}-{day}-{n}", day) for n in range(size)), *rows, ""]).encode()


def header(old: str, new: str) -> Callable[[date], bytes]:
    return lambda day: file(day).replace(old.encode(), new.encode(), 1)


def reordered(day: date) -> bytes:
    return "\n".join(",".join(reversed(line.split(","))) for line in file(day).decode().splitlines()).encode()


@dataclass(frozen=True)
class Case:
    """What comes in a file, and what is to come of it: refused, held, accepted or left alone."""

    content: Callable[[date], bytes]
    fate: str
    # What stands in the reason, the failed check or the warning.
    says: str = ""
    record: int | None = None
    name: str = "case.csv"


GOOD = file
CASES = {
    "unclosed quote": Case(lambda d: file(d, '"' + row("x", d)), "refused", "quote", 21),
    "unclosed quote in the first row": Case(lambda d: file(d).replace(b"bad", b'"bad', 1), "refused", "quote", 2),
    "unclosed quote in the last field": Case(
        lambda d: file(d, row("x", d)[:-20] + f'"{d}T10:00:00Z'), "refused", "quote", 21
    ),
    "a field more": Case(lambda d: file(d, row("x", d) + ",more"), "refused", "", 21),
    "a field less": Case(lambda d: file(d, "x" + row("", d).partition(",")[2]), "refused", "", 21),
    "not UTF-8": Case(lambda d: file(d, row("x", d)).replace(b"x,S", b"\xff,S"), "refused", "UTF-8", 21),
    "NUL byte": Case(lambda d: file(d, row("x", d)).replace(b"x,S", b"\0,S"), "refused", "NUL", 21),
    "broken gzip": Case(lambda d: gzip.compress(file(d))[:-5], "refused", "gzip", None, "case.csv.gz"),
    "not gzip at all": Case(GOOD, "refused", "gzip", None, "case.csv.gz"),
    "missing column": Case(header("quantity,", "amount,"), "refused", "quantity", 1),
    "repeated column": Case(header("store_id", "sale_id"), "refused", "sale_id", 1),
    "semicolons": Case(lambda d: file(d).replace(b",", b";"), "refused", "header", 1),
    "0 bytes": Case(lambda d: b"", "refused", "0 bytes"),
    "0 bytes in gzip": Case(lambda d: gzip.compress(b""), "refused", "0 bytes", None, "case.csv.gz"),
    "header only": Case(lambda d: file(d, size=0), "held", "row_count"),
    "more rejected rows than the rate": Case(
        lambda d: file(d, row("x", d, quantity="0"), size=18), "held", "reject_rate"
    ),
    "no fresh sale": Case(lambda d: file(d - timedelta(days=2)), "held", "freshness"),
    "extra column": Case(
        lambda d: "\n".join(line + ",note" for line in file(d).decode().splitlines()).encode(), "accepted", "note"
    ),
    "reordered columns": Case(reordered, "accepted"),
    "BOM": Case(lambda d: b"\xef\xbb\xbf" + file(d), "accepted"),
    "CRLF": Case(lambda d: file(d).replace(b"\n", b"\r\n"), "accepted"),
    "quoted newlines": Case(lambda d: file(d, row("x", d, product_id='"two\nlines"')), "accepted"),
    "gzip": Case(lambda d: gzip.compress(file(d)), "accepted", name="case.csv.gz"),
    "rejected rows within the rate": Case(lambda d: file(d, row("x", d, quantity="0")), "accepted"),
    "another .csv file": Case(GOOD, "accepted", name="another export.csv"),
    "the same content under another path": Case(lambda d: file(d, prefix="good"), "accepted", name="z_again.csv"),
    "something else in the folder": Case(GOOD, "left alone", "Left alone", name="README.txt"),
}
FIRST = date(2024, 1, 1)
DATES = {name: FIRST + timedelta(days=4 * number) for number, name in enumerate(CASES)}


@pytest.fixture(scope="module")
def warehouse(project: Project, tmp_path_factory) -> Warehouse:
    return Warehouse(project, tmp_path_factory.mktemp("files") / "warehouse")


@pytest.fixture(scope="module")
def expected() -> Reference:
    return Reference()


def load(warehouse: Warehouse, expected: Reference, files: dict[str, bytes], day: date | None = None) -> Built:
    warehouse.land(warehouse.landed | files)
    expected.load(warehouse.landed, day)
    built = warehouse.build(run_date=day)
    compare(expected, warehouse, built, day)
    return built


def paths(name: str) -> tuple[str, str]:
    """Where a case's file comes, and the good one beside it."""
    folder = f"raw/sales/{DATES[name]}"
    return f"{folder}/{CASES[name].name}", f"{folder}/sales_export.csv"


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


def test_the_same_content_under_another_path_loses_every_tie(warehouse: Warehouse, expected: Reference) -> None:
    """It was loaded above in one run with the first; here it comes first."""
    day = DATES["reordered columns"] + timedelta(days=1)
    later, first = f"raw/sales/{day}/z.csv", f"raw/sales/{day}/a.csv"
    load(warehouse, expected, {later: file(day)}, day)
    load(warehouse, expected, {first: file(day)}, day)
    rows = "select current_rows, superseded_rows from prod.load_ledger where source_file = '{}'"
    assert warehouse.query(rows.format(first)) == [(19, 0)]
    assert warehouse.query(rows.format(later)) == [(0, 19)]


def test_nothing_new_is_green_and_says_so(warehouse: Warehouse, expected: Reference) -> None:
    day = DATES["BOM"]
    before = warehouse.tables()
    built = load(warehouse, expected, {}, day)
    assert not built.red
    assert warehouse.tables() == before
    assert any("Nothing to do" in message for message in built.messages)


def test_a_day_without_a_file_is_green(warehouse: Warehouse, expected: Reference) -> None:
    built = load(warehouse, expected, {}, date(2023, 1, 1))
    assert not built.red


def test_a_file_keeps_its_day_red_until_it_is_mended(warehouse: Warehouse, expected: Reference) -> None:
    day = DATES["unclosed quote"] + timedelta(days=2)
    path = f"raw/sales/{day}/sales_export.csv"
    assert load(warehouse, expected, {path: CASES["unclosed quote"].content(day)}, day).red
    assert load(warehouse, expected, {}, day).red
    assert not load(warehouse, expected, {path: file(day)}, day).red
    # The restatement that is bad leaves the earlier content in force, until the file is mended or comes back.
    before = warehouse.tables()["prod.daily_sales"]
    assert load(warehouse, expected, {path: CASES["header only"].content(day)}, day).red
    assert warehouse.tables()["prod.daily_sales"] == before
    assert not load(warehouse, expected, {path: file(day)}, day).red


def test_a_refused_file_that_is_taken_away_is_forgotten(warehouse: Warehouse, expected: Reference) -> None:
    day = DATES["NUL byte"] + timedelta(days=2)
    path = f"raw/sales/{day}/sales_export.csv"
    assert load(warehouse, expected, {path: b"\0"}, day).red
    warehouse.land({known: data for known, data in warehouse.landed.items() if known != path})
    assert not load(warehouse, expected, {}, day).red


def test_a_run_without_tests_does_not_get_round_the_gate(warehouse: Warehouse, expected: Reference) -> None:
    day = DATES["no fresh sale"] + timedelta(days=2)
    before = warehouse.tables()
    files = {f"raw/sales/{day}/held.csv": CASES["no fresh sale"].content(day)}
    warehouse.land(warehouse.landed | files)
    ran = warehouse.dbt("run", run_date=day)
    assert not ran.broken, ran.broken
    assert warehouse.tables()["prod.daily_sales"] == before["prod.daily_sales"]
    assert warehouse.tables()["prod.sales_by_day"] == before["prod.sales_by_day"]
    load(warehouse, expected, {}, day)


def test_a_file_that_was_held_and_is_then_refused_waits_once(warehouse: Warehouse, expected: Reference) -> None:
    day = DATES["header only"] + timedelta(days=3)
    path = f"raw/sales/{day}/sales_export.csv"
    load(warehouse, expected, {path: CASES["header only"].content(day)}, day)
    load(warehouse, expected, {path: CASES["unclosed quote"].content(day)}, day)


def test_a_full_refresh_that_is_killed_before_the_totals_is_healed(warehouse: Warehouse, expected: Reference) -> None:
    """It takes new files too, so that the totals of their days are stale."""
    day = DATES["gzip"] + timedelta(days=2)
    warehouse.land(warehouse.landed | {f"raw/sales/{day}/sales_export.csv": file(day)})
    warehouse.build_until("daily_sales", "--full-refresh", run_date=day)
    load(warehouse, expected, {}, day)


def test_a_full_refresh_ends_the_same(warehouse: Warehouse, expected: Reference) -> None:
    expected.load(warehouse.landed)
    compare(expected, warehouse, warehouse.build("--full-refresh"))


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
