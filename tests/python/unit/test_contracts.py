"""Each fault of a contract is found, in its file and line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from orchestration import contracts
from orchestration.contracts.__main__ import main
from orchestration.contracts.reading import read
from orchestration.contracts.rules import CALLS
from orchestration.contracts.words import BESIDE_A_KEY
from support.reference import PROJECT
from support.warehouse import replaced

pytestmark = pytest.mark.fast

ORDERS = "models/feeds/orders/orders.yml"
INVENTORY = "models/feeds/inventory/inventory.yml"
SALES = "models/feeds/sales/sales.yml"
TOTAL = "description: Amount of the order in its currency.\n        data_type: decimal(18,2)"
ORDERS_FEED = "feed: {name: orders, key: [order_id], files: hourly}"
STOCK_FEED = "feed: {name: inventory, key: [product_id, warehouse_id], kind: extract, files: hourly, shrinks_by: 0.5}"
LISTED = "config: {meta: {required: true, listed_in: currencies}}"
KEY = "description: Key of the order.\n        data_type: varchar\n        config: {meta: {required: true}}"
VERSION = (
    "data_type: timestamp\n        config: {meta: {required: true, "
    "rule: \"updated_at < file_date + interval '2 days'\", says: is later than the day after the file's date}}"
)
QUANTITY = "config: {meta: {required: true, rule: quantity > 0, says: is not above 0}}"

# File, text, what stands there instead, a text of the line that is named, what is said.
FAULTS = {
    "unknown type": (
        *(ORDERS, TOTAL, TOTAL.replace("decimal(18,2)", "number")),
        *("data_type: number", "The type number of the column order_total is unknown. Use varchar, integer,"),
    ),
    "impossible decimal": (
        *(ORDERS, TOTAL, TOTAL.replace("18,2", "2,2")),
        *("data_type: decimal(2,2)", "The type decimal(2,2) of the column order_total is unknown."),
    ),
    "no key": (
        *(ORDERS, ORDERS_FEED, "feed: {name: orders, files: hourly}"),
        *("feed: {name: orders", "The feed orders has no key. Add `key: [...]`"),
    ),
    "key is no column": (
        *(ORDERS, "key: [order_id]", "key: [order_no]"),
        *("key: [order_no]", "The key order_no is not a column of the contract."),
    ),
    "key not required": (
        *(ORDERS, KEY, KEY.replace("true", "false")),
        *("- &order_id", "The column order_id is of the key and not required."),
    ),
    "key is a number": (
        *(ORDERS, KEY, KEY.replace("varchar", "integer")),
        *("- &order_id", "The column order_id is of the key and integer. Make it varchar"),
    ),
    "two feeds of one name": (
        *(ORDERS, "name: orders, key", "name: inventory, key"),
        *(
            "name: inventory, key",
            "The feed inventory has its contract in models/feeds/inventory/inventory.yml:4 already.",
        ),
    ),
    "two models of one name": (
        *(ORDERS, "- name: rejected_orders", "- name: raw_orders"),
        *("- name: raw_orders", "The model raw_orders is described in models/feeds/orders/orders.yml:"),
    ),
    "rule of a missing column": (
        *(ORDERS, "rule: quantity > 0", "rule: quantity > minimum"),
        *("quantity > minimum", "The rule of the column quantity names minimum, which is neither a column"),
    ),
    "rule is no SQL": (
        *(ORDERS, "rule: quantity > 0", 'rule: "quantity > ("'),
        *("quantity > (", "The rule of the column quantity is no condition in SQL"),
    ),
    "rule is no text": (
        *(ORDERS, "rule: quantity > 0", "rule: true"),
        *("rule: true", "The rule of the column quantity is no text."),
    ),
    "rule without says": (
        *(ORDERS, ", says: is not above 0", ""),
        *("rule: quantity > 0", "The rule of the column quantity needs `says`: what is wrong with a row."),
    ),
    "says without rule": (
        *(ORDERS, "rule: quantity > 0, ", ""),
        *("says: is not above 0", "`says` is the reason of a rule, and the column quantity has no rule."),
    ),
    "unknown word of a column": (
        *(ORDERS, QUANTITY, QUANTITY.replace("required", "requird")),
        *("requird", "A contract has no requird, as the column quantity says."),
    ),
    "seed is missing": (
        *(ORDERS, LISTED, LISTED.replace("currencies", "coins")),
        *("listed_in: coins", "The seed coins, in which the values of the column currency are listed, is missing"),
    ),
    "seed has no such column": (
        *(ORDERS, "says: is no status of an order}}", "says: is no status of an order, listed_in: currencies}}"),
        *("says: is no status", "The seed currencies has no column status."),
    ),
    "fresh column is missing": (
        *(ORDERS, "files: hourly}", "files: hourly, fresh: {column: placed_at, days: 2}}"),
        *("placed_at", "fresh needs a column of the contract; placed_at is none."),
    ),
    "fresh column is no timestamp": (
        *(ORDERS, "files: hourly}", "files: hourly, fresh: {column: status, days: 2}}"),
        *("column: status", "fresh needs a timestamp; the column status is varchar."),
    ),
    "fresh without days": (
        *(SALES, "{column: sold_at, days: 2}", "{column: sold_at}"),
        *("column: sold_at}", "fresh needs `days`, a whole number from 1; it is None."),
    ),
    "unknown kind": (
        *(ORDERS, "files: hourly}", "files: hourly, kind: delta}"),
        *("kind: delta", "The kind delta of the feed orders is unknown. Use changes or extract."),
    ),
    "unknown files": (
        *(ORDERS, "files: hourly}", "files: weekly}"),
        *("files: weekly", "The files weekly of the feed orders is unknown. Use daily or hourly or topics."),
    ),
    "unknown word of a feed": (
        *(ORDERS, "files: hourly}", "files: hourly, owner: sales}"),
        *("owner: sales", "A feed has no owner. What it may have: name, key, kind"),
    ),
    "shrinks by all": (
        *(INVENTORY, "shrinks_by: 0.5", "shrinks_by: 1"),
        *("shrinks_by: 1", "shrinks_by is 1. It is a share: above 0 and below 1."),
    ),
    "shrinks without extract": (
        *(INVENTORY, STOCK_FEED, STOCK_FEED.replace("kind: extract, ", "")),
        *("shrinks_by: 0.5", "shrinks_by is for an extract only."),
    ),
    "updated_at is text": (
        *(ORDERS, VERSION, VERSION.replace("timestamp", "varchar")),
        *("- &updated_at", "updated_at is varchar. It must be a timestamp."),
    ),
    "updated_at not required": (
        *(ORDERS, VERSION, VERSION.replace("required: true, ", "")),
        *("- &updated_at", "updated_at is not required. Add `required: true`"),
    ),
    "is_deleted may be empty": (
        *(ORDERS, "{optional: true, default: false}", "{optional: true}"),
        *("- &is_deleted", "is_deleted may be empty, which says neither. Add `default: false`."),
    ),
    "a column without description": (
        *(ORDERS, "        description: Units ordered.\n", ""),
        *("- &quantity", "Say in `description` what the column quantity means."),
    ),
    "a model without its file": (
        *(ORDERS, "  - name: rejected_orders", "  - name: late_orders\n    columns: []\n\n  - name: rejected_orders"),
        *("- name: late_orders", "The model late_orders has no file: models/feeds/orders/late_orders.sql is missing."),
    ),
    "a model without a name": (
        *(ORDERS, "- name: rejected_orders", "- nom: rejected_orders"),
        *("- nom: rejected_orders", "A model without a name. Give it `name:`, as text."),
    ),
    "a feed without a name": (
        *(ORDERS, "{name: orders, key", "{key"),
        *("- name: typed_orders", "The feed has no name. Write `feed: {name: ..., key: [...]}`."),
    ),
    "is_deleted is text": (
        *(ORDERS, "data_type: boolean\n        config", "data_type: varchar\n        config"),
        *("- &is_deleted", "is_deleted is varchar. It must be a boolean."),
    ),
    "a column without a name": (
        *(ORDERS, "        name: quantity\n", ""),
        *("- &quantity", "A column of typed_orders has no name. Give it `name:`, as text."),
    ),
    "a column that stands twice": (
        *(ORDERS, "        name: customer_id", "        name: order_id"),
        *("- &customer_id", "typed_orders has the column order_id twice. Remove one of the two."),
    ),
    "a column besides the contract without description": (
        *(
            "models/feeds/customers/customers.yml",
            ', description: "Time of the next version, UTC; null for the newest."',
            "",
        ),
        *("name: valid_to", "Say in `description` what the column valid_to means."),
    ),
    "a production model without a column": (
        *(
            "models/marts/sales/daily_sales.yml",
            "      - {name: customer_id, data_type: varchar, ",
            "      - {name: buyer, data_type: varchar, ",
        ),
        *(
            "    columns:",
            "daily_sales lacks customer_id of the contract. Add to its columns: {name: customer_id, data_type:",
        ),
    ),
    "a column of production alone": (
        *(
            "models/marts/sales/daily_sales.yml",
            "      - {name: customer_id,",
            "      - {name: channel, data_type: varchar, description: How it was sold.}\n      - {name: customer_id,",
        ),
        *(
            "name: channel",
            "daily_sales lists channel, which is not built. Add it to the contract in "
            "models/feeds/sales/sales.yml, and to the select in models/marts/sales/daily_sales.sql, or remove it here.",
        ),
    ),
    "a column of a table's history alone": (
        *(
            "models/marts/tables/products.yml",
            "      - {name: valid_to,",
            "      - {name: colour, data_type: varchar, description: Its colour.}\n      - {name: valid_to,",
        ),
        *(
            "name: colour",
            "products_history lists colour, which is not built. Add it to the contract in "
            "models/feeds/products/products.yml, and to the select in models/marts/tables/products_history.sql, "
            "or remove it here.",
        ),
    ),
    "a column of a table alone": (
        *(
            "models/marts/tables/orders.yml",
            "      - {name: updated_at,",
            "      - {name: is_deleted, data_type: boolean, description: Gone.}\n      - {name: updated_at,",
        ),
        *(
            "name: is_deleted",
            "orders lists is_deleted, which is not built. "
            "Add it to the select in models/marts/tables/orders.sql, or remove it here.",
        ),
    ),
    "another type in production": (
        *(
            "models/marts/sales/daily_sales.yml",
            "name: quantity, data_type: integer",
            "name: quantity, data_type: bigint",
        ),
        *(
            "name: quantity,",
            "daily_sales lists quantity as bigint, and it is built as integer, by models/feeds/sales/",
        ),
    ),
    "another type of what is added": (
        *(
            "models/marts/tables/orders.yml",
            "name: source_record, data_type: bigint",
            "name: source_record, data_type: integer",
        ),
        *("name: source_record", "orders lists source_record as integer, and it is built as bigint"),
    ),
    "a column that is a word of SQL": (
        *(ORDERS, "        name: customer_id", "        name: group"),
        *("name: group", "The column group is a word of SQL. Choose another name, for example group_value."),
    ),
    "a column with a blank": (
        *(ORDERS, "        name: customer_id", "        name: customer id"),
        *("name: customer id", "'customer id' cannot be the name of a column. Use lower-case letters"),
    ),
    "a column in upper case": (
        *(ORDERS, "        name: customer_id", "        name: Customer_ID"),
        *("name: Customer_ID", "'Customer_ID' cannot be the name of a column."),
    ),
    "a column of the pipeline's own": (
        *(ORDERS, "        name: customer_id", "        name: raw_quantity"),
        *("name: raw_quantity", "The column raw_quantity is one of the pipeline's own, beside quantity."),
    ),
    "a feed that is a word of SQL": (
        *(ORDERS, "{name: orders, key", "{name: order, key"),
        *("{name: order, key", "The feed order is a word of SQL. Choose another name, for example order_rows."),
    ),
    "a feed with a blank": (
        *(ORDERS, "{name: orders, key", "{name: my orders, key"),
        *("{name: my orders, key", "'my orders' cannot be the name of a feed."),
    ),
    "a key that stands twice": (
        *(ORDERS, "key: [order_id]", "key: [order_id, order_id]"),
        *("key: [order_id", "The key of the feed orders names a column twice."),
    ),
    "a column that a history adds": (
        *("models/feeds/products/products.yml", "        name: category", "        name: valid_from"),
        *("- &category", "The column valid_from has a name that products_history uses itself."),
    ),
    "a key of no names": (
        *(ORDERS, "key: [order_id]", "key: [[order_id]]"),
        *("key: [[", "The key ['order_id'] is not a column of the contract."),
    ),
    "fresh of a yes": (
        *(SALES, "{column: sold_at, days: 2}", "{column: sold_at, days: true}"),
        *("column: sold_at", "fresh needs `days`, a whole number from 1; it is True."),
    ),
    "fresh with another word": (
        *(SALES, "{column: sold_at, days: 2}", "{column: sold_at, days: 2, hours: 1}"),
        *("column: sold_at", "fresh has no hours. What it has: column, days."),
    ),
    "required in quotes": (
        *(ORDERS, QUANTITY, QUANTITY.replace("true", "'false'")),
        *("required: 'false'", "required of the column quantity is 'false'. It is true or false, without quotes."),
    ),
    "says is no text": (
        *(ORDERS, "says: is not above 0", "says: [a]"),
        *("says: [a]", "`says` of the column quantity is no text."),
    ),
    "a rule of Jinja": (
        *(ORDERS, "rule: quantity > 0", "rule: \"quantity > {{ var('least') }}\""),
        *("var('least')", "The rule of the column quantity has braces that dbt would read as Jinja."),
    ),
    "listed numbers": (
        *(ORDERS, "rule: quantity > 0, says: is not above 0", "listed_in: currencies"),
        *(
            "{required: true, listed_in: currencies}",
            "The values of the column quantity are listed in currencies, as text, and it is integer.",
        ),
    ),
    "no YAML": (
        *(ORDERS, "models:\n", "models: {\n"),
        *("  - name: typed_orders", "This is no YAML"),
    ),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("models", "seeds"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    return tmp_path


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """The contract of orders alone."""
    for folder in ("models/feeds/orders", "seeds"):
        shutil.copytree(PROJECT / folder, tmp_path / folder)
    (tmp_path / "models/marts/tables").mkdir(parents=True)
    for file in ("orders.sql", "orders.yml"):
        shutil.copy(PROJECT / "models/marts/tables" / file, tmp_path / "models/marts/tables")
    return tmp_path


def patch(root: Path, file: str, old: str, new: str) -> None:
    path = root / file
    path.write_text(replaced(path.read_text(), {old: new}, file))


def line_of(root: Path, file: str, text: str, last: bool = False) -> int:
    lines = [number for number, line in enumerate((root / file).read_text().splitlines(), 1) if text in line]
    return lines[-1 if last else 0]


def said(root: Path) -> list[str]:
    return [str(fault) for fault in contracts.faults(root)]


def test_the_contracts_at_hand_have_no_fault() -> None:
    assert said(PROJECT) == []
    assert {"sales", "customers", "orders", "products", "inventory"} <= read(PROJECT).feeds.keys()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_in_its_line(root: Path, name: str) -> None:
    file, old, new, marked, says = FAULTS[name]
    patch(root, file, old, new)
    line = line_of(root, file, marked, last=name == "two models of one name")
    found = [fault for fault in said(root) if fault.startswith(f"{file}:{line}: {says}")]
    assert len(found) == 1, said(root)


def test_one_fault_is_said_once(root: Path) -> None:
    patch(root, ORDERS, "rule: quantity > 0", "rule: quantity > minimum")
    assert len(said(root)) == 1


def test_no_updated_at(root: Path) -> None:
    path = root / INVENTORY
    text = path.read_text().replace("*updated_at, ", "")
    start = text.index("      - &updated_at")
    path.write_text(text[:start] + text[text.index("      - &is_deleted") :])
    line = line_of(root, INVENTORY, "- name: typed_inventory")
    assert said(root) == [
        f"{INVENTORY}:{line}: The feed inventory has no column updated_at, "
        "by which the newest version of a row wins. Add it."
    ]


@pytest.mark.parametrize("model", ["raw_orders", "clean_orders", "rejected_orders", "newest_orders"])
def test_a_list_that_misses_a_column(root: Path, model: str) -> None:
    path = root / ORDERS
    head, _, tail = path.read_text().partition(f"- name: {model}\n")
    path.write_text(f"{head}- name: {model}\n" + tail.replace("*quantity, ", "", 1))
    line = 1 + head.count("\n") + tail[: tail.index("columns:")].count("\n") + 1
    assert said(root) == [f"{ORDERS}:{line}: {model} lacks quantity of the contract. Add to its columns: *quantity."]


def test_a_table_that_readers_do_not_find(root: Path) -> None:
    for file in ("orders.sql", "orders.yml"):
        (root / "models/marts/tables" / file).unlink()
    line = line_of(root, ORDERS, "feed: {")
    assert said(root) == [
        f"{ORDERS}:{line}: The feed orders has no model orders, which readers know. "
        "Write models/marts/tables/orders.sql and its .yml."
    ]


NO_RULES = {
    "quantity > 0 -- why": "has a comment",
    "quantity /* pieces */ > 0": "has a comment",
    "-- quantity > 0": "is empty, or more than one statement",
    "": "is empty, or more than one statement",
    "quantity > 0;": "is empty, or more than one statement",
    "quantity > 0; drop table prod.orders": "is empty, or more than one statement",
    "sum(quantity) > 0": "calls sum, which a rule cannot",
    "count(*) > 0": "calls count",
    "max(quantity) over () > 0": "calls max",
    "row_number() over (partition by customer_id) = 1": "calls row_number",
    "quantity in (select 1)": "has a subquery",
    "exists (select 1)": "has a subquery",
    "quantity > 0) or (true": "is no condition in SQL",
    "(quantity > 0": "is no condition in SQL",
    "quantity > 0, true": "is no condition in SQL",
    "quantity > 0 from orders": "is no condition in SQL",
    "quantity": "is no condition: it comes to integer",
    "customer_id": "is no condition: it comes to varchar",
    "quantity + 1": "is no condition: it comes to integer",
    "null": "is no condition",
    "quantity = null": "compares with null",
    "status in ('placed', null)": "compares with null",
    "quantity > 'many'": "does not work: ",
    "customer_id > 5": "does not work: ",
    "length(quantity) > 1": "does not work: ",
    "cast(customer_id as integer) > 1": "A text is read as another type by try_cast.",
    "customer_id in (1, 2)": "A text is read as another type by try_cast.",
    "length(customer_id, 2) = 1": "does not work: ",
    "regexp_matches(customer_id, 'C')": "calls regexp_matches",
    "regexp_like(customer_id, 'C')": "calls regexp_like",
    "customer_id ~ 'C'": "has ~, which is no part of a rule",
    "customer_id similar to 'C'": "has similar to, which is no part of a rule",
    "customer_id = 'back\\slash'": "which is no part of a rule",
    "customer_id = $$C$$": "which is no part of a rule",
    "quantity == 1": "has ==, which is no part of a rule",
    "quantity // 2 = 1": "has //, which is no part of a rule",
    "quantity notnull": "has notnull, which Snowflake does not read",
    'quantity > 0 and "quantity" < 9': 'has "quantity", which is no part of a rule',
    "typed.quantity > 0": "has ., which is no part of a rule",
    "ordered_at < now()": "calls now",
    "ordered_at < current_timestamp": "CURRENT_TIMESTAMP",
    "ordered_at < file_date + interval 2 days": "has an interval without quotes",
    "random() < 0.5": "calls random",
    "quantity > ?": "has ?, which is no part of a rule",
    "quantity > $1": "which is no part of a rule",
    "{'a': 1}": "which is no part of a rule",
}
RULES = (
    *("quantity > 0 or quantity = -1 and order_total < 5", "not (quantity = 0)", "quantity between 1 and 9"),
    *(
        "customer_id <> 'a--b' and customer_id <> 'a;b' and customer_id not like '%/*%'",
        "case when quantity > 5 then order_total > 5 else true end",
    ),
    *(
        "quantity\n> 0",
        "QUANTITY > 0",
        "order_total / nullif(quantity, 0) <= 1e3",
        "try_cast(customer_id as integer) is not null",
    ),
    *(
        "ordered_at <= updated_at",
        "cast(ordered_at as date) <= file_date",
        "ordered_at >= timestamp '2020-01-01 00:00:00'",
    ),
    *("quantity is distinct from 0", "status in ('placed', 'it''s')", "true"),
)


def with_rule(root: Path, rule: str) -> None:
    patch(root, ORDERS, "rule: quantity > 0", f"rule: {json.dumps(rule)}")


@pytest.mark.parametrize("rule", NO_RULES)
def test_what_is_no_rule(orders: Path, rule: str) -> None:
    with_rule(orders, rule)
    [fault] = said(orders)
    assert fault.startswith(
        f"{ORDERS}:{line_of(orders, ORDERS, 'says: is not above 0')}: The rule of the column quantity "
    )
    assert NO_RULES[rule] in fault


@pytest.mark.parametrize("rule", RULES)
def test_what_is_a_rule(orders: Path, rule: str) -> None:
    with_rule(orders, rule)
    assert said(orders) == []


@pytest.mark.parametrize("call", CALLS)
def test_what_a_rule_may_call(orders: Path, call: str) -> None:
    """Each of these is known to DuckDB, of one type or another."""
    wrong = []
    for column in ("quantity", "customer_id", "ordered_at"):
        with_rule(orders, re.sub(r"\ba\b", column, call) + " is not null")
        wrong.append(said(orders))
        shutil.copy(PROJECT / ORDERS, orders / ORDERS)
    assert [] in wrong, wrong


# Of a type: its default as it stands in YAML, and what is said; nothing if it is one.
DEFAULTS = (
    *(
        ("varchar", "unknown", None),
        ("varchar", "'007'", None),
        ("text", "order_id", None),
        ("varchar", '"it\'s"', None),
    ),
    *(("varchar", "no", "is no text: YAML reads it as False. Write it in quotes."), ("varchar", "007", "is no text")),
    *(("varchar", "''", "is empty"), ("varchar", "", "is empty"), ("varchar", "null", "is empty")),
    *(("varchar", "'{{ x }}'", "has braces"), ("varchar", "[a]", "is no text")),
    *(
        ("integer", "0", None),
        ("integer", "-7", None),
        ("integer", "'12'", None),
        ("integer", "quantity", "is not integer"),
    ),
    *(("integer", "1.5", "is not integer"), ("integer", "true", "is not integer")),
    *(("integer", "3000000000", "is not integer"), ("integer", "0); drop table x", "is not integer")),
    *(("decimal(18,2)", "0", None), ("decimal(18,2)", "1.25", None), ("decimal(18,2)", "'1234567890123456.78'", None)),
    *(("decimal(18,2)", "1.255", "is not decimal(18,2)"), ("decimal(4,2)", "100", "is not decimal(4,2)")),
    *(("decimal(18,2)", "1234567890123456.78", "more digits than YAML keeps"), ("decimal(18,0)", "7", None)),
    *(
        ("decimal(18,0)", "7.0", "is not decimal(18,0)"),
        ("DECIMAL(18, 2)", "1.5", None),
        ("decimal(38,37)", "1.5", None),
    ),
    *(("boolean", "true", None), ("boolean", "'FALSE'", None), ("boolean", "1", "is not boolean")),
    *(("timestamp", "2024-01-05T10:00:00Z", None), ("timestamp", "'2024-01-05 10:00:00+02:00'", None)),
    *(("timestamp", "2024-01-05", "is not timestamp"), ("timestamp", "'2024-02-30T00:00:00Z'", "is not timestamp")),
    *(("timestamp", "updated_at", "is not timestamp"), ("timestamp", "now()", "is not timestamp")),
)


@pytest.mark.parametrize(("data_type", "default", "says"), DEFAULTS)
def test_a_default_is_a_value_of_its_type(orders: Path, data_type: str, default: str, says: str | None) -> None:
    column = f"      - &note\n        name: note\n        description: A note.\n        data_type: {data_type}\n"
    meta = f"        config:\n          meta:\n            default: {default}\n"
    path = orders / ORDERS
    text = path.read_text().replace("*quantity,", "*quantity, *note,")
    path.write_text(replaced(text, {"      - &quantity\n": f"{column}{meta}      - &quantity\n"}, ORDERS))
    line = line_of(orders, ORDERS, "            default: ")
    if says is None:
        assert said(orders) == []
    else:
        [fault] = said(orders)
        assert fault.startswith(f"{ORDERS}:{line}: ") and "the column note" in fault and says in fault


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"currency\n", "The seed currencies lists no value of the column currency."),
        (b"currency,note\n ,a\n,b\n", "The seed currencies lists no value of the column currency."),
        (b"currency\n\xff\n", "The seed seeds/currencies.csv is no CSV in UTF-8 with a header."),
        (b"", "The seed seeds/currencies.csv is no CSV in UTF-8 with a header."),
        (b"Currency\nEUR\n", "The seed currencies has no column currency."),
    ],
)
def test_a_seed_that_lists_nothing(orders: Path, content: bytes, says: str) -> None:
    (orders / "seeds/currencies.csv").write_bytes(content)
    found = said(orders)
    assert found and all(says in fault for fault in found), found


@pytest.mark.parametrize("name", BESIDE_A_KEY)
def test_a_key_that_the_merge_names_itself(orders: Path, name: str) -> None:
    patch(orders, ORDERS, "key: [order_id]", f"key: [{name}]")
    patch(orders, ORDERS, "        name: order_id", f"        name: {name}")
    line = line_of(orders, ORDERS, "- &order_id")
    assert (
        f"{ORDERS}:{line}: The key {name} has a name that the merge uses itself. "
        f"Choose another, for example {name}_value."
    ) in said(orders)


def test_a_list_that_the_model_does_not_name(root: Path) -> None:
    patch(root, "models/feeds/orders/typed_orders.sql", ", lists=['currencies']", "")
    line = line_of(root, ORDERS, "listed_in")
    assert said(root) == [
        f"{ORDERS}:{line}: models/feeds/orders/typed_orders.sql must name the seed: "
        "`typed_rows('orders', lists=['currencies'])`."
    ]


def test_a_model_that_is_missing_or_of_another_feed(root: Path) -> None:
    (root / "models/feeds/orders/clean_orders.sql").unlink()
    patch(root, "models/feeds/orders/raw_orders.sql", "'orders'", "'products'")
    line = line_of(root, ORDERS, "- name: clean_orders")
    assert said(root) == [
        f"{ORDERS}:{line}: The model clean_orders has no file: models/feeds/orders/clean_orders.sql is missing.",
        "models/feeds/orders/raw_orders.sql:1: The model must be of the feed orders: {{ raw_rows('orders') }}",
    ]


def test_a_model_that_is_neither_there_nor_described(root: Path) -> None:
    patch(root, ORDERS, "- name: rejected_orders", "- name: late_orders")
    (root / "models/feeds/orders/rejected_orders.sql").rename(root / "models/feeds/orders/late_orders.sql")
    line = line_of(root, ORDERS, "feed: {")
    assert said(root) == [
        f"{ORDERS}:{line}: The feed orders has no model rejected_orders. "
        "Write rejected_orders.sql: {{ rejected_rows('orders') }}"
    ]


def test_properties_that_are_no_text(root: Path) -> None:
    (root / "models/odd.yml").write_bytes(b"models: \xff")
    assert said(root) == [
        "models/odd.yml:1: This is no YAML: it has characters that are not UTF-8 or may not stand in YAML."
    ]


def test_two_files_of_one_model(root: Path) -> None:
    shutil.copy(root / "models/marts/tables/orders.sql", root / "models/marts/orders.sql")
    assert said(root) == [
        "models/marts/tables/orders.sql:1: models/marts/orders.sql has the name orders already. Rename one of the two."
    ]


def test_the_command_is_red(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(root)
    assert main() == 0
    patch(root, ORDERS, "rule: quantity > 0", "rule: quantity > minimum")
    assert main() == 1
    assert capsys.readouterr().err.startswith(f"{ORDERS}:{line_of(root, ORDERS, 'minimum')}: The rule of")
