"""Statements that are run in another way than fakesnow's."""

from typing import Any

import duckdb
from fakesnow import cursor
from fakesnow.cursor import FakeSnowflakeCursor
from snowflake.connector.errors import Error
from sqlglot import Expr, exp

from orchestration.local.stand_ins.snowflake.answers import refuse
from orchestration.local.stand_ins.snowflake.copies import copy_into, is_transformation
from orchestration.local.stand_ins.snowflake.documents import documents
from orchestration.local.stand_ins.snowflake.queries import (
    computes,
    lengths_of_bytes,
    new_columns,
    query_history,
    result_scan,
    sequences,
    temporary_tables,
)
from orchestration.local.stand_ins.snowflake.sessions import Session, cancelled_in_time, end_by_ddl, locks, session_of
from orchestration.local.stand_ins.snowflake.statements import STATEMENTS

PREPARATIONS = (
    result_scan,
    query_history,
    temporary_tables,
    sequences,
    new_columns,
    lengths_of_bytes,
    documents,
)


def statements(s3: Any) -> None:
    """Put the repaired statements in fakesnow's way."""
    STATEMENTS.s3 = s3
    run, explode, transform, execute = (
        FakeSnowflakeCursor.execute,
        FakeSnowflakeCursor._transform_explode,
        FakeSnowflakeCursor._transform,
        FakeSnowflakeCursor._execute,
    )

    def _transform_explode(self: Any, expression: Expr) -> list[Expr]:
        return [expression] if isinstance(expression, exp.Merge) else explode(self, expression)

    def _transform(self: Any, expression: Expr, params: Any) -> Expr:
        if session_of(self._conn).warehouse is None and computes(expression):
            raise refuse(
                "No active warehouse selected in the current session.  Select an active warehouse with the "
                "'use warehouse' command.",
                606,
                "57P03",
            )
        for prepare in PREPARATIONS:
            expression = prepare(expression, self._conn)
        return transform(self, expression, params)

    def _execute(self: Any, transformed: Expr, params: Any = None) -> None:
        state = session_of(self._conn)
        with cancelled_in_time(self._duck_conn, state), locks(transformed, state):
            if isinstance(transformed, (exp.Create, exp.Drop, exp.Alter)) and state.in_transaction:
                end_by_ddl(self, state)
            try:
                if isinstance(transformed, exp.Transaction):
                    execute(self, begin(self, state), params)
                elif isinstance(transformed, exp.Merge):
                    execute(self, merge(self, transformed), params)
                elif isinstance(transformed, exp.Copy) and is_transformation(transformed):
                    execute(self, copy_into(self, transformed, s3), params)
                else:
                    execute(self, transformed, params)
            except Error:
                raise
            except (duckdb.Error, NotImplementedError) as error:
                raise refuse(str(error).split("\n\n")[0], 904, "42000") from error

    def whole(self: Any, *arguments: Any, **options: Any) -> FakeSnowflakeCursor:
        done = run(self, *arguments, **options)
        session_of(self._conn).last_query = self._sfqid
        return done

    FakeSnowflakeCursor.execute = whole
    FakeSnowflakeCursor._transform_explode = _transform_explode
    FakeSnowflakeCursor._transform = _transform
    FakeSnowflakeCursor._execute = _execute


def begin(self: Any, state: Session) -> Expr:
    """BEGIN (sql-reference/sql/begin) answers like any statement, and does nothing in a transaction. fakesnow's server
    begins one and then fails to describe the result.
    """
    if not state.in_transaction:
        self._duck_conn.execute("begin")
    return exp.maybe_parse(STATEMENTS.DONE, dialect="duckdb")


def merge(self: Any, statement: exp.Merge) -> Expr:
    """MERGE (sql-reference/sql/merge), run by DuckDB's own. fakesnow rewrites it into several statements, which fail
    inside a transaction.
    """
    target = statement.this
    alias = (target.args["alias"].name if target.args.get("alias") else target.name).upper()
    # DuckDB takes no qualifier in what is set or inserted.
    for when in statement.args["whens"].expressions:
        then = when.args.get("then")
        if isinstance(then, exp.Update):
            for assignment in then.expressions:
                if isinstance(assignment.this, exp.Column) and assignment.this.table.upper() == alias:
                    assignment.set("this", exp.column(assignment.this.this))
    sql = statement.sql(dialect="duckdb")
    rows = self._duck_conn.execute(f"{sql} returning merge_action").fetchall()
    done = [action for (action,) in rows]
    actions = {"inserted": "INSERT", "updated": "UPDATE", "deleted": "DELETE"}
    wanted = cursor.merge_operations(statement)
    counts = [f'{done.count(actions[what])} as "number of rows {what}"' for what, whens in wanted.items() if whens]
    query = exp.maybe_parse(f"select {', '.join(counts)}", dialect="duckdb")
    query.set("merge_counts", True)
    return query
