"""The local Snowflake: what it repairs of fakesnow, and that fakesnow still needs it; how one comes in; how it ends.

Each repaired statement is run here and on fakesnow as it comes. As soon as that does what Snowflake does, its test
fails: the repair is to go.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from threading import Thread

import fakesnow.arrow
import fakesnow.server
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import snowflake.connector
from cryptography.hazmat.primitives.asymmetric import rsa
from fakesnow.instance import FakeSnow
from snowflake.connector.errors import DatabaseError, ProgrammingError
from starlette.testclient import TestClient

from orchestration.local.stand_ins.snowflake.service import ADMINISTRATOR, SETUP, Snowflake, statements_of
from support.reference import PROJECT
from support.snowflake_warehouse import BUCKET

# What the tests of this file share is made once.
pytestmark = pytest.mark.xdist_group("snowflake")

FORMAT = "create file format strict type = csv skip_header = 1 escape_unenclosed_field = none null_if = ()"
COPY = (
    "copy into t (a, b) from (select $2, metadata$file_row_number from @zone) files = ('x/good.csv', 'x/bad.csv') "
    "file_format = (format_name = 'strict') on_error = skip_file purge = false force = true"
)
PARQUET = (
    "create file format bytes type = parquet binary_as_text = false use_logical_type = true",
    "create table p (source varchar, a binary, b number, c number, t timestamp_ltz)",
    "copy into p from (select metadata$filename, cast($1:a as binary), cast($1:b as number), cast($1:c as number), "
    "cast($1:t as timestamp_ltz) from @zone) files = ('x/good.parquet', 'x/bad.csv') "
    "file_format = (format_name = 'bytes') on_error = skip_file purge = false force = true",
)


T = "create table t (a varchar, b number)"
DONE = [("Statement executed successfully.",)]


@dataclass(frozen=True)
class Repair:
    """Statements, what Snowflake answers to the last one, and those that come before."""

    statement: str
    answer: list[tuple]
    before: tuple[str, ...] = ()


REPAIRS = {
    "list with a path": Repair("list @zone/x/nothing/", []),
    "grant": Repair("grant select on table t to role r", DONE, (T,)),
    "create a role": Repair("create role if not exists r", DONE),
    "create a warehouse": Repair("create warehouse if not exists w auto_suspend = 60", DONE),
    "create an integration": Repair("create storage integration i type = external_stage", DONE),
    "last_query_id": Repair("select a from table(result_scan(last_query_id()))", [(1,)], ("select 1 as a",)),
    "result_scan in a new table": Repair(
        "select a from u",
        [(1,)],
        ("select 1 as a", "create temporary table u as select a from table(result_scan(last_query_id()))"),
    ),
    "query_history": Repair(
        "select query_text from table(information_schema.query_history()) where query_tag = 'it''s I' limit 1",
        [("select 1 as a",)],
        ("alter session set query_tag = 'it''s I'", "select 1 as a"),
    ),
    "a temporary table in a schema": Repair(
        "select a from s.u", [(1,)], ("create or replace temporary table s.u as select 1 as a",)
    ),
    "a view among the tables": Repair(
        "select table_type from information_schema.tables where table_name = 'V'",
        [("VIEW",)],
        ("create view v as select 1 as a",),
    ),
    "an exact sum": Repair(
        "select sum(coalesce(a, 0)) as s from (select cast(9999999999999999999.99 as number(28, 2)) as a) as t",
        [(Decimal("9999999999999999999.99"),)],
    ),
    "the digits of new columns": Repair(
        "select column_name, numeric_precision from information_schema.columns where table_name <> 'T' order by 1",
        [("A", 1), ("A", 1), ("N", 18), ("N", 18), ("X", 38), ("X", 38)],
        (
            T,
            "create table u as select coalesce(0, 1) as a, count(*) as n, cast(0 as bigint) as x from t",
            "create view v as select case when true then 1 else 0 end as a, count(*) as n, max(b) as x from t",
        ),
    ),
    "a sequence in order": Repair(
        "select s.n.nextval as n", [(1,)], ("create sequence s.n start 1 increment 1 order",)
    ),
    "merge in a transaction": Repair(
        "select b from t",
        [(2,)],
        (
            T,
            "insert into t values ('x', 1)",
            "create table u as select 'x' as a, 2 as b",
            "begin",
            "merge into t using u on t.a = u.a when matched then update set b = u.b",
            "commit",
        ),
    ),
    "DDL ends a transaction": Repair(
        "select count(*) from t",
        [(1,)],
        (T, "begin", "insert into t values ('x', 1)", "create table u (a number)", "rollback"),
    ),
    "copy of a query by a named format": Repair("select a, b from t", [("y", 2)], (T, FORMAT, COPY)),
    "copy of fields of Parquet": Repair(
        "select source, hex_encode(a), b, c, "
        "cast(convert_timezone('UTC', t) as timestamp_ntz) = cast('2024-01-05 08:00:00.123' as timestamp_ntz) from p",
        [("zone/x/good.parquet", "00FF", 1, None, True)],
        PARQUET,
    ),
    "a length of bytes": Repair(
        "select hex_encode(cast(a as binary(1))) as a from u",
        [("FF",)],
        ("create table u (a binary(67108864))", "insert into u select to_binary('FF', 'HEX')"),
    ),
    "a key that stands twice": Repair(
        """select try_parse_json('[{"a": {"b": 1, "\\\\u0062": 2}}]') as a, """
        """to_json(try_parse_json('[{"a": 1}, {"a": 2}]')) as b""",
        [(None, '[{"a":1},{"a":2}]')],
    ),
    "what a variant is cast to": Repair(
        "select cast(get(v, 'a') as varchar), cast(get(v, 'b') as varchar), get(v, 'b') is null, get(v, 'c') is null "
        """from (select parse_json('{"a": "x", "b": null}') as v)""",
        [("x", None, False, True)],
    ),
    "is_object": Repair("select is_object(parse_json('{}')), is_object(parse_json('[]'))", [(True, False)]),
    "object_delete": Repair(
        """select to_json(object_delete(parse_json('{"a": 1, "b": null, "c": 2}'), 'a', 'd'))""",
        [('{"b":null,"c":2}',)],
    ),
    "text of bytes": Repair(
        "select try_hex_decode_string('4100F09F9880'), try_hex_decode_string('FF')",
        [("A\0\U0001f600", None)],
    ),
    "a backslash in a pattern": Repair("select regexp_replace('a\\\\b', '[^\\\\\\\\]', 'x')", [("x\\x",)]),
}


@pytest.fixture(scope="module", autouse=True)
def zone(running: Snowflake) -> None:
    """What its stages list."""
    for name, content in {"good.csv": b"h,i\nx,y\n", "bad.csv": b"h,i\nx,\xff\n"}.items():
        running.storage.client.put_object(Bucket=BUCKET, Key=f"zone/x/{name}", Body=content)
    rows = pa.table({"a": [b"\x00\xff"], "b": [1], "t": pa.array([1_704_441_600_123], pa.timestamp("ms", tz="UTC"))})
    pq.write_table(rows, written := BytesIO())
    running.storage.client.put_object(Bucket=BUCKET, Key="zone/x/good.parquet", Body=written.getvalue())


@contextmanager
def account(running: Snowflake, name: str) -> Iterator:
    """A connection to an account that is set up."""
    running.prepare(name)
    with running.connect(name) as connection:
        yield connection


@contextmanager
def bare(running: Snowflake, name: str) -> Iterator:
    """The administrator's connection to an account without the set-up, whose fifty statements cost a second."""
    with running.connect(name, user=ADMINISTRATOR, role="ACCOUNTADMIN", warehouse="") as connection:
        for statement in (
            "create database if not exists analytics",
            "create schema if not exists analytics.staging",
            "create warehouse if not exists compute_wh",
            "use warehouse compute_wh",
            "use schema analytics.staging",
        ):
            connection.cursor().execute(statement)
        yield connection


