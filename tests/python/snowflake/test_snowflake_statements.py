"""What a second daily run sends to Snowflake is in daily-run.snowflake.sql, beside this file; a change shows there.

`make statements` writes it anew.
"""

import difflib
import os
import re
from itertools import groupby
from pathlib import Path

import pytest

from bench.statements import Statement, recorded
from orchestration.local.stand_ins.snowflake.service import Snowflake
from support.reference import SALES
from support.sales_files import FIRST, file
from support.snowflake_warehouse import Account
from support.warehouse import Project

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("snowflake")

RECORD = Path(__file__).with_name("daily-run.snowflake.sql")
HEAD = """-- What a daily run of sales sends to Snowflake, the second day: {number} statements, by node.
-- Written by `make statements`; a test fails while it differs from what is sent.
"""
# What is another in each run.
CHANGING = {
    re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"): "<invocation>",
    re.compile(r"\b[0-9a-f]{32}\b"): "<checksum>",
    re.compile(r"\(%s\)(,\s*\(%s\))*"): "(%s), ...",
}
# Changes to what is there to stay, by a run that is not the first.
DDL_OF_PRODUCTION = re.compile(
    r"\s*(create|alter|drop|comment on)\s+(or replace\s+)?(transient\s+)?(table|view)\s+(?!.*__dbt_tmp)", re.I
)


@pytest.fixture(scope="module")
def account(on_snowflake: Project, running: Snowflake, tmp_path_factory) -> Account:
    """An account with a day in production, and the next in the landing zone."""
    account = Account(on_snowflake, tmp_path_factory.mktemp("account"), feeds=(SALES,), running=running)
    first, second = (f"raw/sales/{day}/sales_export.csv" for day in (FIRST, FIRST.replace(day=2)))
    account.land({first: file(FIRST)})
    assert not account.build(run_date=FIRST).red
    account.land({first: file(FIRST), second: file(FIRST.replace(day=2))})
    return account


@pytest.fixture(scope="module")
def second_day(account: Account) -> list[Statement]:
    with recorded() as statements:
        assert not account.build(run_date=FIRST.replace(day=2)).red
    return statements


def written(statements: list[Statement]) -> str:
    """The record: of each node its statements in their order."""
    text = HEAD.format(number=len(statements))
    for node, sent in groupby(sorted(statements, key=lambda one: one.node), key=lambda one: one.node):
        text += f"\n\n-- {node or 'dbt itself'}\n"
        # Of no node: dbt asks for several schemas at once.
        for statement in sent if node else sorted(sent, key=lambda one: one.text):
            sql = statement.text
            for pattern, name in CHANGING.items():
                sql = pattern.sub(name, sql)
            lines = [line.rstrip() for line in sql.rstrip(";").splitlines() if line.strip()]
            text += "\n" + "\n".join(lines) + ";\n"
    return text


def test_what_is_sent_is_what_the_record_says(second_day) -> None:
    sent = written(second_day)
    if os.environ.get("RECORD"):
        RECORD.write_text(sent)
    known = RECORD.read_text() if RECORD.exists() else ""
    changed = "\n".join(difflib.unified_diff(known.splitlines(), sent.splitlines(), "recorded", "sent", lineterm=""))
    assert not changed, f"what is sent has changed; if it is meant to, `make statements`:\n{changed}"


def test_a_run_that_is_not_the_first_changes_no_table_or_view_of_production(second_day) -> None:
    ddl = [one.text for one in second_day if DDL_OF_PRODUCTION.match(one.text) and "prod." in one.text.lower()]
    assert ddl == []


def test_each_statement_bears_its_node(second_day) -> None:
    tags = [one for one in second_day if one.kind == "alter session"]
    nodes = {one.node for one in second_day if one.node}
    assert {one.node for one in tags} == nodes
    assert all(f'"node": "{one.node}"' in one.text for one in tags)


def test_what_a_merge_reads_it_reads_under_the_lock(second_day) -> None:
    """The local Snowflake lets in one transaction at a time by itself."""
    merge = [one.text for one in second_day if one.node.endswith((".daily_sales", ".sales_by_day", ".typed_sales"))]
    begins = [place for place, text in enumerate(merge) if text.lower() == "begin"]
    assert len(begins) == 3
    assert all(merge[place + 1].startswith("update analytics.staging.merge_lock") for place in begins)
    filled = [merge[begins[1] + place].split()[2] for place in (2, 3, 4)]
    # Of typed_sales is the first, of daily_sales the second.
    assert filled == ["analytics.prod.daily_sales__dbt_tmp", "merge_changes", "merge_entering"]


def test_a_seed_is_replaced_at_once(second_day) -> None:
    """A load beside it never finds it empty."""
    sent = [one.text.split()[0].lower() for one in second_day if one.node.startswith("seed.")]
    assert sent == ["alter", "begin", "delete", "begin", "insert", "commit"]


def test_a_view_is_replaced_if_its_definition_is_another(account: Account) -> None:
    columns = "select column_name from information_schema.columns where table_name = 'LOAD_METRICS'"
    before = account.query(columns)
    with account.connect() as connection:
        for statement in ("create or replace view {} as select 1 as a", "comment on view {} is 'by hand'"):
            connection.cursor().execute(statement.format("prod.load_metrics"))
    assert account.query(columns) == [("A",)]
    assert not account.build("--select", "load_metrics").broken
    assert account.query(columns) == before
