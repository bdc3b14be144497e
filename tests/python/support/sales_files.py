"""Files of sales: good ones, and a case of each kind that a sender may send, with what is to come of it."""

import csv
import gzip
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from support.reference import COLUMNS, Reference
from support.warehouse import Built, Warehouse, compare

NAMES = ",".join(COLUMNS)
FIRST = date(2024, 1, 1)


def sale(key: str, day: date = FIRST, **changes: str) -> dict[str, str]:
    fields = (key, "S", "C", "P", "1", "1.00", "0", "EUR", f"{day}T10:00:00Z", f"{day}T10:00:00Z")
    return dict(zip(COLUMNS, fields, strict=True)) | changes


def row(key: str, day: date, **changes: str) -> str:
    return ",".join(sale(key, day, **changes).values())


def file(day: date, *rows: str, prefix: str = "bad", size: int = 19) -> bytes:
    """A file of good rows, and behind them the given ones."""
    return "\n".join([NAMES, *(row(f"{prefix}-{day}-{n}", day) for n in range(size)), *rows, ""]).encode()


def content(*sales: dict[str, str]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sales)
    return text.getvalue().encode()


def good(day: date = FIRST, number: int = 1, prefix: str = "good") -> list[dict[str, str]]:
    return [sale(f"{prefix}-{day}-{place}", day) for place in range(number)]


def path_of(day: date, name: str = "sales_export.csv") -> str:
    return f"raw/sales/{day}/{name}"


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
DATES = {name: FIRST + timedelta(days=4 * number) for number, name in enumerate(CASES)}


def paths(name: str) -> tuple[str, str]:
    """Where a case's file comes, and the good one beside it."""
    folder = f"raw/sales/{DATES[name]}"
    return f"{folder}/{CASES[name].name}", f"{folder}/sales_export.csv"


def load(warehouse: Warehouse, expected: Reference, files: dict[str, bytes], day: date | None = None) -> Built:
    warehouse.land(warehouse.landed | files)
    expected.load(warehouse.landed, day)
    built = warehouse.build(run_date=day)
    compare(expected, warehouse, built, day)
    return built