def prepared(connection) -> None:
    for statement in ("create schema s", f"create stage zone url = 's3://{BUCKET}/zone/'"):
        connection.cursor().execute(statement)


def answer(connection, repair: Repair) -> list[tuple]:
    for statement in repair.before:
        connection.cursor().execute(statement)
    return [tuple(row) for row in connection.cursor().execute(repair.statement).fetchall()]


@pytest.mark.parametrize("name", REPAIRS)
def test_it_does_what_snowflake_does(name: str, running: Snowflake) -> None:
    with bare(running, f"repair{list(REPAIRS).index(name)}") as connection:
        prepared(connection)
        assert answer(connection, REPAIRS[name]) == REPAIRS[name].answer


@pytest.mark.parametrize("name", REPAIRS)
def test_fakesnow_does_not_yet(name: str) -> None:
    connection = FakeSnow().connect("analytics", "staging")
    prepared(connection)
    try:
        found = answer(connection, REPAIRS[name])
    except Exception:
        return
    assert found != REPAIRS[name].answer, "fakesnow does it: take the repair out"


def test_a_malformed_file_is_skipped_alone(running: Snowflake) -> None:
    with bare(running, "skips") as connection:
        prepared(connection)
        for statement in (T, FORMAT):
            connection.cursor().execute(statement)
        rows = connection.cursor(snowflake.connector.DictCursor).execute(COPY).fetchall()
    found = {row["file"].rpartition("/")[2]: (row["status"], row["rows_loaded"], row["first_error"]) for row in rows}
    assert found == {
        "good.csv": ("LOADED", 1, None),
        "bad.csv": ("LOAD_FAILED", 0, "Invalid UTF8 detected while decoding"),
    }


