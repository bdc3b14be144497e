"""What tables promise beyond sales: deletions, keys of two columns, extracts. Each guard, taken out, is missed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest
from reference import CUSTOMERS, INVENTORY, ORDERS, PRICES, PRODUCTS, Feed, Reference
from warehouse import Project, Warehouse, compare, compare_tables

FIRST, SECOND, THIRD = date(2024, 1, 1), date(2024, 1, 2), date(2024, 1, 3)
EARLY, LATE, LATEST = (f"{day}T11:00:00Z" for day in (FIRST, SECOND, THIRD))
PLAIN = {
    CUSTOMERS: {"name": "Ann", "email": "ann@example.org", "country": "DE", "signed_up_at": "2023-05-01T00:00:00Z"},
    PRICES: {"country": "DE", "unit_price": "1.00"},
    INVENTORY: {"warehouse_id": "W1", "quantity_on_hand": "5"},
    PRODUCTS: {"name": "A product", "category": "things", "unit_price": "1.00", "is_active": "true"},
    ORDERS: {
        "customer_id": "C",
        "product_id": "P",
        "quantity": "1",
        "order_total": "1.00",
        "currency": "EUR",
        "status": "placed",
        "ordered_at": EARLY,
    },
}


def table(feed: Feed, *rows: dict[str, str], size: int = 0) -> bytes:
    """A file of plain rows, and behind them the given ones."""
    plain = [{feed.key[0]: f"plain-{number}"} for number in range(size)]
    lines = [",".join(feed.names)]
    for row in (*plain, *rows):
        values = {"updated_at": EARLY} | PLAIN[feed] | row
        lines.append(",".join(values.get(name, "") for name in feed.names))
    return "\n".join([*lines, ""]).encode()


def customers(*rows: dict[str, str]) -> bytes:
    return table(CUSTOMERS, *({"customer_id": "x"} | row for row in rows), size=1)


def prices(*rows: dict[str, str]) -> bytes:
    return table(PRICES, *({"product_id": "x"} | row for row in rows))


def stock(size: int, *rows: dict[str, str]) -> bytes:
    return table(INVENTORY, *rows, size=size)


@dataclass(frozen=True)
class Load:
    """What comes, by the day of its file; what is released before; and the day that is loaded, if not all."""

    files: dict[date, bytes] = field(default_factory=dict)
    released: tuple[date, ...] = ()
    day: date | None = None
    options: tuple[str, ...] = ()
    # Whether a release waits for the load of its day: what is measured of the file tells of it at once.
    waits: bool = False


DELETED = {"updated_at": LATE, "is_deleted": "true"}
GONE, MALFORMED = {"product_id": "gone"}, b'"'
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


def path_of(feed: Feed, day: date) -> str:
    return f"raw/{feed.name}/{day}/07/{feed.name}.csv"


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


@pytest.mark.parametrize("name", HISTORIES)
def test_the_project_at_hand_tells_each_history_right(project_with_prices: Project, tmp_path: Path, name: str) -> None:
    tell(project_with_prices, tmp_path / "warehouse", name)


# The history that shows it, the macro, and old and new text.
SABOTAGES: dict[str, tuple[str, str, dict[str, str]]] = {
    "deletions forgotten": (
        "an older version comes after a deletion",
        "models/marts/tables/customers.sql",
        {"where not is_deleted": ""},
    ),
    "keys that an extract lacks stay": (
        "a key is gone from the next extract",
        "collect_extract",
        {"    true as leaves\n": "    winners.source_file is not null as leaves\n"},
    ),
    "the volume check off": (
        "an extract loses half, and the next one more",
        "judge_landing",
        {"when judged.has_shrunk then": "when false then"},
    ),
    "a key by its first column": (
        "one of two keys that begin alike changes",
        "same_key",
        {"for column in key -%}{%- do conditions": "for column in key[:1] -%}{%- do conditions"},
    ),
}
MORE_SABOTAGES = {
    "the last to come is the newest extract": (
        "an older extract comes later",
        "newest_extract",
        {" ~ ')' if plan.replaced != 'null' }}": " ~ ')' }}"},
    ),
    "extracts judged anew": (
        "an extract would shrink by now",
        "has_shrunk",
        {"and judged_before.valid is not null": "and false"},
    ),
    "an extract by what passed, not by what is in force": (
        "a released extract waits for its day",
        "newest_extract",
        {
            "or landing_id in ({{ landings_in_force(ref('load_ledger'), feed.name) }})": (
                "or landing_id in ("
                "select landing_id from ({{ passed_landings(ref('file_verdicts'), feed.name) }}) as passed)"
            )
        },
    ),
    "history of what is deleted": (
        "what was deleted comes again",
        "models/marts/tables/customers_history.sql",
        {"where not is_deleted": ""},
    ),
}


@pytest.mark.parametrize("name", [*SABOTAGES, *(pytest.param(name, marks=pytest.mark.long) for name in MORE_SABOTAGES)])
def test_sabotage_shows(project_with_prices: Project, tmp_path: Path, name: str) -> None:
    history, place, changes = (SABOTAGES | MORE_SABOTAGES)[name]
    copy = project_with_prices.copy(tmp_path / "project")
    patch = copy.patch if "/" in place else copy.patch_macro
    patch(place, changes)
    with pytest.raises(AssertionError) as found:
        tell(copy, tmp_path / "warehouse", history)
    assert "has changed" not in str(found.value)
    assert "missing:" in str(found.value) or "surplus:" in str(found.value)
