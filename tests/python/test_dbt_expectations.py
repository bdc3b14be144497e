"""The local package dbt_expectations: its integration project on DuckDB, and what it says to wrong arguments.

A test of the project that is to fail names its number of failing rows (`error_if: "!=2"`), so that all of them pass.
"""

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from dbt.cli.main import dbtRunner, dbtRunnerResult

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("dbt_expectations")

PACKAGE = Path(__file__).parents[2] / "packages" / "dbt_expectations"
SNOWFLAKE = {"type": "snowflake", "account": "none", "user": "none", "password": "none"}
OUTPUTS = {
    "duckdb": {"type": "duckdb", "path": "integration.duckdb", "schema": "main", "threads": 1},
    "snowflake": SNOWFLAKE | {"database": "analytics", "schema": "staging", "warehouse": "none", "threads": 1},
}
Dbt = Callable[..., dbtRunnerResult]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, in which its integration project may write."""
    copy = tmp_path_factory.mktemp("packages") / "dbt_expectations"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("target", "logs", "dbt_packages"))
    project = copy / "integration_tests"
    profile = {"integration_tests": {"target": "duckdb", "outputs": OUTPUTS}}
    (project / "profiles.yml").write_text(yaml.safe_dump(profile))
    return project


@pytest.fixture(scope="module")
def dbt(project: Path) -> Iterator[Dbt]:
    """Runs a dbt command in the integration project."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        for name in ("DBT_TARGET", "DBT_PROFILES_DIR", "DBT_PROJECT_DIR", "DBT_TARGET_PATH"):
            patch.delenv(name, raising=False)
        runner = dbtRunner()
        options = ["--quiet", "--no-version-check", "--log-level-file", "none", "--profiles-dir", "."]

        def invoke(*arguments: str) -> dbtRunnerResult:
            return runner.invoke([*arguments, *options])

        assert invoke("deps").success
        yield invoke


@pytest.fixture(scope="module")
def built(dbt: Dbt) -> dbtRunnerResult:
    """What `dbt build` of the integration project came to."""
    return dbt("build")


def test_every_result_is_as_expected(built: dbtRunnerResult) -> None:
    assert built.exception is None
    wrong = {
        result.node.name: f"{result.status}: {result.failures} failing rows, {result.message}"
        for result in built.result
        if result.status not in ("pass", "success")
    }
    assert not wrong
    assert len(built.result) > 60


def test_every_test_is_seen_to_pass_and_to_fail(built: dbtRunnerResult, project: Path) -> None:
    expected = defaultdict(set)
    for node in json.loads((project / "target" / "manifest.json").read_text())["nodes"].values():
        if node["resource_type"] == "test":
            expected[node["test_metadata"]["name"]].add(node["config"]["error_if"].replace(" ", "") == "!=0")
    written = {
        name
        for file in (PACKAGE / "macros").rglob("*.sql")
        for name in re.findall(r"{% test (\w+)\(", file.read_text())
    }
    assert dict(expected) == {name: {True, False} for name in written}


def test_every_argument_is_documented(built: dbtRunnerResult, project: Path) -> None:
    macros = json.loads((project / "target" / "manifest.json").read_text())["macros"].values()
    for macro in macros:
        if macro["package_name"] == "dbt_expectations" and macro["name"].startswith("test_"):
            source = re.search(r"{% test \w+\((.*?)\) %}", macro["macro_sql"], re.DOTALL)[1]
            written = re.findall(r"(?:^|,)\s*(\w+)", source)
            documented = [argument["name"] for argument in macro["arguments"]]
            assert macro["description"], macro["name"]
            assert documented == written, macro["name"]


WRONG_ARGUMENTS = [
    ("expect_column_values_to_be_between", {"minimum": 0}, "takes no keyword argument 'minimum'"),
    ("expect_column_values_to_not_be_null", {"row_conditions": "id = 1"}, "takes no keyword argument"),
    ("expect_column_values_to_be_between", {}, "needs min_value, max_value or both"),
    ("expect_column_values_to_be_in_set", {"value_set": []}, "value_set has no value"),
    ("expect_column_values_to_match_regex", {"regex": "a", "flags": "?"}, "duckdb have no flag '?'"),
]
WRONG_TABLE_ARGUMENTS = [
    ("expect_table_row_count_to_be_between", {"group_by": ["id"]}, "needs min_value, max_value or both"),
    ("expect_compound_columns_to_be_unique", {"columns": ["id"]}, "takes no keyword argument 'columns'"),
    ("expect_compound_columns_to_be_unique", {"column_list": "id"}, "column_list is a list of columns"),
    ("expect_compound_columns_to_be_unique", {"column_list": ["id"], "quote_columns": 1}, "is true or false"),
    (
        "expect_compound_columns_to_be_unique",
        {"column_list": ["id"], "ignore_row_if": "never"},
        "one of all_values_are_missing, any_value_is_missing, not 'never'",
    ),
]


@pytest.mark.parametrize(
    ("test", "arguments", "says", "of_table"),
    [(*case, False) for case in WRONG_ARGUMENTS] + [(*case, True) for case in WRONG_TABLE_ARGUMENTS],
)
def test_a_wrong_argument_is_told_at_parse(
    dbt: Dbt, project: Path, built: dbtRunnerResult, test: str, arguments: dict, says: str, of_table: bool
) -> None:
    tests = {"data_tests": [{f"dbt_expectations.{test}": {"arguments": arguments}}]}
    model = {"name": "wrong"} | (tests if of_table else {"columns": [{"name": "id"} | tests]})
    folder = project / "models" / "wrong"
    folder.mkdir()
    try:
        (folder / "wrong.sql").write_text("select 1 as id")
        (folder / "wrong.yml").write_text(yaml.safe_dump({"models": [model]}))
        result = dbt("parse")
    finally:
        shutil.rmtree(folder)
    assert not result.success
    assert says in str(result.exception)
    assert test in str(result.exception)


def test_a_test_of_columns_takes_no_where(dbt: Dbt, project: Path, built: dbtRunnerResult) -> None:
    properties = project / "models" / "samples.yml"
    kept = properties.read_text()
    try:
        properties.write_text(
            kept.replace("name: column_exists\n", "name: column_exists\n              config: {where: id = 1}\n")
        )
        result = dbt("test", "--select", "column_exists")
    finally:
        properties.write_text(kept)
    assert [one.status for one in result.result] == ["error"]
    assert "it takes no `where`" in result.result[0].message


def test_regular_expressions_of_snowflake(dbt: Dbt, project: Path, built: dbtRunnerResult) -> None:
    result = dbt("compile", "--target", "snowflake", "--no-populate-cache", "--select", "regex_raw", "regex_flag")
    assert result.success, result.exception
    compiled = {one.node.name: one.node.compiled_code for one in result.result}
    assert r"regexp_instr(code, '^AB\\.\\d$') > 0 as expression" in compiled["regex_raw"]
    assert "regexp_instr(code, '^AB-[0-9]$', 1, 1, 0, 'i') > 0 as expression" in compiled["regex_flag"]