def test_writers_wait_for_each_other(running: Snowflake) -> None:
    with account(running, "locks") as one, running.connect("locks") as other:
        for statement in ("create table t (a number)", "insert into t values (1)", "begin", "update t set a = a + 1"):
            one.cursor().execute(statement)
        query = other.cursor()
        waiting = Thread(target=lambda: query.execute("update t set a = a + 10"))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()
        one.cursor().execute("commit")
        waiting.join(10)
        assert one.cursor().execute("select a from t").fetchall() == [(12,)]


@pytest.mark.long
def test_a_transaction_whose_client_is_lost_stops_nobody_for_long(running: Snowflake) -> None:
    with account(running, "lost") as one:
        one.cursor().execute("create table prod.t as select cast(1 as number) as a")
        for statement in ("begin", "update prod.t set a = 2"):
            one.cursor().execute(statement)
        with running.connect("lost") as other:
            other.cursor().execute("update prod.t set a = a + 10")
            assert other.cursor().execute("select a from prod.t").fetchall() == [(11,)]


@pytest.mark.parametrize("slow", ["waits", "computes"])
def test_a_statement_that_takes_too_long_is_cancelled(slow: str, running: Snowflake) -> None:
    with account(running, f"slow_{slow}") as one, running.connect(f"slow_{slow}") as other:
        one.cursor().execute("create table prod.t (a number)")
        one.cursor().execute(f"insert into prod.t values {', '.join(['(1)'] * 1000)}")
        one.cursor().execute("alter warehouse compute_wh set statement_timeout_in_seconds = 2")
        long = "select sum(t.a + u.a + v.a + w.a) from prod.t, prod.t as u, prod.t as v, prod.t as w"
        if slow == "waits":
            for statement in ("begin", "update prod.t set a = 2"):
                one.cursor().execute(statement)
            long = "update prod.t set a = 3"
        with pytest.raises(ProgrammingError, match=r"warehouse timeout of 2 second\(s\) and was canceled"):
            other.cursor().execute(long)


def test_a_transaction_ends_with_its_session(running: Snowflake) -> None:
    with account(running, "ends") as one:
        temporary = "create or replace temporary table prod.u (a number)"
        for statement in (T, "insert into t values ('x', 1)", temporary, "begin", "delete from t"):
            one.cursor().execute(statement)
    with account(running, "ends") as other:
        other.cursor().execute("insert into t values ('y', 2)")
        assert other.cursor().execute("select a from t order by a").fetchall() == [("x",), ("y",)]
        with pytest.raises(ProgrammingError):
            other.cursor().execute("select a from prod.u")


