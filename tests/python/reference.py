"""Production in plain Python: what the tables of `prod` must hold after a sequence of loads.

Written another way than the SQL, and for clarity alone: state is kept per file only (its newest content, the content in
force), and every table is computed anew from all files in force. It shares no code with the project; the list of
currencies is the one thing that it reads there.
"""

import csv
import gzip
import hashlib
import io
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
COLUMNS = (
    "sale_id",
    "store_id",
    "customer_id",
    "product_id",
    "quantity",
    "unit_price",
    "discount_amount",
    "currency",
    "sold_at",
    "updated_at",
)
MAY_BE_EMPTY = ("customer_id", "discount_amount")
CURRENCIES = frozenset((PROJECT / "seeds" / "currencies.csv").read_text().split()[1:])
FILE = re.compile(r"raw/sales/(\d{4}-\d{2}-\d{2})/[^/]+\.csv(\.gz)?")
DAY = timedelta(days=1)
CENT = Decimal("0.01")

# Columns of the tables that are compared, in the order of the reference's rows.
TABLES = {
    "prod.daily_sales": (*COLUMNS, "source_file", "source_record"),
    "prod.load_ledger": (
        "source_file",
        "content_hash",
        "file_date",
        "verdict",
        "received_rows",
        "current_rows",
        "superseded_rows",
        "rejected_rows",
        "held_rows",
    ),
    "prod.sales_by_day": ("day", "store_id", "currency", "sales", "gross", "returns", "discount", "net"),
    "prod.load_metrics": (
        "source_file",
        "content_hash",
        "file_date",
        "received",
        "valid",
        "rejected",
        "distinct_keys",
        "recent",
        "verdict",
        "failed_checks",
    ),
}
Tables = dict[str, Counter]


class RefusedError(Exception):
    """A file is not well-formed or not of the contract."""


@dataclass(frozen=True)
class Content:
    """One well-formed content of one file: its rows, typed, and what is wrong with them."""

    path: str
    content_hash: str
    file_date: date
    received: int
    # (record, typed values in the order of COLUMNS)
    valid: tuple[tuple[int, tuple], ...]
    # (record, columns at fault)
    rejected: tuple[tuple[int, frozenset[str]], ...]

    @property
    def recent(self) -> int:
        start = datetime.combine(self.file_date, datetime.min.time()) - DAY
        place = COLUMNS.index("sold_at")
        return sum(start <= values[place] < start + 2 * DAY for _, values in self.valid)

    @property
    def failed_checks(self) -> str | None:
        if not self.received:
            return "row_count"
        failed = []
        if len(self.rejected) * 100 > self.received * 5:
            failed.append("reject_rate")
        if not self.recent:
            failed.append("freshness")
        return ", ".join(failed) or None


def as_integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) and abs(int(text)) < 2**31 else None


def as_amount(text: str) -> Decimal | None:
    return Decimal(text).quantize(CENT) if re.fullmatch(r"[+-]?[0-9]{1,16}([.][0-9]{1,2})?", text) else None


def as_timestamp(text: str) -> datetime | None:
    found = re.fullmatch(
        r"((?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2})[T ]((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])"
        r"(?:[.]([0-9]{1,6}))?(Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?",
        text,
    )
    if not found:
        return None
    day, time, fraction, zone = found.groups()
    try:
        local = datetime.strptime(f"{day} {time}.{fraction or 0}", "%Y-%m-%d %H:%M:%S.%f")  # noqa: DTZ007
    except ValueError:
        return None
    if not zone or zone == "Z":
        return local
    shift = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
    return local.replace(tzinfo=timezone(shift if zone[0] == "+" else -shift)).astimezone(UTC).replace(tzinfo=None)


TYPES = {
    "quantity": as_integer,
    "unit_price": as_amount,
    "discount_amount": as_amount,
    "sold_at": as_timestamp,
    "updated_at": as_timestamp,
}


def typed(row: Mapping[str, str], file_date: date) -> tuple[tuple, frozenset[str]]:
    """The typed values of a row, and the columns at fault."""
    latest = datetime.combine(file_date, datetime.min.time()) + 2 * DAY
    values, faults = [], set()
    for column in COLUMNS:
        text = row[column]
        value = TYPES.get(column, str)(text) if text else None
        if not text:
            bad = column not in MAY_BE_EMPTY
            value = Decimal("0.00") if column == "discount_amount" else None
        elif value is None:
            bad = True
        elif column == "quantity":
            bad = value == 0 or abs(value) > 1_000_000_000
        elif column in ("unit_price", "discount_amount"):
            bad = value < 0
        elif column == "currency":
            bad = value not in CURRENCIES
        elif column in ("sold_at", "updated_at"):
            bad = value >= latest
        else:
            bad = False
        values.append(value)
        if bad:
            faults.add(column)
    return tuple(values), frozenset(faults)


