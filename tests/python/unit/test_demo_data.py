"""The demo files: the same every time, and with everything in them that a sender's files hold."""

import csv
import io
import re
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from orchestration.landing.inspection import inspect
from orchestration.landing.listing import Feed
from orchestration.local.demos import sales_files, table_files
from orchestration.local.demos.files import write_demo
from orchestration.local.demos.sales_files import COLUMNS, GOOD_DAYS, MALFORMED_RECORD, REJECTED

pytestmark = pytest.mark.fast

ALL_REASONS = 2
SALE_ID = re.compile(r"S\d{10}")


def records(content: bytes) -> list[dict[str, str]]:
    """The records of a file."""
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def utc(text: str) -> datetime:
    """A time as the contract reads it."""
    time = datetime.fromisoformat(text)
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def is_made_to_be_rejected(row: dict[str, str]) -> bool:
    """Whether a row has no key, or one of those that are kept for rejects."""
    first = sales_files.SALES + sales_files.LATE
    return not row["sale_id"] or first <= number(row) % sales_files.KEYS_A_DAY < first + len(REJECTED)


def good(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """The rows that keep the contract."""
    return [row for row in rows if not is_made_to_be_rejected(row)]


def number(row: dict[str, str]) -> int:
    """The number in a sale's key."""
    return int(row["sale_id"][1:])


def block(row: dict[str, str]) -> int:
    """The block of keys that a sale's key is of: that of the day when it was first sent."""
    return number(row) // sales_files.KEYS_A_DAY


@pytest.fixture(scope="module")
def days() -> dict[str, list[dict[str, str]]]:
    return {day: records(sales_files.day_file(day)) for day in GOOD_DAYS}


def test_another_process_makes_the_same_bytes() -> None:
    code = (
        "import hashlib; from orchestration.local.demos import sales_files as d;"
        "files = [*map(d.day_file, reversed(d.GOOD_DAYS)), d.restated_first_day(), d.malformed_day()];"
        "print(*(hashlib.sha256(file).hexdigest() for file in files))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("day", GOOD_DAYS)
def test_a_good_day_is_well_formed_and_of_about_5000_sales(day: str, days: dict) -> None:
    content = sales_files.day_file(day)
    seen = inspect(lambda: io.BytesIO(content), False, Feed("sales", COLUMNS))
    assert seen.problem is None
    assert seen.columns == list(COLUMNS)
    assert 4_800 < len(days[day]) < 5_200
    assert 0.005 < len(REJECTED) / len(days[day]) < 0.015


def test_keys_grow_with_time(days: dict) -> None:
    own = defaultdict(list)
    for rows in days.values():
        for row in good(rows):
            own[block(row)].append(row)
    assert len(own) == len(GOOD_DAYS)
    for earlier, later in pairwise(sorted(own)):
        assert max(utc(row["sold_at"]) for row in own[earlier]) < max(utc(row["sold_at"]) for row in own[later])


@pytest.mark.parametrize("day", GOOD_DAYS)
def test_every_kind_of_row_is_there(day: str, days: dict) -> None:
    rows = good(days[day])
    assert 500 < sum(row["customer_id"] == "" for row in rows) < 1_500
    assert 50 < sum(int(row["quantity"]) < 0 for row in rows) < 400
    assert len({row["store_id"] for row in rows}) == len(sales_files.STORES)
    assert {row["currency"] for row in rows} == {"GBP", "EUR", "CHF", "USD", "JPY"}
    assert any(row["discount_amount"] == "" for row in rows)
    assert any(float(row["discount_amount"] or 0) > 0 for row in rows)
    for character in (",", '"', "\n"):
        assert any(character in row["store_id"] + row["product_id"] for row in rows)
    for ending in (r"\.250Z", r"\+01:00", r"-05:00", r"\+09:00", r"\d \d\d:\d\d:\d\d"):
        assert any(re.search(ending + "$", row["sold_at"]) for row in rows)


@pytest.mark.parametrize("day", GOOD_DAYS)
def test_versions_within_a_file(day: str, days: dict) -> None:
    seen: dict[str, list[dict[str, str]]] = defaultdict(list)
    kinds = {"repeated": 0, "outdated": 0, "tied": 0}
    for row in good(days[day]):
        for before in seen[row["sale_id"]]:
            kinds["repeated"] += before == row
            kinds["outdated"] += utc(before["updated_at"]) > utc(row["updated_at"])
            kinds["tied"] += before != row and utc(before["updated_at"]) == utc(row["updated_at"])
        seen[row["sale_id"]].append(row)
    assert kinds["repeated"] >= sales_files.REPEATED
    assert kinds["outdated"] >= sales_files.OUTDATED
    assert kinds["tied"] >= sales_files.TIED


@pytest.mark.parametrize(("day", "earlier"), [(1, 0), (2, 1), (2, 0)])
def test_corrections_of_earlier_days(day: int, earlier: int, days: dict) -> None:
    first = {row["sale_id"]: row for row in reversed(good(days[GOOD_DAYS[earlier]]))}
    earlier_block = max(block(row) for row in first.values())
    pairs = [
        (first[row["sale_id"]], row)
        for row in good(days[GOOD_DAYS[day]])
        if block(row) == earlier_block and row["sale_id"] in first
    ]
    newer = [pair for pair in pairs if utc(pair[1]["updated_at"]) > utc(pair[0]["updated_at"])]
    assert len(newer) == sales_files.CORRECTED
    assert len(pairs) - len(newer) == sales_files.OUTDATED
    assert any(utc(before["sold_at"]).date() != utc(after["sold_at"]).date() for before, after in newer)
    assert any(before["currency"] != after["currency"] for before, after in newer)


@pytest.mark.parametrize("day", GOOD_DAYS)
def test_one_row_of_each_kind_of_reject(day: str, days: dict) -> None:
    rejected = [row for row in days[day] if is_made_to_be_rejected(row)]
    assert len(rejected) == len(REJECTED)
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    for kind, broken in sales_files._rejected(start).items():
        assert any(row.items() >= broken.items() for row in rejected), kind


def test_the_rejects_break_each_rule_of_each_column() -> None:
    start = datetime.fromisoformat(GOOD_DAYS[0]).replace(tzinfo=UTC)
    kinds = sales_files._rejected(start).values()
    alone = defaultdict(set)
    for broken in kinds:
        if len(broken) == 1:
            for column, value in broken.items():
                alone[column].add(value == "")
    typed = {"quantity", "unit_price", "currency", "sold_at", "updated_at"}
    assert alone == {
        **{column: {True} for column in ("sale_id", "store_id", "product_id")},
        **{column: {True, False} for column in typed},
        "discount_amount": {False},
    }
    assert any(len(broken) == ALL_REASONS for broken in kinds)


def test_the_restated_day_lacks_changes_and_adds_rows(days: dict) -> None:
    before = {row["sale_id"]: row for row in reversed(good(days[GOOD_DAYS[0]]))}
    after = {row["sale_id"]: row for row in reversed(good(records(sales_files.restated_first_day())))}
    assert len(before.keys() - after.keys()) == 60
    assert len(after.keys() - before.keys()) == 40
    assert 100 < sum(before[key] != after[key] for key in before.keys() & after.keys()) <= 120
    assert all(SALE_ID.fullmatch(key) for key in after)
    gone = before.keys() - after.keys()
    older = [
        row
        for row in good(days[GOOD_DAYS[1]])
        if row["sale_id"] in gone and utc(row["updated_at"]) < utc(before[row["sale_id"]]["updated_at"])
    ]
    assert len(older) >= 10


def test_the_malformed_day_is_refused_with_its_record() -> None:
    content = sales_files.malformed_day()
    seen = inspect(lambda: io.BytesIO(content), False, Feed("sales", COLUMNS))
    assert (seen.problem, seen.record) == ("an unclosed quote", MALFORMED_RECORD)
    assert content.count(b"\n") > MALFORMED_RECORD + 1_000


def test_only_missing_files_are_written(tmp_path: Path) -> None:
    files = {f"raw/sales/{day}/sales_export.csv": sales_files.day_file(day) for day in GOOD_DAYS}
    files |= table_files.first_hour()
    paths = write_demo(tmp_path)
    assert {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in paths} == files
    paths[0].write_bytes(b"restated")
    paths[1].unlink()
    assert write_demo(tmp_path) == paths
    assert paths[0].read_bytes() == b"restated"
    assert paths[1].read_bytes() == sales_files.day_file(GOOD_DAYS[1])
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(paths)


def test_no_sale_and_no_order_is_of_a_customer_who_is_deleted():
    """Healthy demo data makes no check warn: `make run` after `make run-tables` neither."""
    hours = table_files.second_hour()
    deleted = {row["customer_id"] for row in records(hours[table_files.path("customers", 1)]) if row["is_deleted"]}
    assert len(deleted) == 3
    files = [*map(sales_files.day_file, GOOD_DAYS), sales_files.restated_first_day()]
    files += [table_files.first_hour()[table_files.path("orders", 0)], hours[table_files.path("orders", 1)]]
    bought = {row["customer_id"] for content in files for row in records(content)}
    assert bought & deleted == set()