def test_a_temporary_view_is_its_sessions_alone(running: Snowflake) -> None:
    with account(running, "temporary") as one, account(running, "temporary") as other:
        for session, value in ((one, 1), (other, 2)):
            session.cursor().execute(f"create or replace temporary view prod.v as select {value} as a")
        assert one.cursor().execute("select v.a from prod.v").fetchall() == [(1,)]
        other.cursor().execute("drop view prod.v")
        assert one.cursor().execute("select a from analytics.prod.v").fetchall() == [(1,)]
        with pytest.raises(ProgrammingError):
            other.cursor().execute("select a from prod.v")


def test_writers_of_fakesnow_do_not_wait() -> None:
    shared = FakeSnow()
    one, other = shared.connect("analytics", "staging"), shared.connect("analytics", "staging")
    for statement in ("create table t (a number)", "insert into t values (1)", "begin", "update t set a = a + 1"):
        one.cursor().execute(statement)
    with pytest.raises(Exception, match=r"[Cc]onflict"):
        other.cursor().execute("update t set a = a + 10")


def test_a_null_timestamp_is_null(running: Snowflake) -> None:
    with bare(running, "nulls") as connection:
        rows = connection.cursor().execute("select cast(null as timestamp) as t").fetchall()
    assert rows == [(None,)]
    plain = fakesnow.arrow.timestamp_to_sf_struct(pa.array([None], pa.timestamp("us")))
    assert plain.null_count == 0, "fakesnow does it: take the repair out"


def test_a_large_result_comes_whole(running: Snowflake) -> None:
    with bare(running, "large") as connection:
        ten = "(values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9))"
        many = ", ".join(f"{ten} as t{place} (a)" for place in range(6))
        cursor = connection.cursor().execute(f"select t0.a from {many}, (values (0), (1)) as u (b)")
        assert len(cursor.fetchall()) == 2_000_000
    table = pa.concat_tables([pa.table({"a": [1]}), pa.table({"a": [2]})])
    with pytest.raises(NotImplementedError):
        fakesnow.server.to_ipc(table)


def test_an_unforeseen_statement_is_an_error_with_its_reason(running: Snowflake) -> None:
    with bare(running, "errors") as connection:
        with pytest.raises(ProgrammingError, match=r"(?i)nowhere"):
            connection.cursor().execute("select * from nowhere.t")
        with pytest.raises(ProgrammingError):
            connection.cursor().execute("list @zone/path unknown")


