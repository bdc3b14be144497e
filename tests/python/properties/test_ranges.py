"""The merge looks for its keys in ranges of production: they hold every key, and one old key opens no gap."""

import os
from collections.abc import Callable

import duckdb
import pytest
from dbt.cli.main import dbtRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from support.warehouse import DATABASE, Project, environment

MARK = 7_000_000

Ranges = list[tuple[str, str]]


@pytest.fixture(scope="module")
def ranges(project: Project, tmp_path_factory) -> Callable[[list[str]], Ranges]:
    """The ranges that the macro makes of some keys."""
    call = f"{{{{ cut_keys('sale_id', 'select sale_id from arriving', {MARK}) }}}}"
    with environment(WAREHOUSE_PATH=str(tmp_path_factory.mktemp("ranges") / DATABASE)):
        result = dbtRunner().invoke(["compile", "--no-populate-cache", "--inline", call, *project.options()])
    assert result.success, result.exception
    sql = result.result.results[0].node.compiled_code
    connection = duckdb.connect()

    def cut(keys: list[str]) -> Ranges:
        connection.execute("create or replace table arriving (sale_id varchar)")
        connection.executemany("insert into arriving values (?)", [[key] for key in keys])
        common = len(os.path.commonprefix(keys))  # noqa: RUF071 (character by character)
        return connection.execute(sql.replace(str(MARK + 1), str(common + 1))).fetchall()

    return cut


@settings(max_examples=100, deadline=None)
@given(keys=st.lists(st.text(max_size=8) | st.integers(0, 10**6).map("K{:07}".format), min_size=1, max_size=40))
def test_every_key_lies_in_one_of_few_ranges(ranges, keys: list[str]) -> None:
    found = ranges([key.replace("\0", "0") for key in keys])
    assert len(found) <= 8
    for key in keys:
        assert any(low <= key.replace("\0", "0") <= high for low, high in found)


@pytest.mark.parametrize("first", [9_500, 99_950, 1_234_000, 5_000_000])
def test_an_old_key_has_a_range_of_its_own(ranges, first: int) -> None:
    keys = [f"S{number:09}" for number in range(first, first + 1_000)]
    old = f"S{first // 30:09}"
    found = ranges([old, *keys])
    assert (old, old) in found
    assert min(low for low, _ in found if low != old) == keys[0]
