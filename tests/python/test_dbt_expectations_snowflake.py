"""The local package dbt_expectations on Snowflake: its integration project in the emulator, and its SQL parsed."""

from collections.abc import Iterator

import fakesnow
import pytest
from dbt.cli.main import dbtRunnerResult
from expectations import SIGNATURES, fails, integration_project, wrong_results
from sqlfluff.core import FluffConfig, Linter

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("dbt_expectations_snowflake")

# Those whose SQL is compared with a text.
LOOKED_AT = ["regex_raw", "regex_flag", "recent_within"]


def cases(manifest) -> list[str]:
    """One test of each kind and set of arguments, rather one that is to fail: others add no other SQL."""
    found = {}
    for case in manifest.nodes.values():
        if case.resource_type == "test":
            shape = (case.test_metadata.name, frozenset(case.test_metadata.kwargs), bool(case.config.where))
            if shape not in found or fails(case) > fails(found[shape]):
                found[shape] = case
    return [case.name for case in found.values()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dbtRunnerResult]:
    """What `dbt build` came to, in another time zone."""
    options = ["--vars", "{'dbt_date:time_zone': America/Los_Angeles}"]
    _, dbt = integration_project(tmp_path_factory.mktemp("dbt_expectations"), "snowflake", *options)
    chosen = [*cases(dbt("parse").result), *LOOKED_AT, "resource_type:model"]
    with fakesnow.patch():
        yield dbt("build", "--select", *chosen, "--indirect-selection", "empty")


@pytest.fixture(scope="module")
def compiled(built: dbtRunnerResult) -> dict[str, str]:
    return {result.node.name: result.node.compiled_code for result in built.result}


def test_every_result_is_as_expected(built: dbtRunnerResult) -> None:
    assert wrong_results(built) == {}
    assert len(built.result) > 100


def test_the_sql_parses_as_snowflakes(built: dbtRunnerResult) -> None:
    most = {}
    for result in built.result:
        if result.node.resource_type == "test":
            name, given = result.node.test_metadata.name, len(result.node.test_metadata.kwargs)
            most[name] = max(most.get(name, (0, "")), (given, result.node.compiled_code))
    assert most.keys() == SIGNATURES.keys()
    linter = Linter(config=FluffConfig(overrides={"dialect": "snowflake", "templater": "raw"}))
    unparsable = {
        name: [f"line {problem.line_no}: {problem.desc()}" for problem in linter.parse_string(sql).violations]
        for name, (_, sql) in most.items()
    }
    assert {name: problems for name, problems in unparsable.items() if problems} == {}


def test_regular_expressions(compiled: dict[str, str]) -> None:
    assert r"regexp_instr(code, '^AB\\.\\d$') > 0 as expression" in compiled["regex_raw"]
    assert "regexp_instr(code, '^AB-[0-9]$', 1, 1, 0, 'i') > 0 as expression" in compiled["regex_flag"]


def test_time_zone(compiled: dict[str, str]) -> None:
    now = "cast(convert_timezone('America/Los_Angeles', current_timestamp()) as timestamp_ntz)"
    assert compiled["recent_within"].count(now) == 2
