"""Random histories of a landing zone.

A build costs a second whatever it loads, so that several histories share one warehouse and one build: each has a year
of file dates and a prefix of keys to itself.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from datetime import date

from hypothesis import strategies as st
from reference import COLUMNS

FIRST_YEAR = 2001
DAYS = (1, 2, 3)
NAMES = ("sales_export.csv", "late.csv", "z.csv.gz")

GOOD = {
    "store_id": ("A", "B", '"C, the\nlast"'),
    "customer_id": ("", "C1", "C2"),
    "quantity": ("1", "2", "-1", "+3", "1000000000"),
    "unit_price": ("0", "2.5", "9999999999999999.99", "1.10"),
    "discount_amount": ("", "0", "0.10"),
    "currency": ("EUR", "USD"),
}
BAD = {
    "sale_id": ("",),
    "store_id": ("",),
    "product_id": ("",),
    "quantity": ("", "0", "x", "1.5", "1_0", "1e3", " 1", "1000000001", "0x10"),
    "unit_price": ("", "-0.01", "1.239", "1e2", ".5", "5."),
    "discount_amount": ("-1", "0.001", "x"),
    "currency": ("", "eur", "XXX"),
    "sold_at": ("", "{year}-01-01", "{year}-02-30T10:00:00Z", "{year}-01-09T00:00:00Z", "{year}-01-01T24:00:00Z", "epoch"),
    "updated_at": ("", "{year}-01-09T00:00:00Z", "{year}-1-1 1:2:3"),
}
ZONES = ("Z", "", "+02:00", "-05:30", ".250Z")
FORMS = ("plain", "plain", "bom", "crlf", "reordered", "extra", "no last newline", "blank lines")
MALFORMED = ("unclosed quote", "short row", "long row", "latin", "nul", "missing column", "repeated column", "nothing")


@dataclass(frozen=True)
class Step:
    """Files that land, None for one that vanishes; then the loads: of a day, or of all for None."""

    files: dict[str, bytes | None]
    days: tuple[date | None, ...] = (None,)


@st.composite
def rows(draw, year: int, prefix: str, day: int) -> dict[str, str]:
    """One row of a file: few keys and few times, so that versions meet and tie."""
    row = {name: draw(st.sampled_from(values)) for name, values in GOOD.items()}
    row["sale_id"] = f"{prefix}{draw(st.integers(0, 5))}"
    row["product_id"] = "P"
    sold, hour = draw(st.integers(1, day + 1)), draw(st.integers(0, 2))
    row["sold_at"] = f"{year}-01-{sold:02}T1{hour}:00:00{draw(st.sampled_from(ZONES))}"
    row["updated_at"] = f"{year}-01-{draw(st.integers(1, day)):02} 2{hour}:00:00Z"
    return row


@st.composite
def contents(draw, year: int, prefix: str, day: int, zipped: bool) -> bytes:
    """The bytes of a file: good, with rejected rows within or beyond the rate, stale, empty, or malformed."""
    found = draw(st.lists(rows(year, prefix, day), max_size=5))
    # Rows that meet no other keep rejected ones within the rate and the file fresh.
    fillers = draw(st.sampled_from((0, 20, 20, 40)))
    for number in range(fillers):
        moment = f"{year}-01-{day:02}T12:00:00Z"
        found.append(dict(zip(COLUMNS, (f"{prefix}f{day}-{number}", "A", "", "P", "1", "1", "0", "EUR", moment, moment))))
    for _ in range(draw(st.sampled_from((0, 0, 1, 2)))):
        bad = draw(rows(year, prefix, day))
        name = draw(st.sampled_from(sorted(BAD)))
        bad[name] = draw(st.sampled_from(BAD[name])).format(year=year)
        found.append(bad)
    if found and draw(st.booleans()):
        found.append(draw(st.sampled_from(found)))
    form = draw(st.sampled_from((*FORMS, *FORMS, "malformed")))
    data = written(found, draw(st.sampled_from(MALFORMED)) if form == "malformed" else form)
    return gzip.compress(data, mtime=0) if zipped else data


def written(found: list[dict[str, str]], form: str = "plain") -> bytes:
    """Rows as a file of some form. Values that need quotes have them."""
    names = list(reversed(COLUMNS)) if form == "reordered" else [*COLUMNS, "note"] if form == "extra" else list(COLUMNS)
    lines = [",".join(row.get(name, "n") for name in names) for row in found]
    if form == "missing column":
        names = names[1:]
    elif form == "repeated column":
        names = [*names, names[0]]
    elif form == "unclosed quote":
        lines.append('"' + ",".join("x" for _ in names))
    elif form == "short row":
        lines.append("x,y")
    elif form == "long row":
        lines.append(",".join("x" for _ in range(len(names) + 1)))
    elif form == "nothing":
        return b""
    if form == "blank lines":
        lines = [text for line in lines for text in (line, "")]
    newline = "\r\n" if form == "crlf" else "\n"
    lines = [line.replace("\n", newline) for line in lines]
    text = newline.join([",".join(names), *lines]) + ("" if form == "no last newline" else newline)
    if form == "nul":
        text += "\0"
    if form == "latin":
        return text.encode() + b"caf\xe9"
    return (b"\xef\xbb\xbf" if form == "bom" else b"") + text.encode()


@st.composite
def histories(draw, year: int) -> list[dict[str, bytes | None]]:
    """What lands, step by step, in one year: new files, restated ones, copies, some back to what they were."""
    prefix, past, steps = f"{year}-", [], []
    for _ in range(draw(st.integers(1, 3))):
        files: dict[str, bytes | None] = {}
        for _ in range(draw(st.integers(1, 3))):
            day, name = draw(st.sampled_from(DAYS)), draw(st.sampled_from(NAMES))
            path = f"raw/sales/{year}-01-{day:02}/{name}"
            zipped = name.endswith(".gz")
            same = [data for other, data in past if other.endswith(".gz") == zipped]
            if same and draw(st.integers(0, 3)) == 0:
                files[path] = draw(st.sampled_from(same))
            else:
                files[path] = draw(contents(year, prefix, day, zipped))
            past.append((path, files[path]))
        if past and draw(st.integers(0, 9)) == 0:
            files[draw(st.sampled_from(past))[0]] = None
        steps.append(files)
    return steps


@st.composite
def shared_histories(draw, most: int = 8) -> list[Step]:
    """Up to `most` histories, their steps loaded together; some steps day by day, some more than once."""
    count = draw(st.integers(1, most))
    years = range(FIRST_YEAR, FIRST_YEAR + count)
    each = [draw(histories(year)) for year in years]
    steps = []
    for number in range(max(map(len, each))):
        files: dict[str, bytes | None] = {}
        for steps_of_one in each:
            files |= steps_of_one[number] if number < len(steps_of_one) else {}
        day = st.builds(date, st.sampled_from(list(years)), st.just(1), st.sampled_from(DAYS))
        order = draw(st.sampled_from(("all", "all", "days", "twice")))
        days = {"all": [None], "twice": [None, None], "days": draw(st.lists(day, min_size=1, max_size=2))}[order]
        steps.append(Step(files, tuple(days)))
    steps.append(Step({}))
    return steps


def count(steps: list[Step]) -> int:
    """The number of histories in some shared ones."""
    return len({path.split("/")[2][:4] for step in steps for path in step.files})
