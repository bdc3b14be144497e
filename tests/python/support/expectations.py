"""The local package dbt_expectations: what it has in common with the public one, and a copy of its integration project.

A test of that project that is to fail names its number of failing rows (`error_if: "!=2"`), so that all of them pass.
"""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml
from dbt.cli.main import dbtRunner, dbtRunnerResult

from support.reference import PROJECT
from support.warehouse import OPTIONS, environment

PACKAGE = PROJECT / "packages" / "dbt_expectations"
SNOWFLAKE = {"type": "snowflake", "account": "none", "user": "none", "password": "none"}
OUTPUTS = {
    "duckdb": {"type": "duckdb", "schema": "main", "threads": 1},
    "snowflake": SNOWFLAKE | {"database": "analytics", "schema": "staging", "warehouse": "none", "threads": 1},
}
Dbt = Callable[..., dbtRunnerResult]

BETWEEN = "min_value=None, max_value=None"
AGGREGATE = f"model, column_name, {BETWEEN}, group_by=None, row_condition=None, strictly=False"
COMPARE = "group_by=None, compare_group_by=None"
CONDITIONS = "row_condition=None, compare_row_condition=None"
TOLERANCES = "tolerance=0.0, tolerance_percent=None"
REGEX = 'model, column_name, regex, row_condition=None, is_raw=False, flags=""'
IN_SET = "model, column_name, value_set, quote_values=True, row_condition=None"
EXPRESSION = "group_by_columns=None, row_condition=None"

# The arguments of the public package's tests, in its order and with its defaults.
SIGNATURES: Mapping[str, str] = {
    "equal_expression": f"model, expression, compare_model=None, compare_expression=None, {COMPARE}, {CONDITIONS}, "
    f"{TOLERANCES}",
    "expect_column_max_to_be_between": AGGREGATE,
    "expect_column_mean_to_be_between": AGGREGATE,
    "expect_column_min_to_be_between": AGGREGATE,
    "expect_column_pair_values_A_to_be_greater_than_B": "model, column_A, column_B, or_equal=False, row_condition=None",
    "expect_column_pair_values_to_be_equal": "model, column_A, column_B, row_condition=None",
    "expect_column_proportion_of_unique_values_to_be_between": AGGREGATE,
    "expect_column_sum_to_be_between": AGGREGATE,
    "expect_column_to_exist": 'model, column_name, column_index=None, transform="upper"',
    "expect_column_unique_value_count_to_be_between": AGGREGATE,
    "expect_column_value_lengths_to_be_between": f"model, column_name, {BETWEEN}, row_condition=None, strictly=False",
    "expect_column_value_lengths_to_equal": "model, column_name, value, row_condition=None",
    "expect_column_values_to_be_between": f"model, column_name, {BETWEEN}, row_condition=None, strictly=False",
    "expect_column_values_to_be_in_set": IN_SET,
    "expect_column_values_to_be_in_type_list": "model, column_name, column_type_list",
    "expect_column_values_to_be_null": "model, column_name, row_condition=None",
    "expect_column_values_to_be_of_type": "model, column_name, column_type",
    "expect_column_values_to_be_unique": "model, column_name, row_condition=None",
    "expect_column_values_to_match_regex": REGEX,
    "expect_column_values_to_not_be_in_set": IN_SET,
    "expect_column_values_to_not_be_null": "model, column_name, row_condition=None",
    "expect_column_values_to_not_match_regex": REGEX,
    "expect_compound_columns_to_be_unique": "model, column_list, quote_columns=False, "
    'ignore_row_if="all_values_are_missing", row_condition=None',
    "expect_row_values_to_have_recent_data": "model, column_name, datepart, interval, row_condition=None",
    "expect_table_aggregation_to_equal_other_table": "model, expression, compare_model, compare_expression=None, "
    f"{COMPARE}, {CONDITIONS}, {TOLERANCES}",
    "expect_table_columns_to_match_ordered_list": 'model, column_list, transform="upper"',
    "expect_table_row_count_to_be_between": f"model, {BETWEEN}, group_by=None, row_condition=None, strictly=False",
    "expect_table_row_count_to_equal": "model, value, group_by=None, row_condition=None",
    "expect_table_row_count_to_equal_other_table": f"model, compare_model, {COMPARE}, factor=1, {CONDITIONS}",
    "expect_table_row_count_to_equal_other_table_times_factor": "model, compare_model, factor, "
    f"{COMPARE}, {CONDITIONS}",
    "expression_between": f"model, expression, {BETWEEN}, {EXPRESSION}, strictly=False",
    "expression_is_true": f'model, expression, test_condition="= true", {EXPRESSION}',
}


def arguments(test: str) -> list[str]:
    """The names of a test's arguments."""
    return re.findall(r"(?:^|, )(\w+)", SIGNATURES[test])


def required(test: str) -> list[str]:
    """Those which dbt does not give by itself and which have no default."""
    return [
        name for name in re.findall(r"(?:^|, )(\w+)(?=,|$)", SIGNATURES[test]) if name not in ("model", "column_name")
    ]


def integration_project(folder: Path, target: str, *options: str, bare: bool = False) -> tuple[Path, Dbt]:
    """A copy of the package's integration project, or of its frame, and what runs a dbt command in it."""
    shutil.copytree(
        PACKAGE, folder, ignore=shutil.ignore_patterns("target", "logs", "dbt_packages"), dirs_exist_ok=True
    )
    project = folder / "integration_tests"
    if bare:
        shutil.rmtree(project / "models")
    outputs = OUTPUTS | {"duckdb": OUTPUTS["duckdb"] | {"path": str(project / "integration.duckdb")}}
    profile = {"integration_tests": {"target": target, "outputs": outputs}}
    (project / "profiles.yml").write_text(yaml.safe_dump(profile))
    places = ("--project-dir", str(project), "--profiles-dir", str(project))
    runner = dbtRunner()

    def dbt(*arguments: str) -> dbtRunnerResult:
        with environment():
            return runner.invoke([*arguments, *options, *OPTIONS, *places])

    assert dbt("deps").success
    return project, dbt


def fails(case) -> bool:
    """Whether a test of the project is to find failing rows."""
    return case.config.error_if.replace(" ", "") != "!=0" or "(count(*)=0)" in case.config.fail_calc


def wrong_results(built: dbtRunnerResult) -> dict[str, str]:
    """What did not come to what it names."""
    assert built.exception is None, built.exception
    return {
        result.node.name: f"{result.status}: {result.failures} failing rows, {result.message}"
        for result in built.result
        if result.status not in ("pass", "success")
    }
