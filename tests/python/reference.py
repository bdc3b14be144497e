"""Production in plain Python: what the project promises, worked out another way than its SQL does.

Files are read by the csv module, values are typed by decimal and datetime, versions are compared as tuples, and
everything is computed again from all files at every step.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import re
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path

COLUMNS = [
    *("sale_id", "store_id", "customer_id", "product_id", "quantity"),
    *("unit_price", "discount_amount", "currency", "sold_at", "updated_at"),
]
CURRENCIES = set((Path(__file__).parents[2] / "seeds" / "currencies.csv").read_text().split()[1:])
WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
MONEY = re.compile(r"[+-]?[0-9]{1,16}(\.[0-9]{1,2})?")
MOMENT = re.compile(
    r"(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}[T ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?"
)
LARGEST = 1_000_000_000
MAX_REJECT_RATE = Decimal("0.05")


@dataclass(frozen=True)
class Sale:
    """A typed row, valid or not."""

    values: dict
    file: str
    record: int
    valid: bool

    @property
    def key(self) -> str:
        return self.values["sale_id"]

    @property
    def rank(self) -> tuple:
        """Greater wins: the newest, then the greater content, null the smallest; then the smaller path and record."""
        content = [(value is not None, value) for name, value in self.values.items() if name != "updated_at"]
        content = [(known, value if known else 0) for known, value in content]
        return (self.values["updated_at"], content, [-ord(letter) for letter in self.file] + [1], -self.record)

    @property
    def row(self) -> tuple:
        return (*self.values.values(), self.file, self.record)


@dataclass(frozen=True)
class Content:
    """One well-formed content of one file."""

    path: str
    content_hash: str
    sales: list[Sale] = field(repr=False)

    @property
    def file_date(self) -> date:
        return day_of(self.path)

    @cached_property
    def valid(self) -> list[Sale]:
        return [sale for sale in self.sales if sale.valid]

    @property
    def rejected(self) -> int:
        return len(self.sales) - len(self.valid)

    @cached_property
    def recent(self) -> int:
        days = (self.file_date - timedelta(days=1), self.file_date)
        return sum(sale.values["sold_at"].date() in days for sale in self.valid)

    @cached_property
    def failed_checks(self) -> str | None:
        if not self.sales:
            return "row_count"
        failed = ["reject_rate"] if self.rejected > MAX_REJECT_RATE * len(self.sales) else []
        failed += [] if self.recent else ["freshness"]
        return ", ".join(failed) or None

    @property
    def verdict(self) -> str:
        return "held" if self.failed_checks else "passed"


def day_of(path: str) -> date:
    """The day of the folder that a file stands in."""
    return date.fromisoformat(path.split("/")[2])


def read(path: str, data: bytes) -> Content | None:
    """The content of a file; None for one that is malformed."""
    digest = hashlib.sha256(data).hexdigest()
    try:
        text = (gzip.decompress(data) if path.endswith(".gz") else data).decode("utf-8-sig")
    except (UnicodeDecodeError, OSError, EOFError, zlib.error):
        return None
    if not text or "\0" in text or text.count('"') % 2:
        return None
    header, *rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row] or [[]]
    names = [name.lower() for name in header]
    if len(set(names)) < len(names) or set(COLUMNS) - set(header) or any(len(row) != len(header) for row in rows):
        return None
    sales = [
        type_row(dict(zip(header, row, strict=True)), path, record) for record, row in enumerate(rows, start=2)
    ]
    return Content(path, digest, sales)


def type_row(raw: dict, path: str, record: int) -> Sale:
    """A row typed by the contract."""
    last = datetime.combine(day_of(path), datetime.min.time()) + timedelta(days=2)
    values = {
        "sale_id": raw["sale_id"] or None,
        "store_id": raw["store_id"] or None,
        "customer_id": raw["customer_id"] or None,
        "product_id": raw["product_id"] or None,
        "quantity": int(raw["quantity"]) if WHOLE.fullmatch(raw["quantity"]) else None,
        "unit_price": Decimal(raw["unit_price"]) if MONEY.fullmatch(raw["unit_price"]) else None,
        "discount_amount": money_or_zero(raw["discount_amount"]),
        "currency": raw["currency"] or None,
        "sold_at": moment(raw["sold_at"]),
        "updated_at": moment(raw["updated_at"]),
    }
    complete = all(value is not None for name, value in values.items() if name != "customer_id")
    valid = (
        complete
        and 0 < abs(values["quantity"]) <= LARGEST
        and values["unit_price"] >= 0
        and values["discount_amount"] >= 0
        and values["currency"] in CURRENCIES
        and max(values["sold_at"], values["updated_at"]) < last
    )
    return Sale(values, path, record, bool(valid))


def money_or_zero(text: str) -> Decimal | None:
    """A discount: empty is none."""
    if not text:
        return Decimal(0)
    return Decimal(text) if MONEY.fullmatch(text) else None


def moment(text: str) -> datetime | None:
    """An ISO 8601 date and time as UTC, without a zone."""
    if not MOMENT.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found
    except (ValueError, OverflowError):
        return None


class Reference:
    """What a sequence of loads must come to. It keeps the newest content of each file and the one in force."""

    def __init__(self) -> None:
        self.newest: dict[str, Content] = {}
        self.in_force: dict[str, Content] = {}
        self.refused: dict[str, str] = {}

    def load(self, zone: dict[str, bytes], day: date | None = None) -> None:
        """Loads a landing zone, given as path and bytes; of one day or of all."""
        listed = {path: data for path, data in zone.items() if day is None or day_of(path) == day}
        for path in [path for path in self.refused if (day is None or day_of(path) == day) and path not in listed]:
            del self.refused[path]
        for path, data in listed.items():
            digest = hashlib.sha256(data).hexdigest()
            if digest == self.refused.get(path):
                continue
            content = read(path, data)
            if content is None:
                self.refused[path] = digest
                continue
            self.refused.pop(path, None)
            self.newest[path] = content
            if content.verdict == "passed":
                self.in_force[path] = content

    @property
    def green(self) -> bool:
        """Whether no file is to be mended."""
        return not self.refused and all(content.verdict == "passed" for content in self.newest.values())

    def tables(self) -> dict[str, list[tuple]]:
        """Every table of `prod`, and who was refused or rejected; rows sorted."""
        winners: dict[str, Sale] = {}
        for content in self.in_force.values():
            for sale in content.valid:
                if sale.key not in winners or sale.rank > winners[sale.key].rank:
                    winners[sale.key] = sale
        current = Counter(sale.file for sale in winners.values())
        held = [content for content in self.newest.values() if content.verdict == "held"]
        found = {
            "prod.daily_sales": [sale.row for sale in winners.values()],
            "prod.load_ledger": [
                *(self._ledger_row(content, current[content.path]) for content in self.in_force.values()),
                *(
                    (file.path, file.content_hash, file.file_date, "held", len(file.sales), 0, 0, 0, len(file.sales))
                    for file in held
                ),
            ],
            "prod.load_metrics": [
                (
                    *(file.path, file.content_hash, file.file_date, len(file.sales), len(file.valid), file.rejected),
                    *(len({sale.key for sale in file.valid}), file.recent, file.verdict, file.failed_checks),
                )
                for file in self.newest.values()
            ],
            "prod.sales_by_day": self._totals(list(winners.values())),
            "staging.rejected_sales": [
                (content.path, sale.record)
                for content in self.in_force.values()
                for sale in content.sales
                if not sale.valid
            ],
            "staging.refused_files": [(path, digest) for path, digest in self.refused.items()],
        }
        return {name: sorted(rows, key=repr) for name, rows in found.items()}

    @staticmethod
    def _ledger_row(file: Content, current: int) -> tuple:
        superseded = len(file.valid) - current
        counts = (len(file.sales), current, superseded, file.rejected, 0)
        return (file.path, file.content_hash, file.file_date, "passed", *counts)

    @staticmethod
    def _totals(sales: list[Sale]) -> list[tuple]:
        groups = defaultdict(list)
        for sale in sales:
            groups[sale.values["sold_at"].date(), sale.values["store_id"], sale.values["currency"]].append(sale.values)
        rows = []
        for group, members in groups.items():
            amounts = [member["quantity"] * member["unit_price"] for member in members]
            gross = sum((amount for amount in amounts if amount > 0), Decimal(0))
            returns = -sum((amount for amount in amounts if amount < 0), Decimal(0))
            discount = sum((member["discount_amount"] for member in members), Decimal(0))
            cents = [amount.quantize(Decimal("0.01")) for amount in (gross, returns, discount, gross - returns - discount)]
            rows.append((*group, len(members), *cents))
        return rows
