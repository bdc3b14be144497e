"""Random histories: sets of files over a few days, and the ways in which they come.

One `dbt build` costs about a second whatever it loads. So several histories, each a universe with keys, stores and file
names of its own, share a warehouse, and each of their steps is loaded by one build.

What a file holds is drawn as numbers that are taken apart, a number a row: that keeps hypothesis fast and able to
shrink, and 0 is always the plainest thing.
"""

import csv
import gzip
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from hypothesis import strategies as st

from support.reference import COLUMNS, CUSTOMERS, INVENTORY, PRICES, SALES, Feed

FIRST_DAY = date(2024, 1, 5)
DAYS = 3
NAMES = ("sales_export.csv", "late.csv", "again.csv.gz")
Files = dict[str, bytes]

QUANTITIES = ("1", "2", "-1", "+2", "007", "1000000000", "-1000000000")
AMOUNTS = ("1.50", "1.5", "0", "2", "9999999999999999.99")
DISCOUNTS = ("", "0", "0.25", "0.00")
BUYERS = ("", "C1", "Zoë", "C2")
PRODUCTS = ("P1", "P2", 'a "quoted", one', "two\nlines")
CURRENCIES = ("EUR", "USD")
TIME_FORMS = ("Z", "", "+02:00", "-05:30", " ")
# When a sale was made: days before the file's day, and the time of day, the ends of the accepted days included.
SOLD = (
    (0, "12:00:00"),
    (0, "00:00:00"),
    (1, "00:00:00"),
    (2, "10:00:00"),
    (1, "23:59:59.999999"),
    (-1, "00:00:00"),
    (-1, "23:59:59.999999"),
    (3, "01:00:00"),
)
# Ways to break the contract: values to put in, as (column, value); a number of days is that long after the file's day.
BREAKS = (
    {"sale_id": ""},
    {"store_id": ""},
    {"product_id": ""},
    {"currency": ""},
    {"sold_at": ""},
    {"updated_at": ""},
    {"quantity": ""},
    {"unit_price": ""},
    *({"quantity": value} for value in ("0", "-0", "1.5", "1e3", " 1", "1_000", "0x10", "1000000001", "-1000000001")),
    *({"quantity": value} for value in ("99999999999999999999", "3000000000", "one", "1.0")),
    *({"unit_price": value} for value in ("-0.01", "1.239", "1e2", "5.", ".5", "1_0.5", "12345678901234567", "1,5")),
    *({"discount_amount": value} for value in ("-1", "free", "0.001", " ")),
    *({"currency": value} for value in ("eur", "XXY", "EURO", " EUR")),
    *({"sold_at": value} for value in ("2024-01-05", "2024-02-30T10:00:00Z", "2024-01-05T24:00:00Z", "epoch")),
    *({"updated_at": value} for value in ("2024-1-5 1:2:3", "infinity", "2024-01-05T10:00:00+99:00", "now")),
    {"updated_at": "2024-01-05T10:00:00 Z"},
    {"sold_at": 2},
    {"updated_at": 2},
    {"sold_at": 9, "quantity": "none", "currency": "?"},
)


@dataclass(frozen=True)
class Layout:
    """How the rows are written."""

    reordered: bool = False
    extra: bool = False
    bom: bool = False
    crlf: bool = False
    quoted: bool = False
    blank_lines: bool = False
    unended: bool = False


