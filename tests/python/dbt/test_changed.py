"""`make changed`: what differs from production is built and tested beside it, and production is only read."""

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

from orchestration.commands import changed
from support.reference import FEEDS, ORDERS, PRICES, SALES, Feed
from support.sales_files import FIRST, file
from support.snowflake_warehouse import Account
from support.table_files import orders, path_of, prices
from support.tables import add_prices, remove_table
from support.warehouse import UNUSUAL, Project, Warehouse, environment

# Production is made once for all of them, and Snowflake is started for others too.
pytestmark = pytest.mark.xdist_group("snowflake")

# What a build beside production has for itself, whatever differs.
REGISTERS = {
    *("file_verdicts", "files_to_mend", "known_files", "load_metrics"),
    *("landed_files", "load_ledger", "refused_files", "released_files", "stale_days", "topic_generations"),
}
# Changes that say the same in other words.
CHANGES = {
    "sales_by_day": ("group by day, store_id, currency", "group by store_id, day, currency"),
    "daily_sales": ("-- where the version stands", "-- where this version stands"),
}
STRATEGY = (
    "{%- set anew, is_empty = counts_all_days(), true -%}",
    "{%- set anew,  is_empty = counts_all_days(), true -%}",
)
# Sales and orders name them, and production has neither.
NEVER_LOADED = {"customers", "products"}
ALL_OF_ORDERS = {f"{prefix}orders" for prefix in ("typed_", "clean_", "rejected_", "newest_", "")}
FILE, IN_PROD = "models/feeds/orders/orders.yml", "models/marts/tables/orders.yml"
QUANTITY = "description: Units ordered.\n        data_type: "
TOTAL = "description: Amount of the order in its currency.\n        data_type: "
RULE = ("rule: quantity > 0", "rule: quantity > 1")
CHANNEL_IN_PROD = """      - {name: channel, data_type: varchar, description: How the order came.}
      - {name: updated_at,"""
CHANNEL = """      - &channel
        name: channel
        description: How the order came.
        data_type: varchar
        config: {meta: {optional: true}}
      - &is_deleted
"""


def production_of(request, folder: Path, feeds: tuple[Feed, ...]) -> Warehouse:
    if request.param == "snowflake":
        # The servers are started for these alone.
        project, running = (request.getfixturevalue(name) for name in ("on_snowflake", "running"))
        warehouse = Account(project, folder / "warehouse", feeds=feeds, running=running)
    else:
        warehouse = Warehouse(request.getfixturevalue("project"), folder / "warehouse", feeds=feeds)
    fine = orders(10) | orders(11, quantity="2") | orders(12, quantity="2", total="2.505")
    warehouse.land(fine | {f"raw/sales/{FIRST}/sales_export.csv": file(FIRST)})
    assert not warehouse.build().broken
    return warehouse


@pytest.fixture(scope="module", params=["duckdb", "snowflake"])
def production(request, tmp_path_factory) -> Warehouse:
    return production_of(request, tmp_path_factory.mktemp("production"), (SALES, ORDERS))


@pytest.fixture(scope="module", params=["duckdb", "snowflake"])
def whole_production(request, tmp_path_factory) -> Warehouse:
    return production_of(request, tmp_path_factory.mktemp("production"), FEEDS)


