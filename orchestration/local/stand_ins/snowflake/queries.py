"""Parts of a statement that are put in other words before fakesnow runs it."""

from typing import Any

import pyarrow as pa
from sqlglot import Expr, exp

from orchestration.local.stand_ins.snowflake.answers import refuse
from orchestration.local.stand_ins.snowflake.sessions import session_of
from orchestration.local.stand_ins.snowflake.statements import STATEMENTS


def computes(statement: Expr) -> bool:
    """Whether a statement needs a warehouse (user-guide/warehouses-overview): one that reads or changes tables.

    fakesnow runs it without one.
    """
    if isinstance(statement, (exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Copy)):
        return True
    if isinstance(statement, exp.Create):
        return statement.kind == "TABLE" and isinstance(statement.expression, (exp.Select, exp.SetOperation))
    tables = statement.find_all(exp.Table) if isinstance(statement, (exp.Select, exp.SetOperation)) else ()
    return any(table.db.upper() not in ("INFORMATION_SCHEMA", "") for table in tables)


def table_named(name: str) -> exp.Table:
    """A table in a statement."""
    return exp.Table(this=exp.to_identifier(name, quoted=True))


def result_scan(expression: Expr, connection: Any) -> Expr:
    """RESULT_SCAN of LAST_QUERY_ID(), anywhere in a query (sql-reference/functions/result_scan).

    fakesnow takes a literal id only, and only as the whole query.
    """
    for scan in list(expression.find_all(exp.TableFromRows)):
        if isinstance(scan.this, exp.Anonymous) and scan.this.name.upper() == "RESULT_SCAN":
            asked = scan.this.expressions[0]
            query = session_of(connection).last_query if not isinstance(asked, exp.Literal) else asked.name
            result = connection.results_cache.get(query)
            if result is None:
                raise refuse(f"Statement {query} not found", 709, "02000")
            name = f"_result_{next(STATEMENTS.numbers)}"
            connection._duck_conn.register(name, result[0])
            scan.replace(table_named(name))
    return expression


def query_history(expression: Expr, connection: Any) -> Expr:
    """QUERY_HISTORY (sql-reference/functions/query_history): the statements of the account, and the tag of each; of its
    columns these two. fakesnow does not know it.
    """
    for function in list(expression.find_all(exp.TableFromRows)):
        if isinstance(function.this, exp.Dot) and function.this.name.upper() == "QUERY_HISTORY":
            history = list(session_of(connection).account.history)
            name = f"_result_{next(STATEMENTS.numbers)}"
            columns = {"QUERY_TEXT": [text for text, _ in history], "QUERY_TAG": [tag for _, tag in history]}
            connection._duck_conn.register(name, pa.table(columns))
            function.replace(table_named(name))
    return expression


def temporary_tables(expression: Expr, connection: Any) -> Expr:
    """A temporary table or view lives in a schema, for its session alone (user-guide/tables-temp-transient,
    sql-reference/sql/create-view). DuckDB's live in a catalog of their own, and fakesnow fails for a qualified name.
    Here it has a name that no other session knows.
    """
    state = session_of(connection)
    if isinstance(expression, exp.Create) and expression.kind in ("TABLE", "VIEW"):
        target, properties = expression.find(exp.Table), expression.args.get("properties")
        if target and target.db and properties:
            kept = [one for one in properties.expressions if not isinstance(one, exp.TemporaryProperty)]
            if len(kept) < len(properties.expressions):
                properties.set("expressions", kept)
                state.temporary.setdefault(_key(target), (expression.kind, f"{target.name}_{next(STATEMENTS.numbers)}"))
    for table in list(expression.find_all(exp.Table)):
        if _key(table) in state.temporary:
            if isinstance(table.parent, (exp.From, exp.Join)) and not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
            key = _key(table)
            table.set("this", exp.to_identifier(state.temporary[key][1].upper(), quoted=True))
            if isinstance(expression, exp.Drop):
                state.temporary.pop(key)
    return expression


def _key(table: exp.Table) -> tuple[str, str]:
    return table.db.upper(), table.name.upper()


def sequences(expression: Expr, _: Any) -> Expr:
    """A sequence with a qualified name, and with ORDER (sql-reference/sql/create-sequence). fakesnow drops the
    qualification of `s.nextval` and hands ORDER on to DuckDB, which does not know it.
    """
    for options in expression.find_all(exp.SequenceProperties):
        options.set("options", [one for one in options.args.get("options") or [] if one.name.upper() != "ORDER"])
    for column in list(expression.find_all(exp.Column)):
        if column.name.upper() == "NEXTVAL" and column.table and column.args.get("db"):
            name = ".".join(part.name.upper() for part in column.parts[:-1])
            column.replace(exp.Anonymous(this="nextval", expressions=[exp.Literal.string(name)]))
    return expression


def new_columns(expression: Expr, _: Any) -> Expr:
    """A new column has the type of its value (sql-reference/sql/create-table, "CREATE TABLE ... AS SELECT"): a number
    has the digits that it is written with, a count or a length 18. fakesnow makes NUMBER(38, 0) of all of them.
    """
    query = expression.expression if isinstance(expression, exp.Create) else None
    if not query or expression.kind not in ("TABLE", "VIEW"):
        return expression
    for select in query.find_all(exp.Select):
        for value in [value for one in select.expressions for value in _values(one)]:
            if value.is_number and isinstance(value.to_py(), int):
                value.replace(exp.cast(value.copy(), f"decimal({len(str(abs(value.to_py())))}, 0)"))
    for found in list(query.find_all(exp.Count, exp.RowNumber, exp.Length)):
        value = found.parent if isinstance(found.parent, exp.Window) else found
        value.replace(exp.cast(value.copy(), "decimal(18, 0)"))
    return expression


def lengths_of_bytes(expression: Expr, _: Any) -> Expr:
    """BINARY may say its length (sql-reference/data-types-text). DuckDB's BLOB has none, and fakesnow hands it on."""
    for kind in expression.find_all(exp.DataType):
        if kind.this in (exp.DataType.Type.BINARY, exp.DataType.Type.VARBINARY):
            kind.set("expressions", None)
    return expression


def _values(one: Expr) -> list[Expr]:
    """What a value may be: itself, or the branches of a condition."""
    if isinstance(one, (exp.Alias, exp.Paren)):
        return _values(one.this)
    if isinstance(one, exp.Case):
        branches = [branch.args["true"] for branch in one.args["ifs"]] + [one.args.get("default")]
    elif isinstance(one, exp.Coalesce):
        branches = [one.this, *one.expressions]
    else:
        return [one]
    return [value for branch in branches if branch for value in _values(branch)]
