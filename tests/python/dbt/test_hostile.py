"""Hostile content and hostile names: they arrive exactly, or are rejected, refused or left alone; nothing runs them."""

import gzip
import os
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from orchestration.local.stand_ins.s3 import storage
from support.lake import BUCKET, Lake
from support.reference import COLUMNS, Reference
from support.sales_files import content, good, load, path_of, sale
from support.tables import things_are_taken_as_the_contract_says, with_things
from support.warehouse import Project, Warehouse, compare

pytestmark = pytest.mark.xdist_group("hostile")
LONG = pytest.mark.long

DAY = date(2024, 1, 1)
HOSTILE = (
    "it's",
    '"quoted"',
    "''",
    "\\",
    "\\'",
    "back\\slash\\n",
    "{{ 1 / 0 }}",
    "{{ env_var('HOME') }}",
    "{% raw %}",
    "{# comment #}",
    "{% endmacro %}",
    "'; drop table prod.daily_sales; --",
    '"; drop table prod.daily_sales; --',
    "-- comment",
    "/* comment",
    "new\nline",
    "carriage\r\nreturn",
    "tab\t",
    "<!channel>",
    "<http://x|y>",
    "@here",
    "<b>html</b> &amp;",
    "%s %d %(x)s {0} {x} ${HOME} $1 ?",
    "=cmd|' /C calc'!A0",
    "NULL",
    "None",
    "nan",
    "\\N",
    " ",
    " leading",
    "trailing ",
    "a,b",
    "\u200b",
    "\ufeff",
    "\u2028\x85\x0b\x1a\x7f",
    "\U0001f600 \U0010ffff \uff46",
    "\u202egnp.exe",
)
# Different keys, however alike they look.
ALIKE = (
    "k",
    "K",
    "k ",
    " k",
    "k\t",
    "k\n",
    "é",
    "e\u0301",
    "ﬁ",
    "fi",
    "\u0131",
    "i",
    "I",
    "İ",
    "ss",
    "ß",
    "\u212a",
    "k\u200b",
)


@pytest.fixture(scope="module")
def warehouse(project: Project, tmp_path_factory) -> Warehouse:
    # A folder name that a pattern, a quote or a comment could make something else of.
    return Warehouse(project, tmp_path_factory.mktemp("hostile") / "it's [1] {{ x }} -- 100%")


@pytest.fixture(scope="module")
def expected() -> Reference:
    return Reference()


def test_hostile_values_arrive_exactly_or_are_rejected(warehouse: Warehouse, expected: Reference) -> None:
    texts = ("sale_id", "store_id", "customer_id", "product_id")
    others = [column for column in COLUMNS if column not in texts]
    sales = [
        sale(value if column == "sale_id" else f"{column} {number}", **({} if column == "sale_id" else {column: value}))
        for number, value in enumerate(HOSTILE)
        for column in texts
    ]
    bad = [sale(f"{column} {number}", **{column: value}) for number, value in enumerate(HOSTILE) for column in others]
    built = load(warehouse, expected, {path_of(DAY): content(*sales, *bad, *good(number=len(bad) * 19))}, DAY)
    assert not built.red
    [(received, current, rejected)] = warehouse.query(
        "select received_rows, current_rows, rejected_rows from prod.load_ledger"
    )
    assert (received, current, rejected) == (len(bad) * 20 + len(sales), len(bad) * 19 + len(sales), len(bad))
    # A restatement goes the other way through the merge: its keys stand in a range of literals.
    built = load(warehouse, expected, {path_of(DAY): content(*(sale(value, store_id=value) for value in HOSTILE))}, DAY)
    assert not built.red


def test_keys_that_look_alike_are_different(warehouse: Warehouse, expected: Reference) -> None:
    day = DAY + timedelta(days=1)
    load(warehouse, expected, {path_of(day): content(*(sale(key, day) for key in ALIKE))}, day)
    changed = [sale(key, day, updated_at=f"{day}T11:00:00Z", quantity="2") for key in ALIKE[::2]]
    load(warehouse, expected, {path_of(day, "later.csv"): content(*changed)}, day)
    found = warehouse.query(
        f"select count(*), sum(quantity) from prod.daily_sales where source_file like 'raw/sales/{day}/%'"
    )
    assert found == [(len(ALIKE), len(ALIKE) + len(changed))]


def test_empty_texts(warehouse: Warehouse, expected: Reference) -> None:
    """Quoted or not, empty is empty; blanks are not."""
    day = DAY + timedelta(days=2)
    rows = content(*good(day, 60), sale("guest", day, customer_id="", discount_amount=""), sale("", day))
    rows += f'quoted,S,"",P,1,1.00,"",EUR,{day}T10:00:00Z,{day}T10:00:00Z\n'.encode()
    load(warehouse, expected, {path_of(day): rows}, day)
    found = warehouse.query(
        "select sale_id, customer_id, discount_amount from prod.daily_sales where customer_id is null order by 1"
    )
    assert found == [("guest", None, Decimal(0)), ("quoted", None, Decimal(0))]


