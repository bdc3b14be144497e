"""Production in plain Python: what the tables of `prod` must hold after a sequence of loads.

Written another way than the SQL, and for clarity alone: state is kept per file only (its newest content, the content in
force), and every table is computed anew from all files in force. It shares no code with the project, nor the feeds'
contracts; the list of currencies is the one thing that it reads there.
"""

import csv
import gzip
import hashlib
import io
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[3]
CURRENCIES = frozenset((PROJECT / "seeds" / "currencies.csv").read_text().split()[1:])
STATUSES = ("placed", "shipped", "delivered", "cancelled", "returned")
DAY = timedelta(days=1)
CENT = Decimal("0.01")


def as_integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) and abs(int(text)) < 2**31 else None


def as_amount(text: str) -> Decimal | None:
    return Decimal(text).quantize(CENT) if re.fullmatch(r"[+-]?[0-9]{1,16}([.][0-9]{1,2})?", text) else None


def as_boolean(text: str) -> bool | None:
    return (
        {"true": True, "false": False}.get(text.lower()) if text in (text.lower(), text.upper(), text.title()) else None
    )


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


@dataclass(frozen=True)
class Column:
    """A column of a contract."""

    name: str
    read: Callable[[str], object] = str
    required: bool = True
    # What empty stands for, and whether a file may lack the column.
    default: object = None
    optional: bool = False
    # Whether a value is good, given the typed row and the first moment that is too late.
    rule: Callable[[object, Mapping, datetime], bool] = lambda value, row, latest: True


@dataclass(frozen=True)
class Feed:
    """One kind of file with one contract."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    # The table of `prod`, if it is not named after the feed, and whether it has a history.
    table: str = ""
    has_history: bool = False
    # An extract is the whole table; one that has lost a larger share of the rows of the one before is held.
    is_extract: bool = False
    shrinks_by: Decimal | None = None
    hourly: bool = True
    # A file without a row whose column lies in the two days up to its date is held.
    fresh: str | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @cached_property
    def shown(self) -> tuple[int, ...]:
        """The places of the columns that readers see."""
        return tuple(place for place, name in enumerate(self.names) if name != "is_deleted")

    @cached_property
    def places(self) -> tuple[int, ...]:
        """The places of the key's columns."""
        return tuple(map(self.names.index, self.key))

    @cached_property
    def file(self) -> re.Pattern:
        hour = "(?:[01][0-9]|2[0-3])/" if self.hourly else ""
        return re.compile(rf"raw/{self.name}/(\d{{4}}-\d{{2}}-\d{{2}})/{hour}[^/]+\.csv(\.gz)?")

    @property
    def in_prod(self) -> str:
        return f"prod.{self.table or self.name}"

    def key_of(self, values: tuple) -> tuple:
        return tuple(values[place] for place in self.places)

    def is_deleted(self, values: tuple) -> bool:
        return "is_deleted" in self.names and values[self.names.index("is_deleted")]

    def tables(self) -> dict[str, tuple[str, ...]]:
        """Columns of the tables of `prod` that are this feed's own, in the order of the reference's rows."""
        shown = tuple(self.names[place] for place in self.shown)
        tables = {self.in_prod: (*shown, "source_file", "source_record")}
        if self.has_history:
            versions = tuple(name for name in shown if name != "updated_at")
            tables[f"{self.in_prod}_history"] = (*versions, "valid_from", "valid_to", "source_file", "source_record")
        if self.name == "sales":
            tables["prod.sales_by_day"] = (
                "day",
                "store_id",
                "currency",
                "sales",
                "gross",
                "returns",
                "discount",
                "net",
            )
        return tables


def is_early(value: datetime, row: Mapping, latest: datetime) -> bool:
    return value < latest


def not_negative(value: Decimal, row: Mapping, latest: datetime) -> bool:
    return value >= 0


