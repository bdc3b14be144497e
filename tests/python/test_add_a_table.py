"""The pages on adding and removing a table, word for word; and what comes of files that do not keep a contract."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from reference import CUSTOMERS, ORDERS, PROJECT
from warehouse import UNSET, Built, Project, Warehouse, replaced

from orchestration import tables

PAGE, AFTER = "docs/add-a-table.md", "docs/remove-a-table.md"
PROPERTIES = "models/tables/support_tickets/support_tickets.yml"
BLOCK = re.compile(r"^```(bash|diff|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What is made here, or is no part of the project.
NOT_COPIED = (
    *(".git", ".venv", ".local", "demo", "logs", "target", "profiles.yml", "warehouse.duckdb*"),
    *("__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis"),
)


@dataclass
class Copy:
    """A copy of the whole project, as a person has it after `make setup`."""

    root: Path

    def run(self, commands: str) -> str:
        """Runs a block of commands, which must end well; returns what they print."""
        kept = {name: value for name, value in os.environ.items() if name not in UNSET}
        places = {"LANDING_ROOT": "", "WAREHOUSE_PATH": "", "DBT_USE_COLORS": "false"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=self.root,
            env={name: value for name, value in (kept | places).items() if value},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def edit(self, difference: str) -> None:
        """Makes an edit as the page shows it: lines of a file, those that go and those that come."""
        lines = difference.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if not line.startswith("+"))
        new = "".join(line[1:] for line in lines if not line.startswith("-"))
        path = self.root / PROPERTIES
        path.write_text(replaced(path.read_text(), {old: new}, PROPERTIES))

    def query(self, sql: str) -> list[tuple]:
        with duckdb.connect(self.root / "warehouse.duckdb", read_only=True) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    root = tmp_path / "project"
    shutil.copytree(PROJECT, root, symlinks=True, ignore=shutil.ignore_patterns(*NOT_COPIED))
    (root / ".venv").symlink_to(PROJECT / ".venv")
    (root / "demo/landing").mkdir(parents=True)
    return Copy(root)


def follow(page: str, copy: Copy) -> None:
    """Does what a page says, and compares what it shows; dbt puts the time before what it says."""
    printed = ""
    for match in BLOCK.finditer((PROJECT / page).read_text()):
        kind, text = match[1], match[2]
        if kind == "bash":
            printed = copy.run(text)
        elif kind == "diff":
            copy.edit(text)
        else:
            lines = [re.sub(r"^[0-9:]{8}  (?=\S)", "", line) for line in printed.splitlines()]
            assert [line for line in text.splitlines() if line not in lines] == [], printed


def test_the_pages_are_true_word_for_word(copy: Copy) -> None:
    follow(PAGE, copy)
    rows = copy.query("select ticket_id, severity, closed_at is null, channel, source_file from prod.support_tickets")
    first, second = (f"raw/support_tickets/2024-01-05/{hour}/support_tickets.csv" for hour in ("09", "10"))
    expected = {(f"T{number}", "normal", True, None, first) for number in range(102, 125)}
    expected |= {("T101", "high", False, None, second), ("T125", "high", False, None, first)}
    assert (set(rows), len(rows)) == (expected, 25)
    assert copy.query("select ticket_id, reject_reasons from staging.rejected_support_tickets") == [
        ("T126", "severity is no severity")
    ]
    ledger = "received_rows, current_rows, superseded_rows, rejected_rows, held_rows"
    assert copy.query(f"select source_file, {ledger} from prod.load_ledger order by source_file") == [
        (first, 26, 24, 1, 1, 0),
        (second, 1, 1, 0, 0, 0),
    ]
    documented(copy)
    synced(copy)
    follow(AFTER, copy)
    assert copy.query("select count(*) from prod.load_ledger") == [(0,)]


def synced(copy: Copy) -> None:
    """What the tasks of the DAG do runs, for the table as well."""
    found = {table.name: table for table in tables.tables(copy.root / "target/manifest.json")}
    table, dbt = found["support_tickets"], ".venv/bin/dbt --quiet"
    copy.run(f"{dbt} build --select {table.select} --exclude {table.exclude} --indirect-selection cautious")
    checked = copy.run(f"{dbt} test --select {table.checks} && {dbt} ls --resource-type test --select {table.checks}")
    assert len(checked.splitlines()) == 2


def documented(copy: Copy) -> None:
    """dbt's docs have the table with every column described."""
    nodes = json.loads((copy.root / "target/manifest.json").read_text())["nodes"]
    table = nodes["model.reference_pipeline.support_tickets"]
    shown = {name for (name,) in copy.query("select column_name from (describe prod.support_tickets)")}
    assert set(table["columns"]) == shown
    assert {"channel", "closed_at"} <= shown
    assert table["description"] and all(column["description"] for column in table["columns"].values())


@pytest.mark.fast
def test_the_page_is_linked_and_knows_the_contracts_words() -> None:
    from orchestration import contracts

    page = (PROJECT / PAGE).read_text()
    assert PAGE in (PROJECT / "README.md").read_text()
    # The alert of a held file sends people there.
    assert PAGE in (PROJECT / "models/monitoring/files_to_mend.sql").read_text()
    known = set(re.findall(r"`(\w+)[:`]", page))
    assert {*contracts.COLUMN_WORDS, *contracts.FEED_WORDS} - {"name"} <= known


