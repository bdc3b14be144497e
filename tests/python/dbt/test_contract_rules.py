"""What the contract of each table takes and what it rejects: each rule at its edge, by the column that it names."""

import csv
import io
from pathlib import Path

from support.warehouse import Project, Warehouse

DAY = "2024-01-05"
MORNING, LATEST, TOO_LATE = f"{DAY}T08:00:00Z", "2024-01-06T23:59:59.999999Z", "2024-01-07T00:00:00Z"

# Of each table a row that is right; what else is right; and what is wrong, by column.
CASES = {
    "customers": (
        {"customer_id": "C1", "name": "Ann", "email": "ann@example.org", "country": "DE", "signed_up_at": MORNING,
         "cancelled_at": ""},
        {"cancelled_at": [MORNING]},
        {"customer_id": [""], "name": [""], "email": [""], "country": ["", "D", "DEU"], "signed_up_at": ["", "today"],
         "cancelled_at": [f"{DAY}T07:59:59Z"]},
    ),
    "products": (
        {"product_id": "P1", "name": "A cup", "category": "cups", "unit_price": "1.00", "is_active": "true"},
        {"unit_price": ["0"], "is_active": ["False"]},
        {"product_id": [""], "name": [""], "category": [""], "unit_price": ["", "-0.01", "1.001"],
         "is_active": ["", "yes"]},
    ),
    "orders": (
        {"order_id": "O1", "customer_id": "C1", "product_id": "P1", "quantity": "1", "order_total": "1.00",
         "currency": "EUR", "status": "placed", "ordered_at": MORNING},
        {"order_total": ["0"], "status": ["shipped", "delivered", "cancelled", "returned"], "ordered_at": [LATEST],
         "currency": ["XCG"]},
        {"order_id": [""], "customer_id": [""], "product_id": [""], "quantity": ["", "0", "1.5", str(2**31)],
         "order_total": ["", "-0.01"], "currency": ["", "eur"], "status": ["", "lost"], "ordered_at": ["", TOO_LATE]},
    ),
    "inventory": (
        {"product_id": "P1", "warehouse_id": "W1", "quantity_on_hand": "1"},
        {"quantity_on_hand": ["0"]},
        {"product_id": [""], "warehouse_id": [""], "quantity_on_hand": ["", "-1"]},
    ),
    "support_tickets": (
        {"ticket_id": "T1", "customer_id": "C1", "severity": "low", "opened_at": MORNING, "closed_at": ""},
        {"severity": ["normal", "high"], "opened_at": [LATEST], "closed_at": [MORNING]},
        {"ticket_id": [""], "customer_id": [""], "severity": ["", "urgent"], "opened_at": ["", TOO_LATE],
         "closed_at": [f"{DAY}T07:59:59Z"]},
    ),
    "payments": (
        {"payment_id": "A1", "customer_id": "C1", "amount": "1.00", "currency": "EUR", "status": "succeeded",
         "paid_at": MORNING},
        {"amount": ["0"], "status": ["failed", "refunded"], "paid_at": [LATEST]},
        {"payment_id": [""], "customer_id": [""], "amount": ["", "-0.01"], "currency": ["", "EURO"],
         "status": ["", "open"], "paid_at": ["", TOO_LATE]},
    ),
    "nps_responses": (
        {"response_id": "N1", "customer_id": "C1", "score": "5", "responded_at": MORNING},
        {"score": ["0", "10"], "responded_at": [LATEST]},
        {"response_id": [""], "customer_id": [""], "score": ["", "-1", "11"], "responded_at": ["", TOO_LATE]},
    ),
}  # fmt: skip
# What all of them have.
UPDATED, RIGHT, WRONG = {"updated_at": MORNING}, {"updated_at": [LATEST]}, {"updated_at": ["", TOO_LATE]}


def test_each_rule_of_each_table_rejects_what_breaks_it(project: Project, tmp_path: Path) -> None:
    files, expected = {}, {}
    for feed, (plain, right, wrong) in CASES.items():
        rows, reasons = [plain | UPDATED], [None]
        for cases, at_fault in ((right | RIGHT, False), (wrong | WRONG, True)):
            for column, values in cases.items():
                rows += [plain | UPDATED | {column: value} for value in values]
                reasons += [column if at_fault else None] * len(values)
        files[f"raw/{feed}/{DAY}/07/{feed}.csv"] = table(rows)
        expected[feed] = dict(enumerate(reasons, start=2))
    warehouse = Warehouse(project, tmp_path / "warehouse")
    warehouse.land(files)
    typed = [f"+typed_{feed}" for feed in CASES]
    built = warehouse.dbt("build", "--select", *typed, "--exclude-resource-type", "test", "unit_test")
    assert not built.broken
    for feed, reasons in expected.items():
        found = warehouse.query(f"select source_record, reject_reasons from staging.typed_{feed} order by 1")
        # The rule of a column that is empty is not asked: there is one reason each.
        assert {record: said.split(" ")[0] if said else None for record, said in found} == reasons, feed
        assert not any("; " in said for _, said in found if said), feed


def table(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