def test_long_values_arrive_whole(warehouse: Warehouse, expected: Reference) -> None:
    """A field of 1 MB, and keys of 10,000 characters, which the range of the merge names in full."""
    day = DAY + timedelta(days=3)
    long = [sale(letter * 10_000, day) for letter in "\x01é\U0010ffff"]
    sales = [*long, sale("megabyte", day, store_id="x" * 1_000_000), sale("characters", day, product_id="é" * 900_000)]
    assert not load(warehouse, expected, {path_of(day): content(*sales)}, day).red
    changed = [one | {"updated_at": f"{day}T11:00:00Z"} for one in sales]
    assert not load(warehouse, expected, {path_of(day, "later.csv"): content(*changed)}, day).red


@pytest.mark.parametrize(
    ("size", "zipped"),
    [(2_000_001, True), pytest.param(2_000_001, False, marks=LONG), pytest.param(40_000_000, False, marks=LONG)],
)
def test_a_record_beyond_the_limit_is_refused(
    warehouse: Warehouse, expected: Reference, size: int, zipped: bool
) -> None:
    day = DAY + timedelta(days=4)
    path = path_of(day, "long.csv.gz" if zipped else "long.csv")
    data = content(*good(day, 3), sale("long", day, store_id="x" * size), *good(day, 3, "after"))
    warehouse.land(
        warehouse.landed | {path: gzip.compress(data, 1) if zipped else data, path_of(day): content(*good(day))}
    )
    expected.load({one: data for one, data in warehouse.landed.items() if one != path}, day)
    expected.refused[path] = "too long"
    built = warehouse.build(run_date=day)
    compare(expected, warehouse, built, day)
    [(record, reason)] = warehouse.query(
        f"select source_record, reason from staging.files_to_mend where source_file = '{path}'"
    )
    assert (record, reason) == (5, "the record is longer than 2,000,000 bytes; shorten its values or split it")
    assert any(f"REFUSED {path}, record 5: {reason}" in warning for warning in built.warnings)
    warehouse.land({one: data for one, data in warehouse.landed.items() if one != path})
    load(warehouse, expected, {}, day)


def test_extreme_values_reach_the_totals_exactly(warehouse: Warehouse, expected: Reference) -> None:
    day = DAY + timedelta(days=5)
    price = "9999999999999999.99"
    extremes = [
        sale(f"extreme {number}", day, quantity=quantity, unit_price=price, discount_amount=price, store_id=store)
        for store, times in (("one", 1), ("many", 300))
        for number, quantity in enumerate(["1000000000", "-1000000000"] * times)
    ]
    extremes = [one | {"sale_id": f"{place}"} for place, one in enumerate(extremes)]
    small = [
        sale("small", day, quantity="-1", unit_price="0", discount_amount="0.01", store_id="small"),
        sale("old", day, sold_at="1900-01-01T00:00:00Z", updated_at="1900-01-01 00:00:00.000001+14:59"),
        sale("late", day, sold_at=f"{day + timedelta(days=1)}T23:59:59.999999Z", store_id="late"),
    ]
    assert not load(warehouse, expected, {path_of(day): content(*extremes, *small)}, day).red


NAMES = (
    "it's.csv",
    '"quoted".csv',
    "back\\slash.csv",
    "{{ 1 / 0 }}.csv",
    "{% raw %}.csv",
    "'; drop table prod.daily_sales; --.csv",
    "-- comment.csv",
    "-leading.csv",
    " blanks  and\ttabs .csv",
    "new\nline.csv",
    "100%.csv",
    "%20%2F.csv",
    "%s{0}{x}.csv",
    "a+b.csv",
    "a#b.csv",
    "a&b=c.csv",
    "*.csv",
    "[a-z].csv",
    "<!channel> @here <http:x|y>.csv",
    "é e\u0301 \U0001f600.csv",
    ".hidden.csv",
    "=.csv.gz",
    "long " + "x" * 240 + ".csv",
)
LEFT_ALONE = (".csv", "a=b/x.csv", "deeper/*/y.csv", "upper.CSV", "x.csv ", "x.csv\n", "{{ 1 / 0 }}", "notes.txt")


@pytest.fixture(scope="module")
def lake(project: Project, tmp_path_factory) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("lake")
    with storage(BUCKET, folder / "mirror") as s3:
        yield Lake(project, folder / "warehouse", storage=s3)


