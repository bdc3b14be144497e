"""Three days whose runs meet: what was loaded before, and what they find."""

from datetime import date

from support.sales_files import CASES, file, row

DAYS = ONE, TWO, THREE = date(2024, 1, 5), date(2024, 1, 6), date(2024, 1, 7)


def path(day: date, name: str = "sales_export") -> str:
    return f"raw/sales/{day}/{name}.csv"


def small(day: date, prefix: str, *rows: str) -> bytes:
    return file(day, *rows, prefix=prefix, size=2)


def at(hour: int) -> str:
    return f"{ONE}T{hour:02}:00:00Z"


RETURNING = small(TWO, "again", row("c", ONE, updated_at=at(7)), row("a", ONE, updated_at=at(7)))
FIRST = {
    path(ONE): small(ONE, "one", row("a", ONE, updated_at=at(9)), row("b", ONE), row("c", ONE)),
    path(TWO): small(TWO, "two", row("a", TWO, updated_at=at(8)), row("d", TWO)),
    path(TWO, "again"): RETURNING,
}
# Loaded one after the other before the runs: one file of the second day is then restated badly, and held.
BEFORE = [FIRST, FIRST | {path(TWO, "again"): CASES["no fresh sale"].content(TWO)}]
# What the runs find: two files restated, without sales that others have, and one that comes back to its first content;
# corrections of the other days' sales, newer, older and by a tie, that move sales between days; a file that is held and
# one that is refused.
LANDED = {
    path(ONE): small(ONE, "one", row("b", ONE), row("d", ONE, updated_at=at(6))),
    path(ONE, "refused"): CASES["unclosed quote"].content(ONE),
    path(TWO): small(TWO, "two", row("b", TWO, updated_at=at(11)), row("e", ONE)),
    path(TWO, "again"): RETURNING,
    path(THREE): small(
        THREE,
        "three",
        row("b", THREE, updated_at=at(11), quantity="3"),
        row("e", TWO, updated_at=at(12)),
        row(f"one-{ONE}-0", TWO, updated_at=at(12)),
        row("d", THREE, updated_at=at(5)),
    ),
    path(THREE, "held"): CASES["header only"].content(THREE),
}
