"""The local package dbt_expectations: its integration project on DuckDB, and what it says to wrong arguments."""

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
import yaml
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunnerResult
from expectations import PACKAGE, SIGNATURES, Dbt, arguments, fails, integration_project, required, wrong_results

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("dbt_expectations")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dbt]:
    return integration_project(tmp_path_factory.mktemp("dbt_expectations"), "duckdb")


@pytest.fixture(scope="module")
def built(made: tuple[Path, Dbt]) -> dbtRunnerResult:
    """What `dbt build` of the integration project came to."""
    result = made[1]("build")
    DuckDBConnectionManager.close_all_connections()
    return result


@pytest.fixture(scope="module")
def cases(built: dbtRunnerResult) -> dict[str, object]:
    """The tests of the integration project by name."""
    return {result.node.name: result.node for result in built.result if result.node.resource_type == "test"}


def test_every_result_is_as_expected(built: dbtRunnerResult) -> None:
    assert wrong_results(built) == {}
    assert len(built.result) > 200


def test_the_arguments_are_the_public_ones() -> None:
    written = {}
    for file in (PACKAGE / "macros").rglob("*.sql"):
        for name, signature in re.findall(r"{% test (\w+)\((.*?)\) %}", file.read_text(), re.DOTALL):
            written[name] = " ".join(signature.split())
    assert written == SIGNATURES


def test_every_test_passes_fails_and_meets_an_empty_table(cases: dict) -> None:
    seen = defaultdict(set)
    for case in cases.values():
        empty = case.attached_node.rsplit(".")[-1].startswith("no_")
        seen[case.test_metadata.name] |= {"fails" if fails(case) else "passes"} | ({"empty"} if empty else set())
    missing = {name: {"passes", "fails", "empty"} - seen[name] for name in SIGNATURES}
    assert {name: lacks for name, lacks in missing.items() if lacks} == {}


def test_every_argument_is_used(cases: dict) -> None:
    used = defaultdict(set)
    for case in cases.values():
        used[case.test_metadata.name] |= set(case.test_metadata.kwargs)
    unused = {name: set(arguments(name)) - used[name] for name in SIGNATURES}
    assert {name: lacks for name, lacks in unused.items() if lacks} == {}


def test_every_argument_is_documented() -> None:
    documented = {
        macro["name"]: [argument["name"] for argument in macro["arguments"]]
        for macro in yaml.safe_load((PACKAGE / "macros" / "expectations.yml").read_text())["macros"]
        if macro["description"]
    }
    assert documented == {f"test_{name}": arguments(name) for name in SIGNATURES}


def test_each_table_is_read_once(cases: dict) -> None:
    for case in cases.values():
        # Those of the catalog read no table.
        tables = re.findall(r'(?:from|join) ("integration"[^\s)]*)', case.compiled_code)
        compared = "compare_model" in case.test_metadata.kwargs or case.test_metadata.name == "equal_expression"
        assert len(tables) <= 1 + compared, case.compiled_code


# Of the failing rows of a test: some columns, and their values.
FAILING_ROWS = {
    "row_count_of_some": ["actual_value expected_max", (4, 3)],
    "row_count_by_group": ["col_1 actual_value expected_min", ("it's", 1, 2), (None, 1, 2)],
    "row_count_equal_by_group": ["col_1 actual_value expected_value", ("it's", 1, 2)],
    "expression_false": ["id kind amount expression", (1, "a", 10, False)],
    "expression_other_condition": ["amount expression", (-5, -5), (10, 10), (None, 0)],
    "expression_by_group": ["col_1 expression", ("it's", False)],
    "between_min_zero": ["actual_value expected_min kind", (-5, 0, "it's")],
    "not_null_some_are": ["id amount", (None, -5), (None, 100)],
    "null_some_are_not": ["id amount", (1, 10), (2, 20), (3, 30), (3, None)],
    "unique_one_value_is_repeated": ["id n_records", (3, 2)],
    "compound_repeated": ["id kind n_records", (3, "b", 2)],
    "in_set_null_matches_nothing": ["value_field", ("it's",), (None,)],
    "regex_of_some": ["actual_value id amount", ("AB.3", 3, 30)],
    "lengths_too_long_of_some": ["actual_value expected_max code", (4, 3, "AB-1"), (4, 3, "ab-2")],
    "lengths_differ": ["actual_value expected_value code", (1, 4, "x")],
    "pair_not_greater_of_some": ["value_a value_b kind", (1, 10, "a")],
    "mean_by_group": ["col_1 actual_value expected_min expected_max", ("it's", -5, 15, 30), (None, 100, 15, 30)],
    "proportion_by_group": ["col_1 actual_value expected_min", ("b", 0.5, 0.75)],
    "type_differs": ["column_name column_type expected_type", ("id", "INTEGER", "bigint")],
    "column_is_missing": ["column_name found_at", ("NOTE", 0)],
    "columns_missing": ["column_name column_index problem", ("NOTE", 5, "missing")],
    "columns_unexpected": ["column_name problem", ("AMOUNT", "unexpected"), ("CODE", "unexpected")],
    "count_by_group_of_some": ["col_1 expression compare_expression expression_difference", ("b", 1, 2, 1)],
    "aggregation_percent_comes_before_tolerance": [
        "col_1 expression compare_expression expression_difference expression_difference_percent",
        ("c", 7, None, 7, 1),
        (None, 100, None, 100, 1),
    ],
    "recent_without_a_value": ["max_timestamp", (None,)],
}


