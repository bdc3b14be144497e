"""The local package dbt_expectations on Snowflake: its integration project in the emulator, and its SQL parsed."""

from collections.abc import Iterator

import pytest
from dbt.cli.main import dbtRunnerResult

from support.expectations import SIGNATURES, Dbt, arguments, fails, integration_project, wrong_results

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("dbt_expectations_snowflake")

# Those whose SQL is compared with a text.
LOOKED_AT = ["regex_raw", "regex_flag", "recent_within"]


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dbt]:
    """Runs a dbt command in the emulator, in another time zone than UTC."""
    options = ["--vars", "{'dbt_date:time_zone': America/Los_Angeles}"]
    # Seconds that only the process which runs these tests is to spend.
    import fakesnow

    _, dbt = integration_project(tmp_path_factory.mktemp("dbt_expectations"), "snowflake", *options)
    with fakesnow.patch():
        yield dbt


def cases(manifest) -> list[str]:
    """Enough tests to use each argument of each one, rather those that are to fail."""
    tests = [node for node in manifest.nodes.values() if node.resource_type == "test"]
    tests.sort(key=lambda case: (fails(case), len(case.test_metadata.kwargs)), reverse=True)
    used, chosen = set(), []
    for case in tests:
        uses = {(case.test_metadata.name, argument) for argument in case.test_metadata.kwargs}
        if not uses <= used:
            chosen.append(case.name)
            used |= uses
    assert used == {(name, argument) for name in SIGNATURES for argument in arguments(name)}
    return chosen


@pytest.fixture(scope="module")
def built(dbt: Dbt) -> dbtRunnerResult:
    """What a part of the project, built in seconds, came to."""
    chosen = [*cases(dbt("parse").result), *LOOKED_AT, "resource_type:model"]
    return dbt("build", "--select", *chosen, "--indirect-selection", "empty")


@pytest.fixture(scope="module")
def compiled(built: dbtRunnerResult) -> dict[str, str]:
    return {result.node.name: result.node.compiled_code for result in built.result}


def test_every_result_is_as_expected(built: dbtRunnerResult) -> None:
    assert wrong_results(built) == {}
    assert len(built.result) > 2 * len(SIGNATURES)


@pytest.mark.long
def test_every_result_of_the_whole_project_is_as_expected(dbt: Dbt) -> None:
    built = dbt("build")
    assert wrong_results(built) == {}
    assert len(built.result) > 200


def test_the_sql_parses_as_snowflakes(built: dbtRunnerResult) -> None:
    from sqlfluff.core import FluffConfig, Linter

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
    assert compiled["recent_within"].count("cast(seen_at as timestamp_ntz)") == 2