def test_only_the_key_lets_in(running: Snowflake) -> None:
    running.prepare("local")
    stranger = replace(running, private_key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    for wrong in ({}, {"user": "nobody"}, {"account": "elsewhere"}):
        with pytest.raises(DatabaseError, match="JWT token is invalid"):
            (running if wrong else stranger).connect(**wrong)
    with pytest.raises(DatabaseError, match="Role 'NOBODY' specified in the connect string does not exist"):
        running.connect(role="nobody")
    with pytest.raises(
        DatabaseError, match="Role 'SYSADMIN' specified in the connect string is not granted to this user"
    ):
        running.connect(role="sysadmin")
    with pytest.raises(DatabaseError, match="JWT token is invalid"):
        snowflake.connector.connect(
            account="local", host="127.0.0.1", port=running.port, user="etl_user", password="any"
        )


def test_fakesnow_lets_everybody_in() -> None:
    client = TestClient(fakesnow.server.app)
    body = {"data": {"SESSION_PARAMETERS": {}, "ACCOUNT_NAME": "a", "LOGIN_NAME": "b"}}
    assert client.post("/session/v1/login-request", json=body).json()["success"], "take the repair out"


def test_without_a_warehouse_nothing_is_computed(running: Snowflake) -> None:
    running.prepare("idle")
    with running.connect("idle", warehouse="nowhere") as connection:
        connection.cursor().execute(T)
        with pytest.raises(ProgrammingError, match="No active warehouse selected"):
            connection.cursor().execute("insert into t values ('x', 1)")
        with pytest.raises(ProgrammingError, match="does not exist"):
            connection.cursor().execute("use warehouse nowhere")
        connection.cursor().execute("use warehouse compute_wh")
        connection.cursor().execute("insert into t values ('x', 1)")
    plain = FakeSnow().connect("analytics", "staging")
    plain.cursor().execute(T)
    plain.cursor().execute("insert into t values ('x', 1)")


# Whom the set-up lets use which warehouse.
USES = {
    ("transformer", "compute_wh"): True,
    ("transformer", "reading_wh"): False,
    ("developer", "compute_wh"): True,
    ("developer", "reading_wh"): True,
    ("reader", "compute_wh"): False,
    ("reader", "reading_wh"): True,
}


def test_the_set_up_says_who_uses_which_warehouse(running: Snowflake) -> None:
    """And nobody else comes near: what is granted is taken back with the role."""
    running.prepare("uses")
    for (role, warehouse), may in USES.items():
        with running.connect("uses", role=role, warehouse=warehouse) as connection:
            query = connection.cursor()
            if may:
                query.execute("create or replace temporary table staging.u as select 1 as a")
                query.execute("use role reader")
            else:
                with pytest.raises(ProgrammingError, match="No active warehouse selected"):
                    query.execute("create or replace temporary table staging.u as select 1 as a")
                with pytest.raises(ProgrammingError, match="does not exist"):
                    query.execute(f"use warehouse {warehouse}")
            with pytest.raises(ProgrammingError, match="does not exist"):
                query.execute("use role securityadmin")
    with running.connect("uses", user=ADMINISTRATOR, role="ACCOUNTADMIN") as administrator:
        administrator.cursor().execute("revoke role developer from user etl_user")
    with pytest.raises(DatabaseError, match="is not granted to this user"):
        running.connect("uses", role="developer")


def test_who_builds_beside_production_can_only_read_it() -> None:
    grants = [" ".join(one.split()) for one in statements_of(SETUP) if one.split()[0].lower() == "grant"]
    assert [grant for grant in grants if grant.endswith("to role developer")] == [
        "grant role loader to role developer",
        "grant role reader to role developer",
        "grant usage on warehouse compute_wh to role developer",
        "grant create schema on database analytics to role developer",
        "grant usage on schema analytics.staging to role developer",
        *(
            f"grant select on {which} {what} in schema analytics.staging to role developer"
            for which in ("all", "future")
            for what in ("tables", "views")
        ),
    ]
    others = [grant for grant in grants if grant.endswith(("to role loader", "to role reader"))]
    assert {grant.split()[1] for grant in others} == {"usage", "select"}


def test_the_set_up_replaces_nothing_and_is_undone(running: Snowflake) -> None:
    """What a grant on a table lets, what a warehouse costs and what an integration reads is not imitated."""
    with account(running, "twice") as connection:
        connection.cursor().execute(f"create table prod.{T.removeprefix('create table ')}")
        connection.cursor().execute("insert into prod.t values ('x', 1)")
    with account(running, "twice") as connection:
        assert connection.cursor().execute("select a from prod.t").fetchall() == [("x",)]
    for _ in range(2):
        running.run_script("twice", SETUP.with_name("undo.sql"))
    with pytest.raises(DatabaseError, match="JWT token is invalid"):
        running.connect("twice")


def test_an_account_sees_nothing_of_another(running: Snowflake) -> None:
    with account(running, "here") as here, account(running, "there") as there:
        here.cursor().execute("create table only_here (a number)")
        with pytest.raises(ProgrammingError):
            there.cursor().execute("select * from only_here")


OWNER = """
import sys, time
from pathlib import Path
from support.snowflake_warehouse import server
with server(Path(sys.argv[1])) as running:
    print(running.server._supervisor.pid, running.port, flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("end", ["closed", "killed"])
def test_it_is_gone_with_its_owner(end: str, tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "tests" / "python")},
    )
    supervisor = psutil.Process(int(owner.stdout.readline().split()[0]))
    family = [supervisor, *supervisor.children(recursive=True)]
    assert len(family) > 1
    if end == "killed":
        owner.kill()
    else:
        owner.stdin.close()
    owner.wait(30)
    assert not psutil.wait_procs(family, 15)[1]
