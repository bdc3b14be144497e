"""The public package takes the local one's place by one entry of packages.yml: shown with a stand-in of its name."""

import shutil
from datetime import date
from pathlib import Path

import pytest
from dbt.cli.main import dbtRunner

from support.expectations import SIGNATURES
from support.sales_files import file, row
from support.warehouse import Project, Warehouse, environment

pytestmark = pytest.mark.xdist_group("dbt_expectations_swap")

LOCAL = "- local: packages/dbt_expectations"
DAY = date(2024, 1, 1)


@pytest.fixture
def swapped(project: Project, tmp_path: Path) -> Project:
    """A copy of the project that has the stand-in."""
    standin = tmp_path / "dbt_expectations"
    (standin / "macros").mkdir(parents=True)
    (standin / "dbt_project.yml").write_text("name: dbt_expectations\nversion: 0.10.10\nconfig-version: 2\n")
    for name, signature in SIGNATURES.items():
        test = f"{{% test {name}({signature}) %}}select 1 as stood_in from {{{{ model }}}} where 1 = 0{{% endtest %}}"
        (standin / "macros" / f"{name}.sql").write_text(test)
    copy = project.copy(tmp_path / "project")
    for folder in ("packages", "dbt_packages", "target"):
        shutil.rmtree(copy.root / folder)
    copy.patch("packages.yml", {LOCAL: f"- local: {standin}"})
    with environment():
        deps = dbtRunner().invoke(
            ["deps", "--quiet", "--project-dir", str(copy.root), "--profiles-dir", str(copy.root)]
        )
    assert deps.success, deps.exception
    return copy


def test_the_whole_project_builds(swapped: Project, tmp_path: Path) -> None:
    warehouse = Warehouse(swapped, tmp_path / "warehouse")
    warehouse.land({f"raw/sales/{DAY}/sales_export.csv": file(DAY, row("x", DAY))})
    built = warehouse.dbt("build")
    assert not built.red, built.broken
    stood_in = {
        node.name: node.test_metadata.name
        for node in swapped.manifest.nodes.values()
        if getattr(node, "test_metadata", None) and node.test_metadata.namespace == "dbt_expectations"
    }
    assert {"expression_is_true", "expect_compound_columns_to_be_unique"} <= set(stood_in.values())
    assert stood_in.keys() <= built.statuses.keys()
