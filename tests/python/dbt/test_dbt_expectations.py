"""The local package dbt_expectations: its integration project on DuckDB, held to the public package's arguments."""

import re
from collections import defaultdict
from pathlib import Path

import duckdb
import pytest
import yaml
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunnerResult

from support.expectations import PACKAGE, SIGNATURES, Dbt, arguments, fails, integration_project, wrong_results

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