@dataclass
class Beside:
    """A changed copy of the project, and what is built of it beside production, over what an earlier change left."""

    production: Warehouse
    copy: Project

    @property
    def _on_snowflake(self) -> bool:
        return isinstance(self.production, Account)

    @property
    def state(self) -> Path:
        """The folder of production's manifest."""
        return self.copy.root / "state"

    @property
    def _ci(self) -> Path:
        return self.production.folder / "ci.duckdb"

    @property
    def _made(self) -> Path:
        return self.copy.root / ".local" / "changed" / ("snowflake_ci" if self._on_snowflake else "ci")

    def keep_state(self) -> None:
        """As it is made once for all tests of a production."""
        kept = self.production.folder / "state"
        if not kept.exists():
            with environment(**self.production.places):
                parse = ["parse", *self.production.project.options(), "--target-path", str(kept), "--write-json"]
                assert dbtRunner().invoke(parse).success
        shutil.copytree(kept, self.state)

    def build(self) -> bool:
        """What the command comes to."""
        with environment(**self.production.places, CI_WAREHOUSE_PATH=str(self._ci)):
            well = changed.changed(str(self.state), "")
        DuckDBConnectionManager.close_all_connections()
        return well

    @property
    def built(self) -> dict[str, str]:
        """What was built and tested, and what came of it."""
        if not (self._made / "run_results.json").exists():
            return {}
        results = json.loads((self._made / "run_results.json").read_text())["results"]
        manifest = json.loads((self._made / "manifest.json").read_text())
        nodes = manifest["nodes"] | manifest["unit_tests"]
        return {
            nodes[one["unique_id"]]["name"]: one["status"]
            for one in results
            if not one["unique_id"].startswith("operation.")
        }

    @property
    def broken(self) -> set[str]:
        """What is red, but for what is only unusual: of some feeds there is nothing in production."""
        red = {name for name, status in self.built.items() if status not in ("pass", "success", "warn")}
        return {name for name in red if not UNUSUAL.fullmatch(name)}

    def query(self, sql: str) -> list[tuple]:
        """A query of what was built: `prod` and `staging` are the schemas beside."""
        for schema in ("prod", "staging"):
            sql = sql.replace(f" {schema}.", f" ci_{schema}.")
        if self._on_snowflake:
            return self.production.query(sql)
        with duckdb.connect(self._ci, read_only=True) as connection:
            connection.execute(f"attach '{self.production.places['WAREHOUSE_PATH']}' as warehouse (read_only)")
            return connection.execute(sql).fetchall()


def beside_of(production: Warehouse, folder: Path, monkeypatch) -> Beside:
    beside = Beside(production, production.project.copy(folder / "project"))
    beside.keep_state()
    monkeypatch.chdir(beside.copy.root)
    return beside


@pytest.fixture
def beside(production: Warehouse, tmp_path: Path, monkeypatch) -> Beside:
    return beside_of(production, tmp_path, monkeypatch)


@pytest.fixture
def beside_all(whole_production: Warehouse, tmp_path: Path, monkeypatch) -> Beside:
    return beside_of(whole_production, tmp_path, monkeypatch)


def models_and_tests(names: set[str], project: Project) -> set[str]:
    """Some models, and the tests that read one of them and nothing that production never loaded."""
    nodes = [*project.manifest.nodes.values(), *project.manifest.unit_tests.values()]
    ids, lacking = ({node.unique_id for node in nodes if node.name in some} for some in (names, NEVER_LOADED))
    tests = {
        node.name
        for node in nodes
        if node.resource_type in ("test", "unit_test")
        and ids & set(node.depends_on.nodes)
        and not lacking & set(node.depends_on.nodes)
    }
    return names | tests


def tables_of(names: set[str], query: Callable[[str], list[tuple]]) -> dict[str, Counter]:
    return {name: Counter(query(f"select * from prod.{name}")) for name in names}


LONG_ON_SNOWFLAKE = pytest.mark.parametrize(
    "production", ["duckdb", pytest.param("snowflake", marks=pytest.mark.long)], indirect=True, scope="module"
)

LONG_ON_DUCKDB = pytest.mark.parametrize(
    "production", [pytest.param("duckdb", marks=pytest.mark.long), "snowflake"], indirect=True, scope="module"
)