UPDATED_AT = Column("updated_at", as_timestamp, rule=is_early)
IS_DELETED = Column("is_deleted", as_boolean, required=False, default=False, optional=True)
SALES = Feed(
    "sales",
    ("sale_id",),
    (
        Column("sale_id"),
        Column("store_id"),
        Column("customer_id", required=False),
        Column("product_id"),
        Column("quantity", as_integer, rule=lambda value, *_: value != 0 and abs(value) <= 1_000_000_000),
        Column("unit_price", as_amount, rule=not_negative),
        Column("discount_amount", as_amount, required=False, default=Decimal("0.00"), rule=not_negative),
        Column("currency", rule=lambda value, *_: value in CURRENCIES),
        Column("sold_at", as_timestamp, rule=is_early),
        UPDATED_AT,
    ),
    table="daily_sales",
    hourly=False,
    fresh="sold_at",
)
CUSTOMERS = Feed(
    "customers",
    ("customer_id",),
    (
        Column("customer_id"),
        Column("name"),
        Column("email"),
        Column("country", rule=lambda value, *_: len(value) == 2),
        Column("signed_up_at", as_timestamp),
        Column(
            "cancelled_at",
            as_timestamp,
            required=False,
            rule=lambda value, row, _: row["signed_up_at"] is None or value >= row["signed_up_at"],
        ),
        UPDATED_AT,
        IS_DELETED,
    ),
    has_history=True,
)
PRODUCTS = Feed(
    "products",
    ("product_id",),
    (
        Column("product_id"),
        Column("name"),
        Column("category"),
        Column("unit_price", as_amount, rule=not_negative),
        Column("is_active", as_boolean),
        UPDATED_AT,
        IS_DELETED,
    ),
    has_history=True,
)
ORDERS = Feed(
    "orders",
    ("order_id",),
    (
        Column("order_id"),
        Column("customer_id"),
        Column("product_id"),
        Column("quantity", as_integer, rule=lambda value, *_: value > 0),
        Column("order_total", as_amount, rule=not_negative),
        Column("currency", rule=lambda value, *_: value in CURRENCIES),
        Column("status", rule=lambda value, *_: value in STATUSES),
        Column("ordered_at", as_timestamp, rule=is_early),
        UPDATED_AT,
        IS_DELETED,
    ),
)
INVENTORY = Feed(
    "inventory",
    ("product_id", "warehouse_id"),
    (
        Column("product_id"),
        Column("warehouse_id"),
        Column("quantity_on_hand", as_integer, rule=lambda value, *_: value >= 0),
        UPDATED_AT,
        IS_DELETED,
    ),
    is_extract=True,
    shrinks_by=Decimal("0.5"),
)
# No table of the project has changes of a key of several columns: a copy of it for tests has this one.
PRICES = Feed(
    "prices",
    ("product_id", "country"),
    (
        Column("product_id"),
        Column("country"),
        Column("unit_price", as_amount, rule=not_negative),
        UPDATED_AT,
        IS_DELETED,
    ),
)
FEEDS = (SALES, CUSTOMERS, PRODUCTS, ORDERS, INVENTORY)
COLUMNS = SALES.names