@dataclass(frozen=True)
class FileContent:
    """What a file holds, before it is written."""

    day: int
    rows: tuple[int, ...] = ()
    # Plain good rows, of keys that all files share: they make room for rejected rows within the rate.
    padding: int = 0
    layout: Layout = Layout()
    malformed: str | None = None

    def write(self, universe: str, zipped: bool, feed: Feed = SALES) -> bytes:
        """The bytes of the file."""
        day = FIRST_DAY + timedelta(days=self.day)
        sample = SAMPLES.get(feed)
        pad, make = (sample.padding_row, sample.row_of) if sample else (padding_row, row_of)
        rows = [pad(universe, number, day) for number in range(self.padding)]
        # Among the others, not behind them.
        for number, row in enumerate(self.rows):
            rows.insert(len(rows) * number // len(self.rows), make(row, universe, day))
        text = write_rows(rows, self.layout, feed)
        if self.malformed:
            text = MALFORMED[self.malformed](text, self.layout)
        if self.malformed == "broken gzip":
            return gzip.compress(text, mtime=0)[:-9] if zipped else b"\x1f\x8b" + text
        return gzip.compress(text, mtime=0) if zipped else text


def take(number: int, choices: Sequence) -> tuple[int, object]:
    rest, place = divmod(number, len(choices))
    return rest, choices[place]


def timestamp(moment: datetime, form: str) -> str:
    """A UTC moment in one of the accepted forms."""
    if form == " ":
        return moment.isoformat(sep=" ")
    if form in ("", "Z"):
        return moment.isoformat() + form
    hours, minutes = int(form[:3]), int(form[0] + form[4:])
    return (moment + timedelta(hours=hours, minutes=minutes)).isoformat() + form


def row_of(number: int, universe: str, day: date) -> dict[str, str]:
    """The row that a number stands for; few keys and few versions, so that they meet."""
    number, broken = take(number, (False,) * 7 + (True,))
    number, key = take(number, range(5))
    number, version = take(number, range(4))
    number, (days_before, clock) = take(number, SOLD)
    number, sold_form = take(number, TIME_FORMS)
    number, updated_form = take(number, TIME_FORMS)
    number, quantity = take(number, QUANTITIES)
    number, price = take(number, AMOUNTS)
    number, discount = take(number, DISCOUNTS)
    number, customer = take(number, BUYERS)
    number, product = take(number, PRODUCTS)
    number, store = take(number, "AB")
    number, currency = take(number, CURRENCIES)
    sold_at = datetime.combine(day - timedelta(days=days_before), time.fromisoformat(clock))
    updated_at = datetime.combine(FIRST_DAY, time()) + timedelta(hours=version)
    row = {
        "sale_id": f"{universe}-{key}",
        "store_id": f"{universe}-{store}",
        "customer_id": customer,
        "product_id": product,
        "quantity": quantity,
        "unit_price": price,
        "discount_amount": discount,
        "currency": currency,
        "sold_at": timestamp(sold_at, sold_form),
        "updated_at": timestamp(updated_at, updated_form),
    }
    if broken:
        number, values = take(number, BREAKS)
        for column, value in values.items():
            late = day + timedelta(days=value) if isinstance(value, int) else None
            row[column] = f"{late}T00:00:00Z" if late else value
    return row


ROWS = 8 * 5 * 4 * len(SOLD) * 25 * len(QUANTITIES) * len(AMOUNTS) * 4**3 * 4 * len(BREAKS)


def padding_row(universe: str, number: int, day: date) -> dict[str, str]:
    values = (f"{universe}+{number:02}", f"{universe}-P", "", "P", "1", "1.00", "", "EUR", f"{day}T09:00:00Z")
    # One in three has a newer version every day, of the others the greater content wins.
    updated = day if number % 3 == 0 else FIRST_DAY
    return dict(zip(COLUMNS, (*values, f"{updated}T09:30:00Z"), strict=True))


@dataclass(frozen=True)
class Sample:
    """What the rows of a table's feed are made of; @ is the universe."""

    # Few keys and few values, so that they meet; the first ones are those of padding.
    values: Mapping[str, Sequence[str]]
    breaks: Sequence[Mapping[str, str | int]]

    @property
    def numbers(self) -> int:
        """How many numbers stand for different rows."""
        return 8 * 4 * len(TIME_FORMS) * math.prod(map(len, self.values.values())) * len(self.breaks)

    def row_of(self, number: int, universe: str, day: date) -> dict[str, str]:
        number, broken = take(number, (False,) * 7 + (True,))
        number, version = take(number, range(4))
        number, form = take(number, TIME_FORMS)
        row = {}
        for column, choices in self.values.items():
            number, value = take(number, choices)
            row[column] = value.replace("@", universe)
        row["updated_at"] = timestamp(datetime.combine(FIRST_DAY, time()) + timedelta(hours=version), form)
        if broken:
            number, values = take(number, self.breaks)
            for column, value in values.items():
                row[column] = f"{day + timedelta(days=value)}T00:00:00Z" if isinstance(value, int) else value
        return row

    def padding_row(self, universe: str, number: int, day: date) -> dict[str, str]:
        row = {column: choices[0].replace("@", universe) for column, choices in self.values.items()}
        row[next(iter(row))] = f"{universe}+{number:02}"
        return row | {"updated_at": f"{day if number % 3 == 0 else FIRST_DAY}T09:30:00Z"}


DELETED = ("", "false", "true", "TRUE")
BAD_TIMES = (
    {"updated_at": ""},
    {"updated_at": "2024-01-05"},
    {"updated_at": 2},
    {"is_deleted": "yes"},
    {"is_deleted": "1"},
)
SAMPLES = {
    CUSTOMERS: Sample(
        {
            "customer_id": ("@-0", "@-1", "@-2"),
            "name": ("Ann", "Zoë", "two\nlines"),
            "email": ("ann@example.org",),
            "country": ("DE", "FR"),
            "signed_up_at": ("2023-05-01T00:00:00Z", "2023-05-01T02:00:00+02:00", "2023-05-02 00:00:00"),
            "cancelled_at": ("", "2023-05-02T00:00:00Z", "2024-01-01T00:00:00Z"),
            "is_deleted": DELETED,
        },
        (
            *({column: ""} for column in ("customer_id", "name", "email", "country", "signed_up_at")),
            {"country": "DEU"},
            {"cancelled_at": "2023-04-30T23:59:59Z"},
            {"cancelled_at": "2023-04-30T23:59:59Z", "signed_up_at": "soon"},
            *BAD_TIMES,
        ),
    ),
    PRICES: Sample(
        {
            "product_id": ("@-0", "@-1"),
            "country": ("DE", "FR"),
            "unit_price": ("1.50", "1.5", "2"),
            "is_deleted": DELETED,
        },
        ({"product_id": ""}, {"country": ""}, {"unit_price": "-1"}, {"unit_price": "1.505"}, *BAD_TIMES),
    ),
    INVENTORY: Sample(
        {
            "product_id": ("@-0", "@-1"),
            "warehouse_id": ("W1", "W2"),
            "quantity_on_hand": ("0", "7", "+7", "0012"),
            "is_deleted": DELETED,
        },
        ({"product_id": ""}, {"warehouse_id": ""}, {"quantity_on_hand": "-1"}, {"quantity_on_hand": "1.5"}, *BAD_TIMES),
    ),
}


def write_rows(rows: Sequence[dict[str, str]], layout: Layout, feed: Feed = SALES) -> bytes:
    columns = list(reversed(feed.names)) if layout.reordered else list(feed.names)
    if layout.extra:
        # One column too many, and none that a file may lack.
        optional = {column.name for column in feed.columns if column.optional}
        columns = [name for name in columns if name not in optional]
        rows = [{name: value for name, value in row.items() if name not in optional} for row in rows]
        columns.insert(3, "note")
        rows = [{**row, "note": "not, of the contract"} for row in rows]
    newline = "\r\n" if layout.crlf else "\n"
    file = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if layout.quoted else csv.QUOTE_MINIMAL
    writer = csv.DictWriter(file, columns, lineterminator=newline, quoting=quoting)
    writer.writeheader()
    for number, row in enumerate(rows):
        if layout.blank_lines and number % 3 == 1:
            file.write(newline)
        writer.writerow(row)
    text = file.getvalue()
    if layout.unended:
        text = text.removesuffix(newline)
    return text.encode("utf-8-sig" if layout.bom else "utf-8")


def with_last_line(line: bytes):
    """A way to break a file: a last line that breaks it, after a line break of the file's own kind."""

    def change(text: bytes, layout: Layout) -> bytes:
        newline = b"\r\n" if layout.crlf else b"\n"
        return text.removesuffix(newline) + newline + line + newline

    return change


def with_header(old: bytes, new: bytes):
    def change(text: bytes, layout: Layout) -> bytes:
        newline = b"\r\n" if layout.crlf else b"\n"
        header, _, rows = text.partition(newline)
        return header.replace(old, new) + newline + rows

    return change


GOOD_FIELDS = b"X1,S,C,P,1,1.00,0,EUR,2024-01-05T10:00:00Z,2024-01-05T10:00:00Z"
MALFORMED = {
    "unclosed quote": with_last_line(b'"' + GOOD_FIELDS),
    "quote that never closes, in front": lambda text, _: (
        text[: text.find(b"\n") + 1] + b'"' + text[text.find(b"\n") + 1 :]
    ),
    "a field more": with_last_line(GOOD_FIELDS + b",more,and,more"),
    "a field less": with_last_line(GOOD_FIELDS.removeprefix(b"X1,S,")),
    "not UTF-8": with_last_line(GOOD_FIELDS.replace(b",C,", b",Zo\xeb,")),
    "not UTF-8, cut off": lambda text, _: text + b"\xc3",
    "NUL": with_last_line(GOOD_FIELDS.replace(b",C,", b",C\0,")),
    "0 bytes": lambda *_: b"",
    "no column": with_header(b"quantity", b"amount"),
    "repeated column": with_header(b"store_id", b"sale_id"),
    "broken gzip": lambda text, _: text,
}


@dataclass(frozen=True)
class Step:
    """One load: which content each file has then, and how the load goes."""

    # Day of the run, or None for all.
    run_day: int | None
    # The model after which the load is killed before it is run again, and whether that was a full refresh.
    killed_after: str | None = None
    killed_in_refresh: bool = False
    # Whether files that have not changed are written again.
    anew: bool = False
    # Which of the held files of the run are released before it, in the order of their paths, a bit each.
    released: int = 0

    def releases(self, held: Iterable[str]) -> list[str]:
        """Those of some held files that are released."""
        ours = sorted(path for path in held if self.run_day is None or f"/{self.run_date}/" in path)
        return [path for place, path in enumerate(ours) if self.released >> place & 1]

    @property
    def run_date(self) -> date | None:
        return None if self.run_day is None else FIRST_DAY + timedelta(days=self.run_day)


@dataclass(frozen=True)
class History:
    """One universe: a pool of contents, and for each step the content of each file."""

    contents: tuple[FileContent, ...]
    # A number for each step and file.
    choices: tuple[tuple[int, ...], ...]
    feed: Feed = SALES

    def files(self, universe: str) -> list[Files]:
        """What stands in the landing zone at each step."""
        states, state = [], {}
        for choices in self.choices:
            state = dict(state)
            for place, choice in enumerate(choices):
                self._choose(state, place, choice, universe)
            states.append(state)
        return states

    def _choose(self, state: Files, place: int, choice: int, universe: str) -> None:
        day, name = place % DAYS, NAMES[place // DAYS]
        folder = f"raw/{self.feed.name}/{FIRST_DAY + timedelta(days=day)}"
        path = f"{folder}/{place:02}/{universe}-{name}" if self.feed.hourly else f"{folder}/{universe}-{name}"
        choice, what = take(choice, ("as it was", "lands", "lands", "lands", "lands", "lands", "any", "gone"))
        if what == "gone":
            state.pop(path, None)
        fitting = [content for content in self.contents if content.day == day]
        pool = self.contents if what == "any" else fitting
        if what in ("lands", "any") and pool:
            _, content = take(choice, pool)
            state[path] = content.write(universe, path.endswith(".gz"), self.feed)


@dataclass(frozen=True)
class Batch:
    """Histories that share a warehouse, and the steps that they have in common."""

    histories: tuple[History, ...]
    steps: tuple[Step, ...]
    # How the final files are grouped when they are landed once more elsewhere: (order, group).
    regrouping: int

    @property
    def feeds(self) -> tuple[Feed, ...]:
        return tuple(dict.fromkeys(history.feed for history in self.histories))

    def states(self) -> list[Files]:
        by_universe = [history.files(f"u{number:02}") for number, history in enumerate(self.histories)]
        return [
            {path: data for files in by_universe for path, data in files[step].items()}
            for step in range(len(self.steps))
        ]


# Which of the held files a step releases, as bits.
RELEASES = (0, 0, 0, 1, 2, 5, 7)
KILLS = {SALES: ("raw_sales", "typed_sales", "clean_sales", "load_metrics", "load_ledger", "daily_sales")} | {
    feed: tuple(f"{layer}_{feed.name}" for layer in ("raw", "typed", "newest")) for feed in SAMPLES
}
booleans = st.booleans()
# Plain layouts are as likely as all others together.
layouts = st.integers(0, 2**8 - 1).map(
    lambda bits: Layout(*(bool(bits & 2**place) for place in range(7))) if bits >= 2**7 else Layout()
)
malformed = st.integers(0, 6 * len(MALFORMED) - 1).map(lambda n: dict(enumerate(MALFORMED)).get(n - 5 * len(MALFORMED)))


def contents(feed: Feed) -> st.SearchStrategy[FileContent]:
    numbers = SAMPLES[feed].numbers if feed in SAMPLES else ROWS
    return st.builds(
        FileContent,
        day=st.integers(0, DAYS - 1),
        rows=st.lists(st.integers(0, numbers - 1), max_size=5).map(tuple),
        padding=st.sampled_from((0, 24, 24, 44)),
        layout=layouts,
        malformed=malformed,
    )


def histories(steps: int, feed: Feed = SALES) -> st.SearchStrategy[History]:
    choice = st.integers(0, 8 * 60 - 1)
    choices = st.tuples(*[st.tuples(*[choice] * (DAYS * len(NAMES) - 2))] * steps)
    drawn = st.lists(contents(feed), min_size=0, max_size=12).map(tuple)
    return st.builds(History, contents=drawn, choices=choices, feed=st.just(feed))


@st.composite
def batches(draw, size: int, feeds: tuple[Feed, ...] = (SALES,)) -> Batch:
    """Some histories of each feed with their steps; the last step loads all days."""
    kills = tuple(model for feed in feeds for model in KILLS[feed])
    count = draw(st.integers(2, 4))
    steps = [
        Step(
            run_day=draw(st.sampled_from((None, *range(DAYS)))),
            killed_after=draw(st.sampled_from((None, None, None, *kills))),
            killed_in_refresh=draw(st.sampled_from((False, False, False, True))),
            anew=draw(booleans),
            released=draw(st.sampled_from(RELEASES)),
        )
        for _ in range(count)
    ]
    last = Step(
        run_day=None, killed_after=draw(st.sampled_from((None, *kills))), released=draw(st.sampled_from(RELEASES))
    )
    steps.append(last)
    drawn = [
        history
        for feed in feeds
        for history in draw(st.lists(histories(len(steps), feed), min_size=size, max_size=size))
    ]
    return Batch(tuple(drawn), tuple(steps), draw(st.integers(0, 2**16)))


def has_files(batch: Batch) -> bool:
    """Hypothesis begins with the simplest batch, which has no file at all."""
    return sum(len(history.contents) > 1 for history in batch.histories) > len(batch.histories) / 2
