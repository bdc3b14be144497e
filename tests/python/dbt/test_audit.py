"""`make audit`: production against what the raw tables say."""

import re
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
from dbt.cli.main import dbtRunner

from orchestration.commands.audit import COMPUTED
from support.commands import audit, audited
from support.derived import it_is_loaded_merged_and_made_anew, with_gross_amount
from support.reference import FEEDS, INVENTORY, SALES
from support.sales_files import CASES, file, row
from support.table_files import path_of, stock
from support.tables import remove_table
from support.warehouse import DATABASE, Project, Warehouse

DAY = date(2024, 1, 1)


@pytest.fixture
def warehouse(project: Project, tmp_path: Path) -> Warehouse:
    warehouse = Warehouse(project, tmp_path / "warehouse", feeds=(SALES, INVENTORY))
    warehouse.land({f"raw/sales/{DAY}/sales_export.csv": file(DAY, row("x", DAY))})
    return warehouse


def test_an_audit_finds_nothing_or_says_what_differs(warehouse, project, tmp_path):
    code, said = audit(warehouse)
    assert (code, "Nothing has been loaded yet" in said) == (1, True)
    warehouse.dbt("build", "--select", "+typed_sales")
    right, said = audited(warehouse)
    assert (right, "Run `dbt build` first" in said) == (False, True)
    # What daily sales builds: the tables never were.
    assert not warehouse.build("test", "--selector", "daily_sales_etl_v2").red
    right, said = audited(warehouse)
    assert right, said
    absent = "churn_scores, customers, events, inventory, model_runs, nps_responses, orders, payments, products"
    assert f"Never loaded, so that there is nothing to audit: {absent}, support_tickets." in said
    assert re.search("prod.daily_sales: [0-9]+ rows, equal", said)
    # An extract that would shrink by now passed in its time, and does so in an audit.
    first, second = path_of(INVENTORY, DAY), path_of(INVENTORY, DAY + timedelta(days=1))
    warehouse.land(warehouse.landed | {first: stock(4), second: stock(4)})
    warehouse.build()
    held = f"raw/sales/{DAY}/held.csv"
    warehouse.land(warehouse.landed | {first: stock(9), held: CASES["header only"].content(DAY)})
    warehouse.build()
    # What was held and let through is merged by the next load, and an audit asks for that.
    assert not warehouse.release(held).broken
    right, said = audited(warehouse)
    assert (right, "1 file(s) have landed or were released and are not merged yet" in said) == (False, True)
    warehouse.build()
    before = warehouse.query("select schema_name from information_schema.schemata order by 1")
    code, said = audit(warehouse)
    assert (code, said.splitlines()[-1]) == (0, "Production is what the raw tables say.")
    # Files of a table that is removed are not of the project any more.
    copy = project.copy(tmp_path / "copy")
    remove_table(copy.root, "inventory")
    warehouse.project = Project(copy.root, copy.target)
    with duckdb.connect(warehouse.folder / DATABASE) as connection:
        connection.execute("update prod.daily_sales set quantity = 77 where sale_id = 'x'")
    right, said = audited(warehouse)
    assert not right
    assert "Production differs from what the raw tables say: prod.daily_sales in 2 rows. " in said
    assert re.search("prod.daily_sales: [0-9]+ rows, 2 differ", said)
    assert "only in production | x |" in said
    assert "missing in production | x |" in said
    assert warehouse.query("select schema_name from information_schema.schemata order by 1") == before


def test_an_audit_computes_all_that_it_compares(project):
    """But for snapshots of customers, which are of their time, that is every table that people read."""
    listed = ["ls", "--resource-type", "model", "--output", "name", "--quiet", *COMPUTED]
    done = dbtRunner(manifest=project.manifest).invoke([*listed, *project.options()])
    models = [node for node in project.manifest.nodes.values() if node.resource_type == "model"]
    read = {model.name for model in models if model.fqn[1] == "marts"}
    assert read - set(done.result) == {"customer_features", "customer_snapshots"}


def test_a_derived_column_is_loaded_merged_made_anew_and_audited(project, tmp_path):
    warehouse = Warehouse(project, tmp_path / "warehouse", feeds=(SALES,))
    changed = with_gross_amount(project, tmp_path / "project")
    it_is_loaded_merged_and_made_anew(warehouse, changed)
    right, said = audited(warehouse)
    assert right, said


@pytest.mark.long
def test_an_audit_passes_over_what_never_was_and_over_nothing_else(warehouse):
    """Tables without sales, and a table that is missing though its files were merged."""
    warehouse.feeds = FEEDS
    warehouse.land({path_of(INVENTORY, DAY): stock(4)})
    assert not warehouse.build("test", "--exclude", "tag:sales+").broken
    code, said = audit(warehouse)
    assert (code, said.splitlines()[-1]) == (0, "Production is what the raw tables say.")
    absent = "churn_scores, events, model_runs, nps_responses, payments, sales, support_tickets"
    assert f"Never loaded, so that there is nothing to audit: {absent}." in said
    assert "prod.inventory: 4 rows, equal" in said
    with duckdb.connect(warehouse.folder / DATABASE) as connection:
        connection.execute("drop view prod.inventory; drop table staging.newest_inventory")
    code, said = audit(warehouse)
    assert (code, f"Never loaded, so that there is nothing to audit: {absent}." in said) == (1, True)
    assert '"prod"."inventory" does not exist yet' in said
