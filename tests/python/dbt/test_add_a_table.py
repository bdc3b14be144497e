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
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration import contracts, tables
from orchestration.contracts.words import COLUMN_WORDS, FEED_WORDS
from support.reference import CUSTOMERS, ORDERS, PROJECT, SALES
from support.table_files import HEADER, orders
from support.tables import csv_of, remove_table, things, with_table, with_things
from support.warehouse import DATABASE, UNSET, Built, Project, Warehouse, environment, replaced

PAGE, AFTER = "docs/add-a-table.md", "docs/remove-a-table.md"
# The file that an edit is of, unless its first line names another.
PROPERTIES = "models/feeds/complaints/complaints.yml"
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
        lines, file = difference.splitlines(keepends=True), PROPERTIES
        if lines[0].startswith("--- "):
            file = lines.pop(0).removeprefix("--- ").strip()
        old = "".join(line[1:] for line in lines if not line.startswith("+"))
        new = "".join(line[1:] for line in lines if not line.startswith("-"))
        path = self.root / file
        path.write_text(replaced(path.read_text(), {old: new}, file))

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


@pytest.mark.long
def test_the_pages_on_adding_and_removing_are_true_word_for_word(copy: Copy) -> None:
    follow(PAGE, copy)
    rows = copy.query("select complaint_id, severity, closed_at is null, channel, source_file from prod.complaints")
    first, second = (f"raw/complaints/2024-01-05/{hour}/complaints.csv" for hour in ("09", "10"))
    expected = {(f"T{number}", "normal", True, None, first) for number in range(102, 125)}
    expected |= {("T101", "high", False, None, second), ("T125", "high", False, None, first)}
    assert (set(rows), len(rows)) == (expected, 25)
    assert copy.query("select complaint_id, reject_reasons from staging.rejected_complaints") == [
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
    table, project = found["complaints"], Project(copy.root, copy.root / "target")
    selected = ["--select", *table.select.split(), "--exclude", *table.exclude.split()]
    checks = ["test", "--select", *table.checks.split()]
    with environment(LANDING_ROOT=str(copy.root / "demo/landing"), WAREHOUSE_PATH=str(copy.root / DATABASE)):
        dbt = dbtRunner(manifest=project.manifest)
        for command in (["build", *selected, "--indirect-selection", "cautious"], checks):
            done = dbt.invoke([*command, *project.options()])
            assert done.success, done.exception
    DuckDBConnectionManager.close_all_connections()
    assert sum(one.node.resource_type == "test" for one in done.result.results) == 2


def documented(copy: Copy) -> None:
    """dbt's docs have the table with every column described."""
    nodes = json.loads((copy.root / "target/manifest.json").read_text())["nodes"]
    table = nodes["model.reference_pipeline.complaints"]
    shown = {name for (name,) in copy.query("select column_name from (describe prod.complaints)")}
    assert set(table["columns"]) == shown
    assert {"channel", "closed_at"} <= shown
    assert table["description"] and all(column["description"] for column in table["columns"].values())


@pytest.mark.fast
def test_the_page_is_linked_and_knows_the_contracts_words() -> None:
    page = (PROJECT / PAGE).read_text()
    assert PAGE in (PROJECT / "README.md").read_text()
    # The alert of a held file sends people there.
    assert PAGE in (PROJECT / "models/registers/files_to_mend.sql").read_text()
    known = set(re.findall(r"`(\w+)[:`]", page))
    assert {*COLUMN_WORDS, *FEED_WORDS} - {"name"} <= known


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
        "12": f"20 of 20 rows are rejected, more than 5 %; most often: quantity is not integer{advice}",
        "13": f"20 of 20 rows are rejected, more than 5 %; most often: order_total is not decimal(18,2){advice}",
    }
    assert warehouse.query("select order_id, reject_reasons from staging.rejected_orders") == [
        ("O14-0", "quantity is not integer")
    ]
    assert warehouse.query("select count(*) from prod.orders") == [(39,)]

    # Both types are widened: the build of the table stops, and says what to do; nothing of it changes.
    before = warehouse.query("select * from prod.orders order by order_id")
    file = "models/feeds/orders/orders.yml"
    quantity = "description: Units ordered.\n        data_type: "
    total = "description: Amount of the order in its currency.\n        data_type: "
    copy.patch(
        file, {f"{quantity}integer": f"{quantity}decimal(18,2)", f"{total}decimal(18,2)": f"{total}decimal(18,4)"}
    )
    copy.patch(
        "models/marts/tables/orders.yml",
        {
            "name: quantity, data_type: integer": 'name: quantity, data_type: "decimal(18,2)"',
            'name: order_total, data_type: "decimal(18,2)"': 'name: order_total, data_type: "decimal(18,4)"',
        },
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
        connection.execute("drop view if exists staging.file_verdicts cascade")
        connection.execute("alter table staging.landed_files drop column commonest_reason")
    warehouse.land(warehouse.landed | orders(11, quantity="x"))
    assert not failed(warehouse.build_until("typed_orders"))
    assert warehouse.query("select commonest_reason from staging.landed_files order by landing_id") == [
        (None,),
        ("quantity is not integer",),
    ]


def test_a_seed_that_an_earlier_version_typed(project: Project, tmp_path: Path) -> None:
    """It may hold 7 for 007: the build says how it is made anew, and rejects nothing by it."""
    warehouse = Warehouse(with_things(project, tmp_path / "project"), tmp_path / "warehouse", feeds=())
    (warehouse.project.root / "seeds/codes.csv").write_text("code\n007\n8\n")
    warehouse.land({"raw/things/2024-01-05/10/things.csv": things(["007", "8"])})
    (warehouse.folder / "warehouse.duckdb").unlink(missing_ok=True)
    with duckdb.connect(str(warehouse.folder / "warehouse.duckdb")) as connection:
        connection.execute("create schema staging; create table staging.codes (code integer)")
    load = ("build", "--select", "+things", "--exclude-resource-type", "test", "unit_test")
    built = warehouse.dbt(*load)
    assert failed(built) == {"typed_things"}
    assert (
        "The column code of the seed codes is no text in the warehouse, and accepted values are. Take its column_types "
        "away if it has any, and make it anew: dbt seed --full-refresh --select codes"
    ) in built.statuses["typed_things"]
    assert not failed(warehouse.dbt("seed", "--full-refresh", "--select", "codes"))
    assert not failed(warehouse.dbt(*load))
    assert warehouse.query("select code from prod.things order by code") == [("007",), ("8",)]


# What production lists otherwise than it is built, by its file; and by the model what is said.
DAILY_SALES, CUSTOMERS_FILE = "models/marts/sales/daily_sales.yml", "models/marts/tables/customers.yml"
EXTRA = "{name: channel, data_type: varchar, description: -}"
GUEST = "      - {name: customer_id, data_type: varchar, description: Customer who bought; null for a guest.}\n"
DIFFERENT = {
    DAILY_SALES: {
        GUEST: f"      - {EXTRA}\n",
        "name: quantity, data_type: integer": "name: quantity, data_type: bigint",
    },
    CUSTOMERS_FILE: {
        "      - {name: updated_at,": f"      - {EXTRA}\n      - {{name: updated_at,",
        "      - {name: valid_to, data_type: timestamp,": "      - {name: valid_until, data_type: timestamp,",
    },
}
SAID_OF_IT = {
    "daily_sales": ("customer_id | missing in contract", "channel | missing in definition", "quantity | data type"),
    "customers": ("channel | missing in definition",),
    "customers_history": ("valid_to | missing in contract", "valid_until | missing in definition"),
}


def test_production_lists_what_is_built(project: Project, tmp_path: Path) -> None:
    """Not a full refresh alone finds a difference."""
    copy = project.copy(tmp_path / "project")
    warehouse = Warehouse(copy, tmp_path / "warehouse", feeds=(SALES, CUSTOMERS))
    assert not warehouse.dbt("build", *warehouse.selection("test", "unit_test")).broken
    for file, changes in DIFFERENT.items():
        copy.patch(file, changes)
    warehouse.project = Project(copy.root, copy.target)
    built = warehouse.dbt("run", "--select", *SAID_OF_IT)
    for model, says in SAID_OF_IT.items():
        # As a table: column, the two types, what is wrong.
        cells = [[cell.strip() for cell in line.split("|")] for line in built.statuses[model].splitlines()]
        said = [f"{line[1]} | {line[4]}" for line in cells if len(line) == 6]
        assert all(any(one.startswith(text) for one in said) for text in says), built.statuses[model]


TEXTS = (
    "quantity",
    "sum(quantity)",
    "it's",
    "back\\slash",
    "-- why",
    "/*",
    "a;b",
    "null",
    "{ x }",
    "0",
    "007",
    "\u00e9",
)
RULES = (
    *(
        "{0} > 0",
        "{0} > 0 or {1} is null",
        "not ({0} = 1 and {1} = 2)",
        "{0} in (1, 2)",
        "{0} = {1}",
        "{0}",
        "{0} is not null",
    ),
    *(
        "length({0}) < 9",
        "{0} = 'a--b'",
        "{0} -- why",
        "{0} > 0; {1}",
        "sum({0}) > 0",
        "{0} || 'x' = 'yx'",
        "coalesce({0}, 0) = 0",
    ),
    *(
        "{0} < file_date + interval '2 days'",
        "cast({0} as date) = file_date",
        "try_cast({0} as integer) > {1}",
        "{0} > (select 1)",
    ),
    *(
        "case when {0} is null then true else {1} = 0 end",
        "{0} between {1} and 5",
        "{0} like '%;%'",
        "lower({0}) = 'x'",
        "({0} > 0",
    ),
)
DECIMALS = st.tuples(st.integers(0, 40), st.integers(0, 40), st.sampled_from(["decimal({},{})", "DECIMAL({}, {})"]))
CONTRACTED = st.fixed_dictionaries(
    {
        "data_type": st.one_of(
            st.sampled_from(["varchar", "text", "integer", "INTEGER", "timestamp", "boolean"]),
            DECIMALS.map(lambda one: one[2].format(*one[:2])),
        )
    },
    optional={
        "default": st.one_of(
            st.sampled_from(TEXTS),
            st.booleans(),
            st.integers(-(10**20), 10**20),
            st.decimals(-99, 99, places=2).map(str),
            st.floats(allow_nan=False, allow_infinity=False),
            st.datetimes().map(str),
            st.none(),
        ),
        "rule": st.tuples(st.sampled_from(RULES), st.integers(0, 30), st.integers(0, 30)),
        "says": st.one_of(st.sampled_from(TEXTS), st.text("ab'\\\\\"\n{%;-", max_size=9)),
        "name": st.sampled_from(
            ["order", "end", "at", "Upper", "a b", "day", "value", "raw_c1", "checked", "type", "left"]
        ),
    },
)


@pytest.mark.long
def test_what_lint_passes_builds(project: Project, tmp_path: Path) -> None:
    """Columns with any contract: those of which `make lint` says nothing are built, and their rows are all judged."""
    copy = project.copy(tmp_path / "project")
    drawn: list[list[dict]] = []

    @settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.lists(CONTRACTED, min_size=31, max_size=31))
    def draw(columns: list[dict]) -> None:
        drawn.append(columns)

    draw()
    landed, kept = {}, 0
    for number, columns in enumerate(drawn):
        table = f"drawn_{number}"
        names = [column.get("name", f"c{place}") for place, column in enumerate(columns)]
        contract = {"thing_id": ("varchar", {"required": True}), "updated_at": ("timestamp", {"required": True})}
        for name, column in zip(names, columns, strict=True):
            meta = {word: column[word] for word in ("default", "says") if word in column}
            if "rule" in column:
                rule, one, other = column["rule"]
                meta["rule"] = rule.format(names[one], names[other])
            contract[name] = (column["data_type"], meta)
        # What lint refuses is left out, with what names it, until it refuses nothing.
        while True:
            with_table(copy, table, ["thing_id"], contract)
            faults = [fault.says for fault in contracts.faults(copy.root) if table in fault.file]
            named = r"column '?{0}\b|^'{0}' cannot be the name of a column"
            refused = {name for name in contract if any(re.search(named.format(name), says) for says in faults)}
            if not refused:
                break
            contract = {name: said for name, said in contract.items() if name not in refused}
            remove_table(copy.root, table)
        assert faults == []
        kept += len(contract) - 2
        values = ["x", "7", "1.5", "true", "2024-01-05T10:00:00Z", ""]
        rows = [
            [f"T{row}", "2024-01-05T10:00:00Z", *(values[(row + place) % 6] for place in range(len(contract) - 2))]
            for row in range(6)
        ]
        landed[f"raw/{table}/2024-01-05/10/a.csv"] = csv_of(list(contract), rows)
    assert kept > 50
    warehouse = Warehouse(Project(copy.root, copy.target), tmp_path / "warehouse", feeds=())
    warehouse.land(landed)
    built = warehouse.dbt("run", "--select", *(f"+drawn_{number}" for number in range(len(drawn))))
    assert not built.broken, built.broken
    judged = warehouse.query("select received, valid + rejected from staging.landed_files")
    assert judged == [(6, 6)] * len(drawn)
