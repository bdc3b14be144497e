"""Files of tables, by the day or the hour."""

from datetime import date

from support.reference import CUSTOMERS, INVENTORY, ORDERS, PRICES, PRODUCTS, Feed

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
# The rows of a key that is deleted, and of one that a later extract lacks.
DELETED = {"updated_at": LATE, "is_deleted": "true"}
GONE = {"product_id": "gone"}


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


def path_of(feed: Feed, day: date) -> str:
    return f"raw/{feed.name}/{day}/07/{feed.name}.csv"


ORDER = "{key},C1,P1,{quantity},{total},EUR,placed,2024-01-05T08:00:00Z,2024-01-05T{hour}:00:00Z"
HEADER = "order_id,customer_id,product_id,quantity,order_total,currency,status,ordered_at,updated_at"


def orders(
    hour: int, size: int = 20, header: str = HEADER, quantity: str = "1", total: str = "2.50"
) -> dict[str, bytes]:
    """A file of orders; each hour's has orders of its own."""
    rows = [ORDER.format(key=f"O{hour}-{number}", quantity=quantity, total=total, hour=hour) for number in range(size)]
    return {f"raw/orders/2024-01-05/{hour}/orders.csv": "\n".join([header, *rows, ""]).encode()}
