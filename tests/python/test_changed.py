"""`make changed`: what differs from production is built and tested beside it, and production is only read."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import duckdb
import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner
from reference import SALES
from snowflake_warehouse import Account, server, snowflake_project
from test_files import FIRST, file
from warehouse import DATABASE, Project, Warehouse, environment

SELECTED = ("--select", "state:modified+", "--defer", "--exclude-resource-type", "unit_test")
# Changes that say the same in other words.
CHANGES = {
    "sales_by_day": ("group by day, store_id, currency", "group by store_id, day, currency"),
    "daily_sales": ("newest_rows('sales', day='sold_at')", "newest_rows(feed='sales', day='sold_at')"),
}


@pytest.fixture(scope="module", params=["duckdb", "snowflake"])
def production(project: Project, request, tmp_path_factory) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("production")
    with ExitStack() as stack:
        if request.param == "snowflake":
            running = stack.enter_context(server(folder))
            project = snowflake_project(folder / "project", running.environment())
            warehouse = Account(project, folder / "warehouse", feeds=(SALES,), running=running)
        else:
            warehouse = Warehouse(project, folder / "warehouse", feeds=(SALES,))
        warehouse.land({f"raw/sales/{FIRST}/sales_export.csv": file(FIRST)})
        assert not warehouse.build().red
        yield warehouse


def models_and_tests(names: set[str], project: Project) -> set[str]:
    """Some models, and the data tests that read one of them."""
    nodes = project.manifest.nodes.values()
    ids = {node.unique_id for node in nodes if node.name in names}
    tests = {node.name for node in nodes if node.resource_type == "test" and ids & set(node.depends_on.nodes)}
    return names | tests


@pytest.mark.long
def test_all_is_loaded_beside_production(production, tmp_path) -> None:
    """As a developer does, from the landing zone, with registers of his own."""
    if not isinstance(production, Account):
        pytest.skip("on DuckDB it is another file")
    options = ["--exclude", "path:models/tables", "test_name:have_their", "--exclude-resource-type", "unit_test"]
    with environment(**production.places, DBT_SCHEMA="dev_jane"):
        for _ in range(2):
            result = dbtRunner().invoke(["build", "--target", "snowflake_ci", *options, *production.project.options()])
            assert result.success, result.exception or [one.message for one in result.result]
    ours, theirs = (
        Counter(production.query(f"select * from {schema}.sales_by_day")) for schema in ("dev_jane_prod", "prod")
    )
    assert ours == theirs


@pytest.mark.parametrize(
    ("model", "built"),
    [("sales_by_day", {"sales_by_day"}), ("daily_sales", {"daily_sales", "sales_by_day"})],
)
def test_a_change_is_built_with_what_descends_from_it(model, built, production, tmp_path) -> None:
    before, state = production.tables(), tmp_path / "state"
    copy = production.project.copy(tmp_path / "project")
    on_snowflake = isinstance(production, Account)
    target = ("--target", "snowflake_ci" if on_snowflake else "ci")
    with environment(**production.places, CI_WAREHOUSE_PATH=str(tmp_path / "ci.duckdb"), DBT_SCHEMA=f"ci_{model}"):
        parse = ["parse", *production.project.options(), "--target-path", str(state), "--write-json"]
        assert dbtRunner().invoke(parse).success
        copy.patch(f"models/marts/sales/{model}.sql", dict([CHANGES[model]]))
        borrow = ["run-operation", "borrow_registers", *target, *copy.options()]
        assert dbtRunner().invoke(borrow).success
        build = ["build", *target, *SELECTED, "--state", str(state), *copy.options()]
        # The second time it is a load like any other, with nothing that is new.
        for _ in range(2):
            result = dbtRunner().invoke(build)
            assert result.success, result.exception or [one.message for one in result.result]
    DuckDBConnectionManager.close_all_connections()
    assert {one.node.name for one in result.result.results} == models_and_tests(built, production.project)
    assert production.tables() == before
    for name in built:
        if on_snowflake:
            ours, theirs = (
                Counter(production.query(f"select * from {schema}.{name}")) for schema in (f"ci_{model}_prod", "prod")
            )
        else:
            with duckdb.connect(tmp_path / "ci.duckdb", read_only=True) as connection:
                connection.execute(f"attach '{production.folder / DATABASE}' as production (read_only)")
                ours, theirs = (
                    Counter(connection.execute(f"select * from {schema}.{name}").fetchall())
                    for schema in ("ci_prod", "production.prod")
                )
        assert ours == theirs
