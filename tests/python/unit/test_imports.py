"""Which parts of `orchestration` may import which, and that no test needs another."""

import ast
from pathlib import Path

import pytest

from support.reference import PROJECT

pytestmark = pytest.mark.fast

PACKAGE = PROJECT / "orchestration"
TESTS = PROJECT / "tests" / "python"
ROOMS = ("unit", "dbt", "properties", "airflow", "airflow/runs", "snowflake")


def imported(file: Path) -> set[str]:
    """All modules that a file names in an import, wherever in it that stands."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or "."
            found |= {module, *(f"{module}.{one.name}" for one in node.names)}
    return found


def importing(files: list[Path], *packages: str) -> dict[str, set[str]]:
    """What of some packages these files import."""
    assert files
    found = {str(file.relative_to(PACKAGE)): imported(file) for file in files}
    inside = {
        name: {one for one in modules if any(f"{one}.".startswith(f"{package}.") for package in packages)}
        for name, modules in found.items()
    }
    return {name: modules for name, modules in inside.items() if modules}


def test_nothing_in_production_imports_what_is_local() -> None:
    production = [file for file in PACKAGE.rglob("*.py") if PACKAGE / "local" not in file.parents]
    assert importing(production, "orchestration.local") == {}


def test_only_the_plugin_of_a_landing_zone_imports_dbt() -> None:
    assert importing([*PACKAGE.glob("landing/*.py")], "dbt", "dbt_common").keys() == {"landing/plugin.py"}


def test_events_land_without_airflow_and_dbt() -> None:
    files = [*PACKAGE.glob("events/*.py")]
    assert importing(files, "airflow", "cosmos", "dbt", "dbt_common", "orchestration.project") == {}


def test_a_model_is_trained_and_deployed_without_airflow_and_dbt() -> None:
    files = [*PACKAGE.glob("churn/*.py")]
    assert importing(files, "airflow", "cosmos", "dbt", "dbt_common", "orchestration.project") == {}


def test_a_landing_zone_and_the_settings_need_no_airflow() -> None:
    assert importing([*PACKAGE.glob("landing/*.py"), PACKAGE / "settings.py"], "airflow", "cosmos") == {}


def test_no_test_imports_another() -> None:
    """What several tests need is in `support`, which imports none of them either."""
    tests = [*TESTS.rglob("test_*.py")]
    assert {file.parent for file in tests} == {TESTS / room for room in ROOMS}
    names = {file.stem for file in tests}
    # Whatever of it is imported, and by whichever path: a name of a test stands in it.
    found = {
        str(file.relative_to(TESTS)): {one for one in imported(file) if names.intersection(one.split("."))}
        for file in TESTS.rglob("*.py")
    }
    assert {name: modules for name, modules in found.items() if modules} == {}
