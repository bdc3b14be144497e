"""Which parts of `orchestration` may import which."""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

PACKAGE = Path(__file__).resolve().parents[2] / "orchestration"


def imported(file: Path) -> set[str]:
    """All modules that a file names in an import, wherever in it that stands."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{one.name}" for one in node.names)}
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


def test_a_landing_zone_and_the_settings_need_no_airflow() -> None:
    assert importing([*PACKAGE.glob("landing/*.py"), PACKAGE / "settings.py"], "airflow", "cosmos") == {}