# Columns of the tables that all feeds share, in the order of the reference's rows.
REGISTERS = {
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
TABLES = SALES.tables() | REGISTERS
Tables = dict[str, Counter]


class RefusedError(Exception):
    """A file is not well-formed or not of the contract."""


@dataclass(frozen=True)
class Content:
    """One well-formed content of one file: its rows, typed, and what is wrong with them."""

    feed: Feed
    path: str
    content_hash: str
    file_date: date
    received: int
    # (record, typed values in the order of the contract)
    valid: tuple[tuple[int, tuple], ...]
    # (record, columns at fault)
    rejected: tuple[tuple[int, frozenset[str]], ...]
    # Whether an extract was far smaller than the one before, when it was judged.
    has_shrunk: bool = False

    @property
    def recent(self) -> int | None:
        if self.feed.fresh is None:
            return None
        start = datetime.combine(self.file_date, datetime.min.time()) - DAY
        place = self.feed.names.index(self.feed.fresh)
        return sum(start <= values[place] < start + 2 * DAY for _, values in self.valid)

    @property
    def failed_checks(self) -> str | None:
        fails = {
            "row_count": not self.received,
            "reject_rate": len(self.rejected) * 100 > self.received * 5,
            "freshness": self.received and self.recent == 0,
            "volume": self.has_shrunk,
        }
        return ", ".join(check for check, failed in fails.items() if failed) or None

    def versions(self) -> list[tuple]:
        """The valid rows with their file and record."""
        return [(*values, self.path, record) for record, values in self.valid]


def typed(feed: Feed, row: Mapping[str, str], file_date: date) -> tuple[tuple, frozenset[str]]:
    """The typed values of a row, and the columns at fault."""
    latest = datetime.combine(file_date, datetime.min.time()) + 2 * DAY
    texts = {column.name: row.get(column.name, "") for column in feed.columns}
    values = {column.name: column.read(texts[column.name]) if texts[column.name] else None for column in feed.columns}
    faults = set()
    for column in feed.columns:
        value = values[column.name]
        is_bad = value is None or not column.rule(value, values, latest) if texts[column.name] else column.required
        if is_bad:
            faults.add(column.name)
    defaults = {column.name: column.default for column in feed.columns if not texts[column.name]}
    return tuple((values | defaults).values()), frozenset(faults)


@cache
def read(feed: Feed, path: str, data: bytes) -> Content:
    """A file's content; raises RefusedError for one that must be refused."""
    file_date = date.fromisoformat(feed.file.fullmatch(path)[1])
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
    if {column.name for column in feed.columns if not column.optional} - set(header):
        raise RefusedError("missing column")
    valid, rejected = [], []
    for number, record in enumerate(records[1:], start=2):
        if len(record) != len(header):
            raise RefusedError(f"record {number} has {len(record)} fields")
        values, faults = typed(feed, dict(zip(header, record, strict=True)), file_date)
        if faults:
            rejected.append((number, faults))
        else:
            valid.append((number, values))
    content_hash = hashlib.sha256(data).hexdigest()
    return Content(feed, path, content_hash, file_date, len(records) - 1, tuple(valid), tuple(rejected))


def strength(feed: Feed, row: tuple) -> tuple:
    """What a version of a key wins by: `updated_at`, then its content, null the smallest."""
    updated_at = feed.names.index("updated_at")
    content = (row[place] for place in range(len(feed.names)) if place != updated_at)
    return row[updated_at], tuple((value is not None, value if value is not None else 0) for value in content)


def newest(feed: Feed, versions: Iterable[tuple], by: Callable[[tuple], tuple]) -> dict[tuple, tuple]:
    """Of versions in the order of path and record, the strongest of each group: the first of them."""
    groups = defaultdict(list)
    for row in versions:
        groups[by(row)].append(row)
    return {group: max(rows, key=lambda row: strength(feed, row)) for group, rows in groups.items()}


@dataclass
class Reference:
    """What production must be. `load` is told what stood in the landing zone when a load ran."""

    newest: dict[str, Content] = field(default_factory=dict)
    in_force: dict[str, Content] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    # What a person has let through, (path, content hash); and by path what of it no load has merged yet.
    released: set[tuple[str, str]] = field(default_factory=set)
    waiting: dict[str, Content] = field(default_factory=dict)
    feeds: tuple[Feed, ...] = (SALES,)

    def release(self, path: str) -> None:
        assert path in self.held and path not in self.refused, f"{path} is not held"
        content = self.waiting[path] = self.held[path]
        self.released.add((path, content.content_hash))

    def verdict(self, content: Content) -> str:
        if not content.failed_checks:
            return "passed"
        return "released" if (content.path, content.content_hash) in self.released else "held"

    def load(self, landed: Mapping[str, bytes], run_date: date | None = None) -> None:
        for feed in self.feeds:
            self._load(feed, landed, run_date)

    def _load(self, feed: Feed, landed: Mapping[str, bytes], run_date: date | None) -> None:
        def in_scope(path: str) -> bool:
            return path.startswith(f"raw/{feed.name}/{run_date or ''}")

        for path in [path for path in self.refused if path not in landed and in_scope(path)]:
            del self.refused[path]
        for path in [path for path in self.waiting if in_scope(path)]:
            self.in_force[path] = self.waiting.pop(path)
        for path in sorted(landed):
            if not (in_scope(path) and feed.file.fullmatch(path)):
                continue
            try:
                content = read(feed, path, landed[path])
            except RefusedError as error:
                self.refused[path] = str(error)
                continue
            was_refused, known = self.refused.pop(path, None), self.newest.get(path)
            if known and known.content_hash == content.content_hash and not was_refused:
                continue
            self.newest[path] = content = self._judged(content, known)
            if self.verdict(content) != "held":
                self.in_force[path] = content

    def _judged(self, content: Content, known: Content | None) -> Content:
        """A content that lands. Only an extract is judged by another file, and once, while its content is known."""
        for same in (known, self.in_force.get(content.path)):
            if same and same.content_hash == content.content_hash:
                return same
        if content.feed.shrinks_by is None:
            return content
        let_through = self.in_force | self.waiting
        before = [path for path in self._of(content.feed, let_through) if path < content.path]
        if not before:
            return content
        fewest = (1 - content.feed.shrinks_by) * len(let_through[max(before)].valid)
        return replace(content, has_shrunk=len(content.valid) < fewest)

    @staticmethod
    def _of(feed: Feed, contents: Mapping[str, Content]) -> list[str]:
        """The paths of a feed's files, in their order."""
        return sorted(path for path, content in contents.items() if content.feed is feed)

    @property
    def held(self) -> dict[str, Content]:
        return {path: content for path, content in self.newest.items() if self.verdict(content) == "held"}

    def to_mend(self, run_date: date | None = None) -> set[str]:
        """The files that keep a run red."""
        return {path for path in (*self.refused, *self.held) if run_date is None or f"/{run_date}/" in path}

    def _versions(self, feed: Feed) -> list[tuple]:
        """All valid rows that are in force, in the order of path and record."""
        return [row for path in self._of(feed, self.in_force) for row in self.in_force[path].versions()]

    def current(self, feed: Feed) -> list[tuple]:
        """What is in production: of each key the newest version, unless it is deleted; of extracts the last one."""
        versions = self._versions(feed)
        if feed.is_extract:
            versions = [row for row in versions if row[-2] == max(self._of(feed, self.in_force))]
        return [row for row in newest(feed, versions, feed.key_of).values() if not feed.is_deleted(row)]

    def _history(self, feed: Feed) -> Iterable[tuple]:
        """Every version of each key, with the time in which it was the newest; none while the key is deleted."""
        at = feed.names.index("updated_at")
        versions = newest(feed, self._versions(feed), lambda row: (feed.key_of(row), row[at]))
        for (key, since), row in versions.items():
            until = min((time for other, time in versions if other == key and time > since), default=None)
            if not feed.is_deleted(row):
                yield *(row[place] for place in feed.shown if place != at), since, until, *row[-2:]

    def tables(self) -> Tables:
        """Every table of `prod`, as a multiset of rows."""
        tables, current = {}, {feed: self.current(feed) for feed in self.feeds}
        for feed, rows in current.items():
            tables[feed.in_prod] = Counter((*(row[place] for place in feed.shown), *row[-2:]) for row in rows)
            if feed.has_history:
                tables[f"{feed.in_prod}_history"] = Counter(self._history(feed))
            if feed is SALES:
                tables["prod.sales_by_day"] = Counter(self._days(rows))
        counts = Counter(row[-2] for rows in current.values() for row in rows)
        tables["prod.load_ledger"] = Counter(self._ledger(counts))
        tables["prod.load_metrics"] = Counter(self._metrics())
        return tables

    def rejected(self) -> Counter:
        """(file, record, columns at fault) of each rejected row of the files that were let through."""
        let_through = self.in_force | self.waiting
        return Counter((path, *row) for path, content in let_through.items() for row in content.rejected)

    def _ledger(self, current: Counter) -> Iterable[tuple]:
        for path, content in self.in_force.items():
            rows = (current[path], len(content.valid) - current[path], len(content.rejected), 0)
            yield path, content.content_hash, content.file_date, self.verdict(content), content.received, *rows
        for path, content in (self.held | self.waiting).items():
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
            keys = len({content.feed.key_of(values) for _, values in content.valid})
            counts = (content.received, len(content.valid), len(content.rejected), keys, content.recent)
            yield path, content.content_hash, content.file_date, *counts, self.verdict(content), content.failed_checks
