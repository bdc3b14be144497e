"""Demo sales files, the same bytes every time: three good days, the first of them restated, and a malformed one.

Each file holds what a sender's files hold: sales of the day and a few late ones, returns, guests, corrections of
earlier days, repeats, and not quite one row in a hundred that breaks the contract in one of the ways of `REJECTED`.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from random import Random

GOOD_DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]
MALFORMED_DAY = "2024-01-04"
# The record of the malformed file whose quote is not closed; the header is record 1.
MALFORMED_RECORD = 2_500

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
SALES, LATE, CORRECTED, REPEATED, OUTDATED, TIED = 4_780, 20, 60, 25, 20, 5
# Keys grow with time: each day has a block of them.
KEYS_A_DAY = 10_000


@dataclass(frozen=True)
class Store:
    """Where sales are made; `hours` is its offset from UTC, or None if it writes its times without one."""

    store_id: str
    currency: str
    hours: int | None
    rate: float


STORES = (
    Store("Oxford Street, London", "GBP", 0, 0.8),
    Store("Paris Rivoli", "EUR", 1, 0.9),
    Store("Berlin Mitte", "EUR", 1, 0.9),
    Store("Zürich Bahnhofstrasse", "CHF", 1, 1.0),
    Store("New York 5th Ave", "USD", -5, 1.0),
    Store("Tokyo Ginza", "JPY", 9, 140.0),
    Store("web", "EUR", None, 0.9),
)
# Name and price in US dollars; names with quotes, commas and a line break are what senders send.
PRODUCTS = (
    ("espresso-cup", 8.90),
    ("tea-pot", 24.50),
    ("desk-lamp", 59.00),
    ('monitor 27"', 279.00),
    ("cable, 2 m", 6.75),
    ("notebook-a5", 4.20),
    ("gift set\nwinter", 39.90),
    ("backpack", 89.00),
    ("headphones", 149.00),
    ("umbrella", 19.95),
    ("poster", 12.00),
    ("sofa", 1_249.00),
)


@dataclass(frozen=True)
class Sale:
    """One version of a sale."""

    number: int
    store: Store
    customer_id: str
    product_id: str
    quantity: int
    unit_price: float
    discount_amount: float
    sold_at: datetime
    updated_at: datetime

    def record(self) -> dict[str, str]:
        """The sale as its sender writes it."""
        places = 0 if self.store.currency == "JPY" else 2
        return {
            "sale_id": f"S{self.number:010}",
            "store_id": self.store.store_id,
            "customer_id": self.customer_id,
            "product_id": self.product_id,
            "quantity": str(self.quantity),
            "unit_price": f"{self.unit_price:.{places}f}",
            "discount_amount": f"{self.discount_amount:.{places}f}" if self.discount_amount else "",
            "currency": self.store.currency,
            "sold_at": self._written(self.sold_at),
            "updated_at": self._written(self.updated_at),
        }

    def _written(self, time: datetime) -> str:
        if self.store.hours is None:
            return time.strftime("%Y-%m-%d %H:%M:%S")
        if not self.store.hours:
            return time.strftime("%Y-%m-%dT%H:%M:%S.250Z")
        return time.astimezone(timezone(timedelta(hours=self.store.hours))).isoformat()


def landing_key(day: str) -> str:
    """Where the file of a day lands."""
    return f"raw/sales/{day}/sales_export.csv"


def _rejected(day: datetime) -> dict[str, dict[str, str]]:
    after = (day + timedelta(days=2)).isoformat()
    return {
        "no sale_id": {"sale_id": ""},
        "no store_id": {"store_id": ""},
        "no product_id": {"product_id": ""},
        "no quantity": {"quantity": ""},
        "quantity of 0": {"quantity": "0"},
        "quantity too large": {"quantity": "1000000001"},
        "quantity too small": {"quantity": "-1000000001"},
        "quantity beyond any integer": {"quantity": "99999999999999999999"},
        "quantity in words": {"quantity": "two"},
        "quantity with a fraction": {"quantity": "1.5"},
        "quantity with an exponent": {"quantity": "1e3"},
        "quantity with spaces": {"quantity": " 3 "},
        "quantity in hexadecimal": {"quantity": "0x10"},
        "quantity with an underscore": {"quantity": "1_000"},
        "no unit_price": {"unit_price": ""},
        "unit_price below 0": {"unit_price": "-0.01"},
        "unit_price of three decimals": {"unit_price": "1.239"},
        "unit_price with a comma": {"unit_price": "12,50"},
        "unit_price with a currency": {"unit_price": "€9.90"},
        "unit_price beyond decimal(18,2)": {"unit_price": "12345678901234567.00"},
        "discount_amount below 0": {"discount_amount": "-5.00"},
        "discount_amount of three decimals": {"discount_amount": "0.125"},
        "discount_amount in words": {"discount_amount": "n/a"},
        "no currency": {"currency": ""},
        "currency of no country": {"currency": "ABC"},
        "currency in lower case": {"currency": "eur"},
        "no sold_at": {"sold_at": ""},
        "sold_at without a time": {"sold_at": f"{day:%Y-%m-%d}"},
        "sold_at day first": {"sold_at": f"{day:%d/%m/%Y} 10:00:00"},
        "sold_at of no calendar": {"sold_at": "2023-02-30T10:00:00Z"},
        "sold_at of no clock": {"sold_at": f"{day:%Y-%m-%d}T24:00:00Z"},
        "sold_at of no offset": {"sold_at": f"{day:%Y-%m-%d}T10:00:00+99:00"},
        "sold_at too late": {"sold_at": after},
        "no updated_at": {"updated_at": ""},
        "updated_at of no type": {"updated_at": "yesterday"},
        "updated_at too late": {"updated_at": after},
        "two reasons": {"quantity": "0", "currency": "ABC"},
        "every reason at once": dict.fromkeys(COLUMNS, "") | {"discount_amount": "free"},
    }


# The kinds of rejected rows; a file has one row of each.
REJECTED = tuple(_rejected(datetime(2024, 1, 1, tzinfo=UTC)))


def _at(day: date, seconds: float) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(seconds=int(seconds))


def _keys(day: date) -> int:
    return (day - date.fromisoformat(GOOD_DAYS[0])).days * KEYS_A_DAY + 1_000_000


def _new_sale(random: Random, number: int, sold_at: datetime) -> Sale:
    store = random.choice(STORES)
    product_id, dollars = random.choices(PRODUCTS, weights=range(len(PRODUCTS), 0, -1))[0]
    is_return = random.random() < 0.03
    quantity = random.choices((1, 2, 3, 5, 12), weights=(70, 15, 8, 5, 2))[0]
    unit_price = round(dollars * store.rate * random.choice((1, 1, 1, 0.95, 1.05)), 2)
    has_discount = not is_return and random.random() < 0.15
    return Sale(
        number=number,
        store=store,
        customer_id="" if random.random() < 0.2 else f"C{random.randint(1, 4_000):05}",
        product_id=product_id,
        quantity=-quantity if is_return else quantity,
        unit_price=unit_price,
        discount_amount=round(quantity * unit_price * random.choice((0.05, 0.1, 0.2)), 2) if has_discount else 0,
        sold_at=sold_at,
        updated_at=sold_at + timedelta(seconds=random.choice((0, 0, 0, 30, 300))),
    )


@cache
def _own_sales(day: date) -> tuple[Sale, ...]:
    """The sales first sent on a day, in the order of their keys: a few late ones of the day before, then its own."""
    random = Random(f"sales of {day}")
    late = sorted(random.uniform(-7_200, 0) for _ in range(LATE))
    own = sorted(random.uniform(0, 86_000) for _ in range(SALES))
    return tuple(_new_sale(random, _keys(day) + n, _at(day, seconds)) for n, seconds in enumerate(late + own))


def _corrected(random: Random, sale: Sale, updated_at: datetime) -> Sale:
    """Another version of a sale; some move it to another day, or to another store and with it to another currency."""
    change = random.choice(("quantity", "price", "discount", "customer", "store", "day"))
    store = random.choice(STORES)
    exchange = store.rate / sale.store.rate
    changes = {
        "quantity": {"quantity": sale.quantity + 1 or 1},
        "price": {"unit_price": round(sale.unit_price * 1.1, 2)},
        "discount": {"discount_amount": round(sale.unit_price * 0.1, 2)},
        "customer": {"customer_id": f"C{random.randint(1, 4_000):05}"},
        "store": {
            "store": store,
            "unit_price": round(sale.unit_price * exchange, 2),
            "discount_amount": round(sale.discount_amount * exchange, 2),
        },
        "day": {"sold_at": sale.sold_at - timedelta(days=1)},
    }[change]
    return replace(sale, **changes, updated_at=updated_at)


def _corrections(random: Random, day: date) -> Iterator[Sale]:
    """What a file says of the two days before: corrections, and some versions that are older than what was sent."""
    for days in (1, 2):
        earlier = day - timedelta(days=days)
        if earlier >= date.fromisoformat(GOOD_DAYS[0]):
            sample = random.sample(_own_sales(earlier), CORRECTED + OUTDATED)
            for sale in sample[:CORRECTED]:
                yield _corrected(random, sale, _at(day, random.uniform(0, 80_000)))
            for sale in sample[CORRECTED:]:
                yield _corrected(random, sale, sale.updated_at - timedelta(seconds=60))


def _repeats(random: Random, sales: tuple[Sale, ...]) -> Iterator[Sale]:
    """Rows whose sale stands in the file already: the same once more, older versions, and versions of the same time."""
    sample = random.sample(sales, REPEATED + OUTDATED + TIED)
    yield from sample[:REPEATED]
    for sale in sample[REPEATED : REPEATED + OUTDATED]:
        yield _corrected(random, sale, sale.updated_at - timedelta(seconds=60))
    for sale in sample[REPEATED + OUTDATED :]:
        yield replace(sale, unit_price=sale.unit_price + 1)


def _rejects(random: Random, day: date) -> Iterator[dict[str, str]]:
    sales = random.sample(_own_sales(day), len(REJECTED))
    for number, (sale, broken) in enumerate(zip(sales, _rejected(_at(day, 0)).values(), strict=True)):
        yield replace(sale, number=_keys(day) + SALES + LATE + number).record() | broken


def _records(day: date) -> list[dict[str, str]]:
    random = Random(f"file of {day}")
    sales = _own_sales(day)
    records = [sale.record() for sale in sales]
    for extra in [*(sale.record() for sale in _corrections(random, day)), *_rejects(random, day)]:
        records.insert(random.randrange(len(records)), extra)
    # Behind what they repeat, so that an older version follows a newer one.
    return records + [sale.record() for sale in _repeats(random, sales)]


def _csv(records: Iterable[dict[str, str]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def day_file(day: str) -> bytes:
    """The good file of a day, 2024-01-01 or later."""
    return _csv(_records(date.fromisoformat(day))).encode()


def restated_first_day() -> bytes:
    """The first day's file as its sender corrects it: some rows are gone, some changed, some new.

    Of some that are gone, the second day's file has an older version, which then comes back.
    """
    day, next_day = (date.fromisoformat(day) for day in GOOD_DAYS[:2])
    random = Random("restated")
    later = _corrections(Random(f"file of {next_day}"), next_day)
    coming_back = [sale.number for sale in later if sale.updated_at < _at(next_day, 0)][:10]
    others = sorted({sale.number for sale in _own_sales(day)} - set(coming_back))
    numbers = coming_back + random.sample(others, 170)
    gone, changed = {f"S{number:010}" for number in numbers[:60]}, set(numbers[60:])
    new_versions = {
        f"S{sale.number:010}": _corrected(random, sale, sale.updated_at + timedelta(hours=1)).record()
        for sale in _own_sales(day)
        if sale.number in changed
    }
    first_new = _keys(day) + KEYS_A_DAY - 40
    new = [_new_sale(random, first_new + n, _at(day, 86_000 + 8 * n)).record() for n in range(40)]
    records = [record for record in _records(day) if record["sale_id"] not in gone]
    return _csv([new_versions.get(record["sale_id"], record) for record in records] + new).encode()


def malformed_day() -> bytes:
    """A file of good rows but one, whose quote is never closed."""
    records = _records(date.fromisoformat(MALFORMED_DAY))
    before, after = records[: MALFORMED_RECORD - 2], records[MALFORMED_RECORD - 1 :]
    broken = records[MALFORMED_RECORD - 2] | {"store_id": "web", "product_id": "UNCLOSED"}
    # Nothing behind it has a quote: what is read as one field then runs to the end of the file.
    after = [record for record in after if not any(set(value) & set(',"\n') for value in record.values())]
    return _csv([*before, broken, *after]).replace(",UNCLOSED,", ',"monitor 27,').encode()
