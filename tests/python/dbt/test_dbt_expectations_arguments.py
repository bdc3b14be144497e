"""What the local package dbt_expectations says to wrong arguments."""

import re
from collections.abc import Callable

import pytest
import yaml
from dbt.cli.main import dbtRunnerResult
from dbt.exceptions import CompilationError
from dbt.parser.schema_generic_tests import SchemaGenericTestParser

from support.expectations import SIGNATURES, arguments, integration_project, required

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("dbt_expectations_arguments")


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


Tests = list[tuple[str, dict]]


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dbtRunnerResult]:
    """Runs a dbt command in a project of one model, `one`, whose tests are named after their places in a list."""
    project, run = integration_project(tmp_path_factory.mktemp("dbt_expectations"), "duckdb", bare=True)
    models = project / "models"
    models.mkdir()
    (models / "one.sql").write_text("select 1 as id")

    def dbt(command: str, tests: Tests, **config: object) -> dbtRunnerResult:
        model = {"name": "one", "data_tests": [], "columns": [{"name": "id", "data_tests": []}]}
        for place, (test, given) in enumerate(tests):
            of = model["columns"][0] if "column_name" in arguments(test) else model
            written = {"name": f"wrong_{place}", "arguments": given, "config": config}
            of["data_tests"].append({f"dbt_expectations.{test}": written})
        (models / "one.yml").write_text(yaml.safe_dump({"models": [model]}))
        return run(command)

    return dbt


@pytest.fixture(scope="module")
def told(dbt) -> dict[str, str]:
    """What one parse says of all wrong arguments, by the test's name: by itself dbt would stop at the first."""
    render, told = SchemaGenericTestParser.render_test_update, {}

    def collect(parser, node, *others) -> None:
        try:
            render(parser, node, *others)
        except CompilationError as error:
            told[node.name] = str(error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SchemaGenericTestParser, "render_test_update", collect)
        assert dbt("parse", [(test, given) for test, given, _ in WRONG_ARGUMENTS]).success
    return told


@pytest.mark.parametrize("place", range(len(WRONG_ARGUMENTS)), ids=[test for test, *_ in WRONG_ARGUMENTS])
def test_a_wrong_argument_is_told_at_parse(told: dict[str, str], place: int) -> None:
    message = told[f"wrong_{place}"]
    assert WRONG_ARGUMENTS[place][2] in message
    assert f"in test wrong_{place} (models/one.yml)" in message


def test_a_wrong_argument_stops_the_parse(dbt) -> None:
    test, given, says = WRONG_ARGUMENTS[0]
    result = dbt("parse", [(test, given)])
    assert not result.success
    assert says in str(result.exception)


def messages(result: dbtRunnerResult) -> dict[str, str]:
    return {one.node.test_metadata.name: one.message for one in result.result}


def test_an_argument_left_out_is_told(dbt) -> None:
    needed = {test: required(test) for test in SIGNATURES if required(test)}
    given = [(test, {"min_value": 1} if "min_value" in arguments(test) else {}) for test in needed]
    said = messages(dbt("test", given))
    named = {test: re.findall(r"needs the argument (\w+)", said[test]) for test in needed}
    assert {test: names for test, names in named.items() if len(names) != 1 or names[0] not in needed[test]} == {}


def test_flags_of_another_warehouse_are_told_where_they_are_used(dbt) -> None:
    said = messages(dbt("test", [("expect_column_values_to_match_regex", {"regex": "a", "flags": "e"})]))
    assert "duckdb have no flag 'e'" in said["expect_column_values_to_match_regex"]


def test_a_test_of_columns_takes_no_where(dbt) -> None:
    said = messages(dbt("test", [("expect_column_to_exist", {})], where="id = 1"))
    assert "it takes no `where`" in said["expect_column_to_exist"]