@cache
def read(path: str, data: bytes) -> Content:
    """A file's content; raises RefusedError for one that must be refused."""
    file_date = date.fromisoformat(FILE.fullmatch(path)[1])
    text = data
    if path.endswith(".gz"):
        try:
            text = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise RefusedError(f"gzip: {error}") from error
    if b"\0" in text:
        raise RefusedError("NUL")
    try:
        text = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError("UTF-8") from error
    if text.count('"') % 2:
        raise RefusedError("unclosed quote")
    # A blank line is no record.
    records = [record for record in csv.reader(io.StringIO(text, newline="")) if record]
    if not records:
        raise RefusedError("no header")
    header = records[0]
    if len({name.lower() for name in header}) < len(header):
        raise RefusedError("repeated column")
    if set(COLUMNS) - set(header):
        raise RefusedError("missing column")
    valid, rejected = [], []
    for number, record in enumerate(records[1:], start=2):
        if len(record) != len(header):
            raise RefusedError(f"record {number} has {len(record)} fields")
        values, faults = typed(dict(zip(header, record, strict=True)), file_date)
        if faults:
            rejected.append((number, faults))
        else:
            valid.append((number, values))
    content_hash = hashlib.sha256(data).hexdigest()
    return Content(path, content_hash, file_date, len(records) - 1, tuple(valid), tuple(rejected))


def strength(values: tuple) -> tuple:
    """What a version of a sale wins by: `updated_at`, then its content, null the smallest."""
    updated_at = COLUMNS.index("updated_at")
    content = (value for place, value in enumerate(values) if place != updated_at)
    return values[updated_at], tuple((value is not None, value if value is not None else 0) for value in content)


@dataclass
class Reference:
    """What production must be. `load` is told what stood in the landing zone when a load ran."""

    newest: dict[str, Content] = field(default_factory=dict)
    in_force: dict[str, Content] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    # What a person has let through, (path, content hash); and by path what no load has seen since.
    released: set[tuple[str, str]] = field(default_factory=set)
    waiting: dict[str, Content] = field(default_factory=dict)

    def release(self, path: str) -> None:
        assert path in self.held and path not in self.refused, f"{path} is not held"
        self.waiting[path] = self.held[path]

    def verdict(self, content: Content) -> str:
        if not content.failed_checks:
            return "passed"
        return "released" if (content.path, content.content_hash) in self.released else "held"

    def load(self, landed: Mapping[str, bytes], run_date: date | None = None) -> None:
        def in_scope(path: str) -> bool:
            return run_date is None or path.startswith(f"raw/sales/{run_date}/")

        for path in [path for path in self.refused if path not in landed and in_scope(path)]:
            del self.refused[path]
        for path in [path for path in self.waiting if in_scope(path)]:
            self.in_force[path] = content = self.waiting.pop(path)
            self.released.add((path, content.content_hash))
        for path, data in landed.items():
            if not (in_scope(path) and FILE.fullmatch(path)):
                continue
            try:
                content = read(path, data)
            except RefusedError as error:
                self.refused[path] = str(error)
                continue
            self.refused.pop(path, None)
            self.newest[path] = content
            if self.verdict(content) != "held":
                self.in_force[path] = content

    @property
    def held(self) -> dict[str, Content]:
        return {path: content for path, content in self.newest.items() if self.verdict(content) == "held"}

    def to_mend(self, run_date: date | None = None) -> set[str]:
        """The files that keep a run red."""
        paths = {*self.refused, *self.held}
        return {path for path in paths if run_date is None or path.startswith(f"raw/sales/{run_date}/")}

    def current(self) -> list[tuple]:
        """The newest version of each sale, with its file and record."""
        versions = defaultdict(list)
        for path in sorted(self.in_force):
            for record, values in self.in_force[path].valid:
                versions[values[0]].append((*values, path, record))
        # The first of the strongest: versions stand in the order of path and record.
        return [max(rows, key=lambda row: strength(row[: len(COLUMNS)])) for rows in versions.values()]

    def tables(self) -> Tables:
        """Every table of `prod`, as a multiset of rows."""
        sales = self.current()
        return {
            "prod.daily_sales": Counter(sales),
            "prod.load_ledger": Counter(self._ledger(sales)),
            "prod.sales_by_day": Counter(self._days(sales)),
            "prod.load_metrics": Counter(self._metrics()),
        }

    def rejected(self) -> Counter:
        """(file, record, columns at fault) of each rejected row of the files in force."""
        return Counter((path, *row) for path, content in self.in_force.items() for row in content.rejected)

    def _ledger(self, sales: Iterable[tuple]) -> Iterable[tuple]:
        current = Counter(sale[len(COLUMNS)] for sale in sales)
        for path, content in self.in_force.items():
            rows = (current[path], len(content.valid) - current[path], len(content.rejected), 0)
            yield path, content.content_hash, content.file_date, self.verdict(content), content.received, *rows
        for path, content in self.held.items():
            yield path, content.content_hash, content.file_date, "held", content.received, 0, 0, 0, content.received

    @staticmethod
    def _days(sales: Iterable[tuple]) -> Iterable[tuple]:
        days = defaultdict(list)
        for sale in sales:
            row = dict(zip(COLUMNS, sale, strict=False))
            days[row["sold_at"].date(), row["store_id"], row["currency"]].append(row)
        for key, rows in days.items():
            amounts = [row["quantity"] * row["unit_price"] for row in rows]
            gross = sum((amount for amount in amounts if amount > 0), Decimal(0))
            returns = -sum((amount for amount in amounts if amount < 0), Decimal(0))
            discount = sum(row["discount_amount"] for row in rows)
            yield *key, len(rows), gross, returns, discount, gross - returns - discount

    def _metrics(self) -> Iterable[tuple]:
        for path, content in self.newest.items():
            sales = len({values[0] for _, values in content.valid})
            counts = (content.received, len(content.valid), len(content.rejected), sales, content.recent)
            yield path, content.content_hash, content.file_date, *counts, self.verdict(content), content.failed_checks
