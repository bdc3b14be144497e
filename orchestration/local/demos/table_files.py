"""Demo files of the tables, the same bytes every time: two hours of one day, and what comes after.

Customers and products are those of the demo sales. Of what is there, the second hour changes a part, deletes some, and
sends an order before its customer; the inventory, a whole extract each time, loses a product.
"""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from random import Random

from orchestration.local.demos.sales_files import PRODUCTS

DAY = datetime(2024, 1, 3, tzinfo=UTC)
CUSTOMERS, ORDERS = 4_000, 300
COUNTRIES = ("GB", "FR", "DE", "CH", "US", "JP")
WAREHOUSES = ("north", "south", "east")
STATUSES = ("placed", "shipped", "delivered", "cancelled", "returned")


def path(table: str, hour: int) -> str:
    """Where the file of a table and hour of the demo's day lands."""
    return f"raw/{table}/{DAY:%Y-%m-%d}/{hour:02}/{table}.csv"


def first_hour() -> dict[str, bytes]:
    """The first files of all tables, by path."""
    return {
        path("customers", 0): _csv(_customer(number, 0) for number in range(1, CUSTOMERS + 1)),
        path("products", 0): _csv(_product(number, 0) for number in range(len(PRODUCTS))),
        path("orders", 0): _csv(_order(number, 0) for number in range(ORDERS)),
        path("inventory", 0): _csv(_stock(range(len(PRODUCTS)), 0)),
    }


def second_hour() -> dict[str, bytes]:
    """What comes an hour later: changes, deletions, and an extract without the last product."""
    customers = [_customer(number, 1) for number in range(20, 60)]
    # Nobody of whom there is a sale or an order: those would be told as without their customer, day after day.
    customers += [_customer(number, 1) | {"is_deleted": "true"} for number in (127, 158, 207)]
    orders = [_order(number, 1) for number in range(200, 420)]
    return {
        path("customers", 1): _csv(customers),
        path("products", 1): _csv([_product(0, 1), _product(3, 1) | {"is_active": "false"}]),
        path("orders", 1): _csv([*orders, _order(420, 1) | {"customer_id": f"C{CUSTOMERS + 1:05}"}]),
        path("inventory", 1): _csv(_stock(range(len(PRODUCTS) - 1), 1)),
    }


def third_hour() -> dict[str, bytes]:
    """The customer whose order came first, and orders by a sender who has renamed a column."""
    renamed = _csv(_order(number, 2) for number in range(50)).replace(b",order_total,", b",total,")
    return {path("customers", 2): _csv([_customer(CUSTOMERS + 1, 2)]), path("orders", 2): renamed}


def mended_orders() -> dict[str, bytes]:
    """The orders of the third hour as they should have been."""
    return {path("orders", 2): _csv(_order(number, 2) for number in range(50))}


def _time(hour: int, random: Random) -> str:
    return (DAY + timedelta(hours=hour, seconds=random.randrange(3_600))).isoformat()


def _customer(number: int, hour: int) -> dict[str, str]:
    once, random = Random(f"customer {number}"), Random(f"customer {number} at {hour}")
    signed_up = DAY - timedelta(days=once.randrange(30, 900))
    return {
        "customer_id": f"C{number:05}",
        "name": f"Customer {number}" if not hour else f"Customer {number}, formerly another",
        "email": f"customer{number}@example.com",
        "country": random.choice(COUNTRIES),
        "signed_up_at": signed_up.isoformat(),
        "cancelled_at": "",
        "updated_at": _time(hour, random),
        "is_deleted": "",
    }


def _product(number: int, hour: int) -> dict[str, str]:
    product_id, price = PRODUCTS[number]
    return {
        "product_id": product_id,
        "name": product_id.replace("-", " ").replace("\n", " ").title(),
        "category": ("home", "office", "travel")[number % 3],
        "unit_price": f"{price * (1 + hour / 20):.2f}",
        "is_active": "true",
        "updated_at": _time(hour, Random(f"product {number} at {hour}")),
    }


def _order(number: int, hour: int) -> dict[str, str]:
    once, random = Random(f"order {number}"), Random(f"order {number} at {hour}")
    product_id, price = once.choice(PRODUCTS)
    quantity = once.randrange(1, 6)
    return {
        "order_id": f"O{number:06}",
        "customer_id": f"C{once.randrange(10, CUSTOMERS):05}",
        "product_id": product_id,
        "quantity": str(quantity),
        "order_total": f"{quantity * price:.2f}",
        "currency": "EUR",
        "status": STATUSES[min(hour, 2)],
        "ordered_at": (DAY - timedelta(minutes=number)).isoformat(),
        "updated_at": _time(hour, random),
    }


def _stock(products: Iterable[int], hour: int) -> list[dict[str, str]]:
    random = Random(f"stock at {hour}")
    return [
        {
            "product_id": PRODUCTS[number][0],
            "warehouse_id": warehouse,
            "quantity_on_hand": str(random.randrange(200)),
            "updated_at": (DAY + timedelta(hours=hour)).isoformat(),
        }
        for number in products
        for warehouse in WAREHOUSES
    ]


def _csv(rows: Iterable[dict[str, str]]) -> bytes:
    rows = list(rows)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