ORDER = "{key},C1,P1,{quantity},{total},EUR,placed,2024-01-05T08:00:00Z,2024-01-05T{hour}:00:00Z"
HEADER = "order_id,customer_id,product_id,quantity,order_total,currency,status,ordered_at,updated_at"


def orders(
    hour: int, size: int = 20, header: str = HEADER, quantity: str = "1", total: str = "2.50"
) -> dict[str, bytes]:
    """A file of orders; each hour's has orders of its own."""
    rows = [ORDER.format(key=f"O{hour}-{number}", quantity=quantity, total=total, hour=hour) for number in range(size)]
    return {f"raw/orders/2024-01-05/{hour}/orders.csv": "\n".join([header, *rows, ""]).encode()}


def to_mend(warehouse: Warehouse) -> dict[str, str]:
    """The reason by the hour of each file of orders that is refused or held."""
    found = warehouse.query("select source_file, reason from staging.files_to_mend")
    return {path.split("/")[3]: reason for path, reason in found}


def failed(built: Built) -> set[str]:
    return {name for name, status in built.statuses.items() if status not in ("pass", "success", "warn", "skipped")}


def test_a_contract_that_widens(project: Project, tmp_path: Path) -> None:
    """What comes of files of a changed sender, what is said, and what the documented change of the contract does."""
    copy = project.copy(tmp_path / "project")
    warehouse = Warehouse(copy, tmp_path / "warehouse", feeds=(ORDERS, CUSTOMERS))
    one_bad = orders(14)
    one_bad = {path: data.replace(b"P1,1,", b"P1,1.5,", 1) for path, data in one_bad.items()}
    warehouse.land(
        orders(10)
        | orders(11, header=HEADER.replace("order_total", "total"))
        | orders(12, quantity="1.5")
        | orders(13, total="2.505")
        | one_bad
    )
    built = warehouse.build()
    assert failed(built) == {"no_orders_file_to_mend"}
    advice = (
        ". If the sender means it so, widen the type in the contract as docs/add-a-table.md says, or release the file"
    )
    assert to_mend(warehouse) == {
        "11": "the header lacks order_total and has total, which the contract does not know",
        "12": f"20 of 20 rows are rejected, more than 5.0 %; most often: quantity is not integer{advice}",
        "13": f"20 of 20 rows are rejected, more than 5.0 %; most often: order_total is not decimal(18,2){advice}",
    }
    assert warehouse.query("select order_id, reject_reasons from staging.rejected_orders") == [
        ("O14-0", "quantity is not integer")
    ]
    assert warehouse.query("select count(*) from prod.orders") == [(39,)]

    # Both types are widened: the build of the table stops, and says what to do; nothing of it changes.
    before = warehouse.query("select * from prod.orders order by order_id")
    file = "models/tables/orders/orders.yml"
    quantity = "description: Units ordered.\n        data_type: "
    total = "description: Amount of the order in its currency.\n        data_type: "
    copy.patch(
        file, {f"{quantity}integer": f"{quantity}decimal(18,2)", f"{total}decimal(18,2)": f"{total}decimal(18,4)"}
    )
    warehouse.project = Project(copy.root, copy.target)
    built = warehouse.build()
    assert built.statuses["newest_orders"] == "skipped"
    assert failed(built) - {"no_orders_file_to_mend"} == {"typed_orders"}
    assert (
        "The columns of typed_orders have changed: quantity becomes decimal(18,2), order_total becomes decimal(18,4). "
        "Nothing was written. Make it anew from the raw rows: dbt build --full-refresh --select tag:orders+"
    ) in built.statuses["typed_orders"]
    assert built.statuses["newest_customers"] == "success"
    assert warehouse.query("select * from prod.orders order by order_id") == before

    # The page's command: the held files are judged anew and go through by themselves, the refused one waits on.
    built = warehouse.build("--full-refresh", "--select", "tag:orders+")
    assert failed(built) == {"no_orders_file_to_mend"}
    assert set(to_mend(warehouse)) == {"11"}
    assert warehouse.query("select quantity, order_total, count(*) from prod.orders group by all order by all") == [
        (1, Decimal("2.5"), 39),
        (1, Decimal("2.505"), 20),
        (Decimal("1.5"), Decimal("2.5"), 21),
    ]
    ledger = "sum(received_rows), sum(current_rows), sum(superseded_rows), sum(rejected_rows), sum(held_rows)"
    assert warehouse.query(f"select {ledger} from prod.load_ledger") == [(80, 80, 0, 0, 0)]
    # And the next load goes on as ever.
    warehouse.land(warehouse.landed | orders(15, quantity="2.5"))
    warehouse.build("--select", "tag:orders")
    assert warehouse.query("select count(*) from prod.orders") == [(100,)]


def test_a_register_of_an_earlier_version_gains_its_column(project: Project, tmp_path: Path) -> None:
    warehouse = Warehouse(project, tmp_path / "warehouse", feeds=(ORDERS,))
    warehouse.land(orders(10))
    assert not failed(warehouse.build_until("typed_orders"))
    with duckdb.connect(str(warehouse.folder / "warehouse.duckdb")) as connection:
        connection.execute("drop view staging.file_verdicts cascade")
        connection.execute("alter table staging.landed_files drop column commonest_reason")
    warehouse.land(warehouse.landed | orders(11, quantity="x"))
    assert not failed(warehouse.build_until("typed_orders"))
    assert warehouse.query("select commonest_reason from staging.landed_files order by landing_id") == [
        (None,),
        ("quantity is not integer",),
    ]