def test_failing_rows_say_what_failed(cases: dict, made: tuple[Path, Dbt]) -> None:
    with duckdb.connect(made[0] / "integration.duckdb", read_only=True) as warehouse:
        for name, (columns, *rows) in FAILING_ROWS.items():
            found = warehouse.execute(
                f"select {columns.replace(' ', ', ')} from ({cases[name].compiled_code}) order by all"
            )
            assert found.fetchall() == rows, name


def misspelt(test: str) -> tuple[str, dict, str]:
    wrong = arguments(test)[-1][:-1]
    return test, {wrong: 1}, f"'dbt_macro__test_{test}' takes no keyword argument '{wrong}'"


WRONG_ARGUMENTS = [
    *map(misspelt, SIGNATURES),
    ("expect_column_values_to_be_between", {}, "needs min_value, max_value or both"),
    ("expect_table_row_count_to_be_between", {"group_by": ["id"]}, "needs min_value, max_value or both"),
    (
        "expect_table_row_count_to_be_between",
        {"min_value": 1, "group_by": "id"},
        "group_by_columns is a list, not 'id'",
    ),
    ("expect_column_values_to_be_in_set", {"value_set": []}, "value_set has no value"),
    ("expect_column_values_to_be_in_set", {"value_set": "a"}, "value_set is a list, not 'a'"),
    ("expect_column_values_to_match_regex", {"regex": "a", "flags": "?"}, "duckdb have no flag '?'"),
    ("expect_compound_columns_to_be_unique", {"column_list": "id"}, "column_list is a list, not 'id'"),
    ("expect_compound_columns_to_be_unique", {"column_list": ["id"], "quote_columns": 1}, "is true or false"),
    (
        "expect_compound_columns_to_be_unique",
        {"column_list": ["id"], "ignore_row_if": "never"},
        "one of all_values_are_missing, any_value_is_missing, not 'never'",
    ),
    ("equal_expression", {"expression": "count(*)", "compare_group_by": ["id"]}, "are of the same length"),
    (
        "expect_row_values_to_have_recent_data",
        {"datepart": "day", "interval": "one"},
        "interval is a number, not 'one'",
    ),
]


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dbtRunnerResult]:
    """Runs a dbt command in a project of one model, `one`, that has these tests."""
    project, dbt = integration_project(tmp_path_factory.mktemp("dbt_expectations"), "duckdb", bare=True)
    models = project / "models"
    models.mkdir()
    (models / "one.sql").write_text("select 1 as id")
    # What one parse keeps, those that fail do not have to read again.
    assert dbt("parse").success

    def run(command: str, tests: dict[str, dict], **config: object) -> dbtRunnerResult:
        model = {"name": "one", "data_tests": [], "columns": [{"name": "id", "data_tests": []}]}
        for test, given in tests.items():
            of = model["columns"][0] if "column_name" in arguments(test) else model
            written = {"name": f"wrong_{test}", "arguments": given, "config": config}
            of["data_tests"].append({f"dbt_expectations.{test}": written})
        (models / "one.yml").write_text(yaml.safe_dump({"models": [model]}))
        return dbt(command)

    return run


@pytest.mark.parametrize(("test", "given", "says"), WRONG_ARGUMENTS)
def test_a_wrong_argument_is_told_at_parse(wrong, test: str, given: dict, says: str) -> None:
    result = wrong("parse", {test: given})
    assert not result.success
    assert says in str(result.exception)
    assert f"in test wrong_{test} (models/one.yml)" in str(result.exception)


def messages(result: dbtRunnerResult) -> dict[str, str]:
    return {one.node.test_metadata.name: one.message for one in result.result}


def test_an_argument_left_out_is_told(wrong) -> None:
    needed = {test: required(test) for test in SIGNATURES if required(test)}
    given = {test: {"min_value": 1} if "min_value" in arguments(test) else {} for test in needed}
    told = messages(wrong("test", given))
    named = {test: re.findall(r"needs the argument (\w+)", told[test]) for test in needed}
    assert {test: names for test, names in named.items() if len(names) != 1 or names[0] not in needed[test]} == {}


def test_flags_of_another_warehouse_are_told_where_they_are_used(wrong) -> None:
    told = messages(wrong("test", {"expect_column_values_to_match_regex": {"regex": "a", "flags": "e"}}))
    assert "duckdb have no flag 'e'" in told["expect_column_values_to_match_regex"]


def test_a_test_of_columns_takes_no_where(wrong) -> None:
    told = messages(wrong("test", {"expect_column_to_exist": {}}, where="id = 1"))
    assert "it takes no `where`" in told["expect_column_to_exist"]