def with_names(names: Sequence[str], day: date) -> dict[str, bytes]:
    """Good files under these names; each has a sale of its own."""
    files = {}
    for number, name in enumerate(names):
        data = content(sale(f"{day} {number}", day), *good(day))
        files[path_of(day, name)] = gzip.compress(data) if name.endswith(".gz") else data
    return files


def names_are_taken_as_they_are(
    warehouse: Warehouse, expected: Reference, files: dict[str, bytes], refused: set[str], day: date
) -> None:
    warehouse.land(warehouse.landed | files)
    expected.load({path: data for path, data in warehouse.landed.items() if path not in refused}, day)
    expected.refused |= dict.fromkeys(refused, "its name")
    built = warehouse.build(run_date=day)
    compare(expected, warehouse, built, day)
    for name in [name for name in LEFT_ALONE if path_of(day, name) in files]:
        path = path_of(day, name.split("/")[0])
        assert any(f"Left alone: {path}" in warning for warning in built.warnings), name
    # Restated; what was refused is taken away.
    files = {path: content(sale(path, day)) for path in files if path.endswith(".csv") and path not in refused}
    warehouse.land(files)
    expected.load(files, day)
    compare(expected, warehouse, warehouse.build(run_date=day), day)


def test_names_of_files_in_a_folder(warehouse: Warehouse, expected: Reference) -> None:
    day = DAY + timedelta(days=6)
    files = with_names((*NAMES, "?.csv", *LEFT_ALONE), day)
    other = Path(os.fsdecode(bytes(warehouse.root / f"raw/sales/{day}") + b"/\xff\xfe.csv"))
    other.parent.mkdir(parents=True)
    other.write_bytes(b"not UTF-8")
    names_are_taken_as_they_are(warehouse, expected, files, {path_of(day, "back\\slash.csv")}, day)


def test_names_of_files_in_a_bucket(lake: Lake) -> None:
    day = DAY
    # The local S3 keeps no key with a newline.
    names = [name for name in (*NAMES, "?.csv", *LEFT_ALONE, "x" * 900 + ".csv") if "\n" not in name]
    files = with_names(names, day) | {f"raw/sales/{day}//empty.csv": b"in a folder without a name"}
    refused = {path_of(day, "?.csv"), path_of(day, "back\\slash.csv")}
    names_are_taken_as_they_are(lake, Reference(), files, refused, day)
    reasons = lake.query("select reason from staging.files_to_mend")
    assert all(reason.endswith("; rename it") for (reason,) in reasons)


def test_another_feed_under_the_path_of_sales(warehouse: Warehouse, expected: Reference) -> None:
    day = DAY + timedelta(days=7)
    path = path_of(day, "customers.csv")
    customers = b"customer_id,name,email,country,signed_up_at,cancelled_at,updated_at\nC,N,E,DE,,,\n"
    built = load(warehouse, expected, {path: customers, path_of(day): content(*good(day))}, day)
    [(record, reason)] = warehouse.query(
        f"select source_record, reason from staging.files_to_mend where source_file = '{path}'"
    )
    assert record == 1
    assert reason.startswith("the header lacks sale_id, store_id, product_id,")
    assert "customer_id" not in reason.partition(" and has ")[0]
    assert "name, email, country" in reason
    assert built.red


RUN_DATES = (
    "2024-01-01'; drop table prod.daily_sales; --",
    "2024-02-30",
    "2024-1-1",
    "2024-01-01\n",
    "../..",
    "\u0662024-01-01",
    "<!channel>",
    "{{ 1 / 0 }}",
)


@pytest.mark.parametrize(
    "run_date", [one if one in RUN_DATES[:2] else pytest.param(one, marks=LONG) for one in RUN_DATES]
)
def test_a_run_date_that_is_no_day(warehouse: Warehouse, run_date: str) -> None:
    before = warehouse.tables()
    built = [warehouse.build_until("raw_sales", run_date=run_date)]
    # dbt itself renders what a var holds; who sets one may run anything.
    if "{{" not in run_date:
        built.append(warehouse.build_until("raw_sales", "--vars", str({"run_date": run_date})))
    for one in built:
        said = " ".join(one.broken["raw_sales"].split())
        assert "run_date is not a day: '" + " ".join(run_date.split()) in said
        assert "'. Write it as YYYY-MM-DD, for example 2024-01-05." in said
    assert warehouse.tables() == before


def test_a_contract_and_a_seed_say_what_is_written_in_them(project: Project, tmp_path: Path) -> None:
    """Without `make lint`: what it refuses of this contract is harmless all the same."""
    things_are_taken_as_the_contract_says(
        Warehouse(with_things(project, tmp_path / "project"), tmp_path / "warehouse", feeds=())
    )
