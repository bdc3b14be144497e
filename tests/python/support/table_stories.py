"""Stories of tables: what comes one after the other, and what shows whether it is told right."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from support.reference import CUSTOMERS, INVENTORY, PRICES, Feed, Reference
from support.table_files import (
    DELETED,
    EARLY,
    FIRST,
    GONE,
    LATE,
    LATEST,
    SECOND,
    THIRD,
    customers,
    path_of,
    prices,
    stock,
)
from support.warehouse import Project, Warehouse, compare, compare_tables

MALFORMED = b'"'


@dataclass(frozen=True)
class Load:
    """What comes, by the day of its file; what is released before; and the day that is loaded, if not all."""

    files: dict[date, bytes] = field(default_factory=dict)
    released: tuple[date, ...] = ()
    day: date | None = None
    options: tuple[str, ...] = ()
    # Whether a release waits for the load of its day: what is measured of the file tells of it at once.
    waits: bool = False


HISTORIES: dict[str, tuple[Feed, list[Load]]] = {
    "an older version comes after a deletion": (
        CUSTOMERS,
        [Load({SECOND: customers(DELETED)}), Load({FIRST: customers({"updated_at": EARLY})})],
    ),
    "a deletion is restated away": (
        CUSTOMERS,
        [
            Load({FIRST: customers({"updated_at": EARLY}), SECOND: customers(DELETED)}),
            Load({SECOND: customers()}),
        ],
    ),
    "what was deleted comes again": (
        CUSTOMERS,
        [
            Load({FIRST: customers({"updated_at": EARLY})}),
            Load({SECOND: customers(DELETED)}),
            Load({THIRD: customers({"updated_at": LATEST})}),
        ],
    ),
    "one of two keys that begin alike changes": (
        PRICES,
        [
            Load({FIRST: prices({"country": "DE"}, {"country": "FR"})}),
            Load({SECOND: prices({"country": "FR", "unit_price": "2.00", "updated_at": LATE})}),
            Load({SECOND: prices({"country": "FR", **DELETED})}),
        ],
    ),
    "a key is gone from the next extract": (
        INVENTORY,
        [Load({FIRST: stock(9, GONE)}), Load({SECOND: stock(9)})],
    ),
    "an older extract comes later": (
        INVENTORY,
        [Load({SECOND: stock(9)}), Load({FIRST: stock(9, GONE)})],
    ),
    "an extract loses half, and the next one more": (
        INVENTORY,
        [Load({FIRST: stock(10)}), Load({SECOND: stock(5)}), Load({THIRD: stock(2)}), Load(released=(THIRD,))],
    ),
    "an extract would shrink by now": (
        INVENTORY,
        [
            Load({FIRST: stock(4), SECOND: stock(4)}),
            Load({FIRST: stock(9)}),
            Load({SECOND: MALFORMED}),
            Load({SECOND: stock(4)}),
            Load(options=("--full-refresh",)),
        ],
    ),
    "a released extract waits for its day": (
        INVENTORY,
        [
            Load({SECOND: stock(9)}),
            Load({FIRST: stock(9), SECOND: stock(2)}),
            Load({FIRST: stock(8)}, released=(SECOND,), day=FIRST, waits=True),
            Load(),
        ],
    ),
}


def tell(project: Project, folder: Path, name: str, kind: Callable[..., Warehouse] = Warehouse) -> None:
    feed, loads = HISTORIES[name]
    warehouse, expected = kind(project, folder, feeds=(feed,)), Reference(feeds=(feed,))
    for load in loads:
        for path in (path_of(feed, day) for day in load.released):
            expected.release(path)
            assert not warehouse.release(path).broken
        warehouse.land(warehouse.landed | {path_of(feed, day): data for day, data in load.files.items()})
        expected.load(warehouse.landed, load.day)
        built = warehouse.build(*load.options, run_date=load.day)
        if load.waits:
            names = (feed.in_prod, "prod.load_ledger")
            compare_tables(
                *({name: tables[name] for name in names} for tables in (expected.tables(), warehouse.tables()))
            )
        else:
            compare(expected, warehouse, built, load.day)