@LONG_ON_SNOWFLAKE
def test_a_contract_and_a_new_table_are_built_beside_production(production, beside, tmp_path, capsys) -> None:
    """A stricter rule, a wider type and a new column of one table, with another table and a macro of a strategy."""
    before, landed, root = production.tables(), production.landed, beside.copy.root
    wider = {f"{TOTAL}decimal(18,2)": f"{TOTAL}decimal(18,4)"}
    beside.copy.patch(FILE, {RULE[0]: RULE[1], "      - &is_deleted\n": CHANNEL, **wider})
    beside.copy.patch(
        IN_PROD,
        {
            'name: order_total, data_type: "decimal(18,2)"': 'name: order_total, data_type: "decimal(18,4)"',
            "      - {name: updated_at,": CHANNEL_IN_PROD,
        },
    )
    beside.copy.patch(IN_PROD.replace(".yml", ".sql"), {"    updated_at,\n": "    updated_at,\n    channel,\n"})
    (root / FILE).write_text((root / FILE).read_text().replace("*updated_at, *", "*updated_at, *channel, *"))
    add_prices(beside.copy)
    beside.copy.patch_macro("totals_by_day", dict([STRATEGY]))
    # What has landed since then comes too, of the tables whose files are read otherwise.
    try:
        production.land(landed | {path_of(PRICES, FIRST): prices({})} | orders(13, quantity="3"))
        assert not beside.build()
    finally:
        production.land(landed)
    assert production.tables() == before

    said = capsys.readouterr().out
    for difference in ("contract of orders", "model prices", "macro materialization_totals_by_day_default"):
        assert f"  {difference}\n" in said
    expected = models_and_tests({"raw_orders", *ALL_OF_ORDERS, "sales_by_day"}, production.project) | REGISTERS
    of_prices = {f"{prefix}prices" for prefix in ("raw_", "typed_", "clean_", "rejected_", "newest_", "")}
    assert beside.built.keys() == expected | of_prices | {"no_prices_file_to_mend"}
    # A file is held by the new rule; the one that was held by the type goes through.
    assert beside.broken == {"no_orders_file_to_mend"}, said
    held = "select source_file from staging.files_to_mend where source_file like 'raw/orders/%'"
    assert production.query(held) == [("raw/orders/2024-01-05/12/orders.csv",)]
    assert beside.query(held) == [("raw/orders/2024-01-05/10/orders.csv",)]
    rows = "select quantity, order_total, channel, count(*) from prod.orders group by 1, 2, 3 order by 1, 2"
    assert beside.query(rows) == [
        (2, Decimal("2.5"), None, 20),
        (2, Decimal("2.505"), None, 20),
        (3, Decimal("2.5"), None, 20),
    ]
    assert beside.query("select count(*) from prod.prices") == [(len(prices({}).splitlines()) - 1,)]
    assert tables_of({"sales_by_day"}, beside.query) == tables_of({"sales_by_day"}, production.query)


@pytest.fixture
def without_orders(production, tmp_path, monkeypatch) -> Iterator[Project]:
    """The project from which a table was removed, as production's."""
    whole = production.project
    copy = whole.copy(tmp_path / "removed")
    remove_table(copy.root, "orders")
    monkeypatch.chdir(copy.root)
    production.project = Project(copy.root, copy.target, whole.settings)
    yield whole
    production.project = whole


@LONG_ON_SNOWFLAKE
def test_a_table_that_is_removed_is_of_the_project_no_more(production, without_orders) -> None:
    """Nothing is red for it or lost of it; it comes back as it was, or once it is forgotten by its files."""
    paths = "select count(*) from {} where source_file like 'raw/orders/%'"
    assert not production.build().red
    assert production.query(paths.format("staging.files_to_mend")) == [(0,)]
    assert production.query(paths.format("staging.known_files") + " and is_unfinished") == [(0,)]
    removed, forget = production.project, ("run-operation", "forget_table", "--args")
    production.project = without_orders
    built = production.dbt(*forget, "{name: orders}")
    assert any("orders is a table of the project" in message for message in built.messages)
    assert not production.build("--select", "tag:orders").broken
    assert production.query("select count(*) from prod.orders") == [(40,)]

    production.project = removed
    assert not production.dbt(*forget, "{name: orders}").broken
    for register in ("staging.landed_files", "staging.refused_files", "prod.load_ledger"):
        assert production.query(paths.format(register)) == [(0,)]
    tables = "select lower(table_name) from information_schema.tables where lower(table_name) like '%orders%'"
    schemas = " and lower(table_schema) in ('prod', 'staging')"
    assert production.query(tables + schemas) == []
    assert any("Nothing is known of" in text for text in production.dbt(*forget, "{name: orders}").messages)

    production.project = without_orders
    assert not production.build("--select", "tag:orders").broken
    assert production.query("select count(*) from prod.orders") == [(40,)]


# On DuckDB it is enough, short, that a change is built with what descends from it.
@LONG_ON_DUCKDB
def test_a_change_is_built_alone_where_nothing_descends_from_it(production, beside) -> None:
    is_built("sales_by_day", {"sales_by_day"}, production, beside)


@LONG_ON_SNOWFLAKE
def test_a_change_is_built_with_what_descends_from_it(production, beside) -> None:
    is_built("daily_sales", {"daily_sales", "sales_by_day"}, production, beside)


def is_built(model: str, built: set[str], production: Warehouse, beside: Beside) -> None:
    before = production.tables()
    beside.copy.patch(f"models/marts/sales/{model}.sql", dict([CHANGES[model]]))
    assert beside.build()
    assert beside.built.keys() == models_and_tests(built, production.project) | REGISTERS
    assert production.tables() == before
    assert tables_of(built, beside.query) == tables_of(built, production.query)


# What is changed; what is said to differ; models that are built and others that are not.
ONES = {
    "type": (
        {
            FILE: {f"{QUANTITY}integer": f"{QUANTITY}decimal(18,2)"},
            IN_PROD: {"name: quantity, data_type: integer": 'name: quantity, data_type: "decimal(18,2)"'},
        },
        {"contract of orders"},
        ALL_OF_ORDERS,
        {"raw_orders"},
    ),
    "required": (
        {FILE: {"meta: {optional: true, default: false}": "meta: {optional: true, required: true, default: false}"}},
        {"contract of orders"},
        ALL_OF_ORDERS,
        {"raw_orders", "daily_sales"},
    ),
    "fresh": (
        {"models/feeds/sales/sales.yml": {"days: 2": "days: 3"}},
        {"contract of sales"},
        {"typed_sales", "daily_sales", "sales_by_day"},
        {"raw_sales", "orders"},
    ),
    "shrinks_by": (
        {"models/feeds/inventory/inventory.yml": {"shrinks_by: 0.5": "shrinks_by: 0.6"}},
        {"contract of inventory"},
        {"typed_inventory", "inventory"},
        {"raw_inventory", "orders"},
    ),
    "seed": (
        {"seeds/currencies.csv": {"\nXAF": "\nXXY\nXAF"}},
        {"seed currencies"},
        {"currencies", "typed_sales", *ALL_OF_ORDERS},
        # Payments have a currency too; production never loaded any.
        {"customers", "typed_payments"},
    ),
    "var": (
        {"dbt_project.yml": {"max_reject_rate: 0.05": "max_reject_rate: 0.06"}},
        {"model typed_orders", "model typed_sales"},
        {*ALL_OF_ORDERS, "daily_sales"},
        {"raw_orders"},
    ),
    "merge": (
        {"write_ledger": {"having sum(difference) <> 0": "having sum(difference) != 0"}},
        {"macro write_ledger"},
        {"newest_orders", "orders", "daily_sales", "customers"},
        {"typed_orders", "raw_sales"},
    ),
    "gate": (
        {"judge_landing": {"when judged.received = 0 then": "when judged.received < 1 then"}},
        {"macro judge_landing"},
        {*ALL_OF_ORDERS, "daily_sales", "customers"},
        {"raw_orders", "currencies"},
    ),
    "load": (
        {"create_raw_table": {"('landing_id', 'bigint')\n": "('landing_id', 'bigint'),\n"}},
        {"macro create_raw_table"},
        {"raw_orders", *ALL_OF_ORDERS, "raw_sales", "daily_sales"},
        {"currencies"},
    ),
    "operation": (
        {"audit_ready": {"Nothing has been loaded yet.": "Nothing was loaded yet."}},
        {"macro audit_ready, which no model, seed or test uses"},
        set(),
        {"file_verdicts"},
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("name", ONES)
def test_what_counts_as_a_difference(name, whole_production, beside_all, capsys) -> None:
    changes, said, built, left_out = ONES[name]
    before = whole_production.tables()
    for path, texts in changes.items():
        patch = beside_all.copy.patch if "." in path else beside_all.copy.patch_macro
        patch(path, texts)
    beside_all.build()
    out = capsys.readouterr().out
    assert not [line for line in said if f"  {line}\n" not in out], out
    assert built <= beside_all.built.keys()
    assert not left_out & beside_all.built.keys()
    assert "typed_payments" not in left_out or re.search("Production has no .*raw_payments", out), out
    # Production has a file of orders that is held.
    assert beside_all.broken <= {"no_orders_file_to_mend"}
    assert whole_production.tables() == before


@pytest.mark.long
def test_what_is_renamed_or_gone_is_said(whole_production, beside_all, capsys) -> None:
    folder = beside_all.copy.root / "models/marts/sales"
    (folder / "sales_by_day.sql").rename(folder / "sales_per_day.sql")
    for path in folder.glob("*.yml"):
        path.write_text(path.read_text().replace("sales_by_day", "sales_per_day"))
    remove_table(beside_all.copy.root, "inventory")
    assert beside_all.build()
    out = capsys.readouterr().out
    assert "model sales_by_day, which is gone" in out and "model inventory, which is gone" in out
    assert "prod.inventory stays in production until" in out
    assert {"sales_per_day", *REGISTERS} <= beside_all.built.keys()
    rows = (
        beside_all.query("select * from prod.sales_per_day"),
        whole_production.query("select * from prod.sales_by_day"),
    )
    assert Counter(rows[0]) == Counter(rows[1])


@pytest.mark.long
def test_nothing_is_built_where_nothing_differs(whole_production, beside_all, capsys) -> None:
    beside_all.copy.patch(FILE, {"description: Units ordered.": "description: Units that were ordered."})
    assert beside_all.build()
    assert "Nothing to do: models, contracts, seeds, macros, tests and vars are those of" in capsys.readouterr().out
    assert not beside_all.built


@pytest.mark.long
def test_all_is_loaded_beside_production(production, tmp_path) -> None:
    """As a developer does, from the landing zone, with registers of his own."""
    if not isinstance(production, Account):
        pytest.skip("on DuckDB it is another file")
    options = [
        "--selector",
        "daily_sales_etl_v2",
        "--indirect-selection",
        "cautious",
        "--exclude-resource-type",
        "unit_test",
    ]
    with environment(**production.places, DBT_SCHEMA="dev_jane"):
        for _ in range(2):
            result = dbtRunner().invoke(["build", "--target", "snowflake_ci", *options, *production.project.options()])
            assert result.success, result.exception or [one.message for one in result.result]
    ours, theirs = (
        Counter(production.query(f"select * from {schema}.sales_by_day")) for schema in ("dev_jane_prod", "prod")
    )
    assert ours == theirs


@pytest.mark.fast
def test_production_is_of_the_main_branch_or_of_a_named_commit(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(changed.CannotCompareError, match="git does not know what production is"):
        changed.base_commit("")
    who = ("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--allow-empty", "--message")

    def git(*command: str) -> str:
        return subprocess.run(["git", *command], capture_output=True, check=True, text=True).stdout.strip()

    git("init", "--quiet", "--initial-branch=main")
    git(*who, "first")
    first = git("rev-parse", "HEAD")
    assert changed.base_commit("") == first
    git("switch", "--quiet", "--create", "mine")
    git(*who, "second")
    assert changed.base_commit("") == first
    assert changed.base_commit("mine") == git("rev-parse", "HEAD")
    with pytest.raises(changed.CannotCompareError, match="Name a commit by BASE"):
        changed.base_commit("nowhere")
