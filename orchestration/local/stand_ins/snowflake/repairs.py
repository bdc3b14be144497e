"""What fakesnow 0.11.18 lacks of Snowflake, one repair each.

Every repair says what Snowflake documents and what fakesnow does instead; `tests/python/test_snowflake_emulator.py`
runs each of its statements on fakesnow as it comes and tells when a repair is no longer needed. No repair knows a
table, a column or a model of this project. Pages are below https://docs.snowflake.com/en/.
"""

import contextvars
import csv
import gzip
import io
import json
import re
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from string import Template
from typing import Any

import boto3
import duckdb
import jwt
import pyarrow as pa
import pyarrow.compute as pc
from botocore.exceptions import ClientError
from fakesnow import arrow, cursor, info_schema, server, transforms
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.expr import normalise_ident
from fakesnow.instance import FakeSnow
from fakesnow.transforms import stage
from snowflake.connector.errors import Error, ProgrammingError
from sqlglot import Expr, exp
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

Json = dict[str, Any]
LOCK_SECONDS = 60
# Five minutes on Snowflake, for which nobody waits here.
IDLE_SECONDS = 10
TWO_DAYS = 172_800

# Stands for a carriage return that Python's reader would end a record at.
LONE_RETURN = "\uf8ff"

csv.field_size_limit(16_777_216)


def repair(public_key: str, storage: Json) -> None:
    """Apply all repairs to the fakesnow of this process."""
    s3 = boto3.client("s3", **storage)
    accounts(public_key)
    errors()
    sessions_of_their_own()
    statements(s3)
    null_timestamps()
    large_results()
    comments()
    listed_views()
    exact_sums()
    in_place()


def refuse(message: str, errno: int = 1003, sqlstate: str = "42000") -> ProgrammingError:
    """An error as Snowflake answers it."""
    return ProgrammingError(msg=message, errno=errno, sqlstate=sqlstate)


def _route(path: str, endpoint: Callable) -> None:
    place = next(n for n, route in enumerate(server.app.router.routes) if route.path == path)
    server.app.router.routes[place] = Route(path, endpoint, methods=["POST"])


async def _body(request: Request) -> Json:
    body = await request.body()
    return json.loads(gzip.decompress(body) if request.headers.get("Content-Encoding") == "gzip" else body)


def _with_body(request: Request, body: Json) -> Request:
    data = json.dumps(body).encode()
    request._body = gzip.compress(data) if request.headers.get("Content-Encoding") == "gzip" else data
    return request


# By its kind and its name: a role, a user, a warehouse, an integration.
Object = tuple[str, str]


@dataclass
class Account:
    """What an account has beside its databases: its objects, and the public key of each user."""

    databases: FakeSnow | None = None
    objects: set[Object] = field(default_factory=set)
    keys: dict[str, str] = field(default_factory=dict)
    # A role or a warehouse, and the role or the user that may use it.
    grants: set[tuple[Object, Object]] = field(default_factory=lambda: set(SYSTEM_GRANTS))
    # Seconds after which a statement is cancelled, by warehouse.
    timeouts: dict[str, int] = field(default_factory=dict)
    # What was sent, and with which tag.
    history: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=10_000))

    def may_use(self, whose: Object) -> set[Object]:
        """What a role or a user may use, by roles of roles too (user-guide/security-access-control-overview)."""
        found, new = set(), {whose, ("ROLE", "PUBLIC")}
        while new:
            found |= new
            new = {what for what, to in self.grants if to in found} - found
        return found


ACCOUNTS: dict[str, Account] = {}
ADMINISTRATOR = "ADMINISTRATOR"
SYSTEM_ROLES = ("ACCOUNTADMIN", "SECURITYADMIN", "USERADMIN", "SYSADMIN", "PUBLIC")
SYSTEM_GRANTS = (
    (("ROLE", "ACCOUNTADMIN"), ("USER", ADMINISTRATOR)),
    (("ROLE", "SECURITYADMIN"), ("ROLE", "ACCOUNTADMIN")),
    (("ROLE", "USERADMIN"), ("ROLE", "SECURITYADMIN")),
    (("ROLE", "SYSADMIN"), ("ROLE", "ACCOUNTADMIN")),
)


def accounts(public_key: str) -> None:
    """Key-pair authentication (user-guide/key-pair-auth): the client signs a token that names account and user.

    An account sees nothing of another one (user-guide/admin-account-identifier); a role that is not there, or is not
    granted to the user, lets nobody in, and one without a warehouse does not get it
    (user-guide/security-access-control-overview); a database that is not there is not made by who connects to it.
    fakesnow lets everybody in, and all accounts are one.
    """
    login = server.login_request

    async def login_request(request: Request) -> JSONResponse:
        data, asked = (await _body(request))["data"], request.query_params
        name, user = str(data.get("ACCOUNT_NAME", "")).upper(), str(data.get("LOGIN_NAME", "")).upper()
        account = ACCOUNTS.setdefault(name, Account(keys={ADMINISTRATOR: public_key}))
        try:
            if data.get("AUTHENTICATOR") != "SNOWFLAKE_JWT":
                raise jwt.InvalidTokenError
            claims = jwt.decode(data["TOKEN"], account.keys[user], algorithms=["RS256"])
            if claims["sub"] != f"{name}.{user}":
                raise jwt.InvalidTokenError
        except (jwt.InvalidTokenError, KeyError):
            return _rejected("390144", "JWT token is invalid.")
        role, warehouse = asked.get("roleName", "PUBLIC").upper(), asked.get("warehouse", "").upper()
        if ("ROLE", role) not in account.may_use(("USER", user)):
            known = role in SYSTEM_ROLES or ("ROLE", role) in account.objects
            return _rejected(
                "390186" if known else "390189",
                f"Role '{role}' specified in the connect string "
                f"{'is not granted to this user' if known else 'does not exist or not authorized'}. Contact your local "
                "system administrator, or attempt to login with another role, e.g. PUBLIC.",
            )
        account.databases = account.databases or FakeSnow(
            create_database_on_connect=False, create_schema_on_connect=False
        )
        server.shared_fs = account.databases
        answer = json.loads((await login(request)).body)
        # The client ends a session only if it has this token, which could renew it.
        answer["data"]["masterToken"] = answer["data"]["token"]
        connection = server.sessions[answer["data"]["token"]]
        state = _session(connection)
        state.account, state.user, state.role = account, user, role
        state.warehouse = warehouse if ("WAREHOUSE", warehouse) in account.may_use(("ROLE", role)) else None
        return JSONResponse(answer)

    _route("/session/v1/login-request", login_request)


def _rejected(code: str, message: str) -> JSONResponse:
    return JSONResponse({"data": None, "code": code, "message": message, "success": False})


def errors() -> None:
    """A statement that fails is answered with its error (developer-guide/sql-api/handling-responses).

    fakesnow answers what it did not foresee with HTTP 500, which the client repeats for ever, and does not say why.
    """
    cause: contextvars.ContextVar[BaseException | None] = contextvars.ContextVar("cause", default=None)
    logged, answer = server.logger.error, server.query_request

    def error(message: str, *_: object, exc_info: BaseException | None = None, **__: object) -> None:
        cause.set(exc_info)
        logged(f"{message} {exc_info!r}", exc_info=exc_info)

    async def query_request(request: Request) -> JSONResponse:
        try:
            body = await _body(request)
            connection = server.to_conn(server.to_token(request))
            body["sqlText"] = STATEMENTS.text(body["sqlText"], connection)
            response = await answer(_with_body(request, body))
            if response.status_code != 500:
                return response
            problem = cause.get()
        except Exception as found:
            problem = found
        if isinstance(problem, server.ServerError):
            message = problem.message
        else:
            message = getattr(problem, "msg", None) or f"{type(problem).__name__}: {problem}"
        data = {"errorCode": "000603", "sqlState": "XX000"}
        return JSONResponse({"data": data, "code": "000603", "message": message, "success": False})

    server.logger.error = error
    _route("/queries/v1/query-request", query_request)


@dataclass
class Session:
    """What a session has beside its DuckDB connection."""

    account: Account = field(default_factory=Account)
    user: str = ""
    role: str = ""
    warehouse: str | None = None
    owns_lock: bool = False
    in_transaction: bool = False
    # None while it executes a statement.
    idle_since: float | None = None
    last_query: str | None = None
    query_tag: str = ""
    # Of a temporary table or view, by schema and name: its kind, and what it is called here.
    temporary: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    @property
    def timeout(self) -> int:
        """Seconds after which a statement is cancelled."""
        return self.account.timeouts.get(self.warehouse, TWO_DAYS)


SESSIONS: dict[int, Session] = {}
LOCK = threading.Lock()
# Guards which session owns it.
OWNERS = threading.Lock()


def _session(connection: object) -> Session:
    return SESSIONS.setdefault(id(connection), Session())


def sessions_of_their_own() -> None:
    """When a session ends its transaction is rolled back and its temporary tables go (sql-reference/transactions,
    user-guide/tables-temp-transient). fakesnow forgets the session and leaves its DuckDB connection as it is.
    """
    answer = server.session

    async def session(request: Request) -> JSONResponse:
        connection = server.sessions.get(server.to_token(request)) if request.query_params.get("delete") else None
        response = await answer(request)
        if connection is not None:
            state = SESSIONS.pop(id(connection), Session())
            if state.in_transaction:
                connection._duck_conn.execute("rollback")
            for (schema, _), (kind, name) in state.temporary.items():
                connection._duck_conn.execute(f'drop {kind} if exists "{schema}"."{name.upper()}"')
            if state.owns_lock:
                LOCK.release()
            connection._duck_conn.close()
        return response

    _route("/session", session)


class Statements:
    """The statements that are read or run in another way than fakesnow's."""

    LIST = re.compile(r"\s*(?:list|ls)\s+@([\w.$]+)(/\S*)?\s*;?\s*", re.IGNORECASE)
    # They say nothing of the data. A comment on a view is kept.
    ACCEPTED = re.compile(
        r"\s*(grant|revoke)\s|\s*alter\s+session\s+(un)?set\s+query_tag\b|\s*comment\s+(if\s+exists\s+)?on\s+(?!view\s)"
        r"|\s*alter\s+user\s|\s*alter\s+(table|view)\s+\S+\s+(alter|modify)\s+(column\s+)?\S+\s+comment\s",
        re.IGNORECASE,
    )
    SET_QUERY_TAG = re.compile(r"\s*alter\s+session\s+set\s+query_tag\s*=\s*'((?:[^']|'')*)'\s*;?\s*", re.IGNORECASE)
    OBJECT = re.compile(
        r"\s*(create|drop)\s+(?:or\s+replace\s+)?(role|warehouse|user|(?:storage\s+)?integration)\s+"
        r"(if\s+(?:not\s+)?exists\s+)?(\w+)(.*)",
        re.IGNORECASE | re.DOTALL,
    )
    TIMEOUT = re.compile(r"\bstatement_timeout_in_seconds\s*=\s*(\d+)", re.IGNORECASE)
    ALTER_WAREHOUSE = re.compile(r"\s*alter\s+warehouse\s+(?:if\s+exists\s+)?(\w+)\s+set\s+(.*)", re.IGNORECASE)
    DROP_DATABASE = re.compile(r"\s*drop\s+database\s+(?:if\s+exists\s+)?(\w+)\s*;?\s*", re.IGNORECASE)
    USE = re.compile(r"\s*use\s+(role|warehouse)\s+(\w+)\s*;?\s*", re.IGNORECASE)
    GRANT = re.compile(
        r"\s*(grant|revoke)\s+(?:role|usage\s+on\s+(warehouse))\s+(\w+)\s+(?:to|from)\s+(role|user)\s+(\w+)\s*;?\s*",
        re.IGNORECASE,
    )
    DONE = "select 'Statement executed successfully.' as \"status\""

    def __init__(self) -> None:
        self.s3: Any = None
        self.numbers = count(1)

    def text(self, sql: str, connection: Any) -> str:
        """What fakesnow's parser does not take.

        LIST with a path (sql-reference/sql/list): of an external stage the URL, size, MD5 and time of each file below
        the path. GRANT, REVOKE, COMMENT, ALTER USER, MANAGED ACCESS and QUERY_TAG (sql-reference/sql/grant-privilege,
        -/comment, -/alter-user, -/create-schema, sql-reference/parameters): accepted. fakesnow fails.
        """
        if re.match(r"\s*create\s+schema\s", sql, re.IGNORECASE):
            sql = re.sub(r"\swith\s+managed\s+access\b", "", sql, flags=re.IGNORECASE)
        state = _session(connection)
        state.account.history.append((sql, state.query_tag))
        bare = re.sub(r"\A(\s*/\*.*?\*/)+|(\s*/\*[^*]*\*/\s*;?)+\s*\Z", "", sql, flags=re.DOTALL)
        if found := self.LIST.fullmatch(bare):
            return self._listing(found.group(1), (found.group(2) or "").lstrip("/"), connection)
        if found := self.SET_QUERY_TAG.fullmatch(bare):
            state.query_tag = found.group(1).replace("''", "'")
        if found := self.GRANT.fullmatch(bare):
            self._grant(state.account, *(part.upper() if part else "ROLE" for part in found.groups()))
        if self.ACCEPTED.match(bare):
            return self.DONE
        if found := self.OBJECT.fullmatch(bare):
            self._object(state, *found.groups())
            return self.DONE
        if (found := self.ALTER_WAREHOUSE.fullmatch(bare)) and (timeout := self.TIMEOUT.search(found.group(2))):
            state.account.timeouts[found.group(1).upper()] = int(timeout.group(1))
            return self.DONE
        if found := self.DROP_DATABASE.fullmatch(bare):
            self._drop_database(found.group(1).upper(), connection)
            return self.DONE
        if found := self.USE.fullmatch(bare):
            self._use(state, found.group(1).upper(), found.group(2).upper())
            return self.DONE
        if re.fullmatch(r"\s*show\s+parameters\s+like\s+'query_tag'\s+in\s+session\s*;?\s*", bare, re.IGNORECASE):
            return "select 'QUERY_TAG' as \"key\", '' as \"value\""
        return sql

    @staticmethod
    def _drop_database(name: str, connection: Any) -> None:
        """DROP DATABASE (sql-reference/sql/drop-database). fakesnow hands it on to DuckDB, which detaches instead."""
        if connection.database == name:
            connection._duck_conn.execute("use memory")
        connection._duck_conn.execute(f'detach database if exists "{name}"')

    @staticmethod
    def _use(state: Session, kind: str, name: str) -> None:
        """USE ROLE, USE WAREHOUSE (sql-reference/sql/use-role, -/use-warehouse): of those that one may use."""
        if (kind, name) not in state.account.may_use(("USER", state.user) if kind == "ROLE" else ("ROLE", state.role)):
            raise refuse("Object does not exist, or operation cannot be performed.", 2043, "02000")
        setattr(state, kind.lower(), name)

    @staticmethod
    def _grant(account: Account, what: str, kind: str, name: str, to: str, whom: str) -> None:
        """GRANT and REVOKE of a role and of a warehouse (sql-reference/sql/grant-role, -/grant-privilege)."""
        grant = {((kind, name), (to, whom))}
        account.grants = account.grants | grant if what == "GRANT" else account.grants - grant

    @staticmethod
    def _object(state: Session, what: str, kind: str, condition: str | None, name: str, rest: str) -> None:
        """The objects of an account (sql-reference/sql/create-role, -warehouse, -user, -storage-integration).

        They are there, they may be used by whom they are granted to, a warehouse by the role that made it, and a user
        has a key; what else they can is not imitated. fakesnow knows no role, warehouse or integration.
        """
        account, kind, name = state.account, kind.split()[-1].upper(), name.upper()
        known = (kind, name) in account.objects
        if what.lower() == "drop":
            if not known and not condition:
                raise refuse(f"{kind.title()} '{name}' does not exist or not authorized.", 2003, "02000")
            account.objects.discard((kind, name))
            account.grants = {grant for grant in account.grants if (kind, name) not in grant}
            account.keys.pop(name if kind == "USER" else "", None)
        elif known and not condition:
            raise refuse(f"Object '{name}' already exists.", 2002, "42710")
        elif not known:
            account.objects.add((kind, name))
            if kind == "WAREHOUSE":
                account.grants.add(((kind, name), ("ROLE", state.role)))
                if timeout := Statements.TIMEOUT.search(rest):
                    account.timeouts[name] = int(timeout.group(1))
            if key := re.search(r"rsa_public_key\s*=\s*'([^']*)'", rest, re.IGNORECASE):
                body = key.group(1)
                account.keys[name] = f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"

    def _listing(self, name: str, path: str, connection: Any) -> str:
        bucket, prefix = self.place(name, connection)
        rows = []
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + path):
            for item in page.get("Contents", []):
                key, when = item["Key"].replace("'", "''"), item["LastModified"].strftime("%a, %d %b %Y %H:%M:%S GMT")
                tag = item["ETag"].strip('"')
                rows.append(f"('s3://{bucket}/{key}', {item['Size']}, '{tag}', '{when}')")
        columns = '"name", "size", "md5", "last_modified"'
        if not rows:
            return f"select column1 as {columns.replace(', ', ', column1 as ')} from (values ('')) where false"
        return f"select * from (values {', '.join(rows)}) as listed ({columns})"

    def place(self, name: str, connection: Any) -> tuple[str, str]:
        """The bucket and the prefix of an external stage."""
        database, schema, stage_name = stage.parts_from_var(name, connection.database, connection.schema)
        found = connection._duck_conn.execute(
            "select url from _fs_global._fs_information_schema._fs_stages "
            "where database_name = ? and schema_name = ? and name = ?",
            (database, schema, stage_name),
        ).fetchone()
        if not found or not found[0].startswith("s3://"):
            raise refuse(f"Stage '{database}.{schema}.{stage_name}' does not exist or not authorized.", 2003, "02000")
        bucket, _, prefix = found[0].removeprefix("s3://").partition("/")
        return bucket, prefix


STATEMENTS = Statements()


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
        if _session(self._conn).warehouse is None and computes(expression):
            raise refuse(
                "No active warehouse selected in the current session.  Select an active warehouse with the "
                "'use warehouse' command.",
                606,
                "57P03",
            )
        for prepare in (result_scan, query_history, temporary_tables, sequences, new_columns):
            expression = prepare(expression, self._conn)
        return transform(self, expression, params)

    def _execute(self: Any, transformed: Expr, params: Any = None) -> None:
        state = _session(self._conn)
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
        _session(self._conn).last_query = self._sfqid
        return done

    FakeSnowflakeCursor.execute = whole
    FakeSnowflakeCursor._transform_explode = _transform_explode
    FakeSnowflakeCursor._transform = _transform
    FakeSnowflakeCursor._execute = _execute


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


def _table(name: str) -> exp.Table:
    return exp.Table(this=exp.to_identifier(name, quoted=True))


def result_scan(expression: Expr, connection: Any) -> Expr:
    """RESULT_SCAN of LAST_QUERY_ID(), anywhere in a query (sql-reference/functions/result_scan).

    fakesnow takes a literal id only, and only as the whole query.
    """
    for scan in list(expression.find_all(exp.TableFromRows)):
        if isinstance(scan.this, exp.Anonymous) and scan.this.name.upper() == "RESULT_SCAN":
            asked = scan.this.expressions[0]
            query = _session(connection).last_query if not isinstance(asked, exp.Literal) else asked.name
            result = connection.results_cache.get(query)
            if result is None:
                raise refuse(f"Statement {query} not found", 709, "02000")
            name = f"_result_{next(STATEMENTS.numbers)}"
            connection._duck_conn.register(name, result[0])
            scan.replace(_table(name))
    return expression


def query_history(expression: Expr, connection: Any) -> Expr:
    """QUERY_HISTORY (sql-reference/functions/query_history): the statements of the account, and the tag of each; of its
    columns these two. fakesnow does not know it.
    """
    for function in list(expression.find_all(exp.TableFromRows)):
        if isinstance(function.this, exp.Dot) and function.this.name.upper() == "QUERY_HISTORY":
            history = list(_session(connection).account.history)
            name = f"_result_{next(STATEMENTS.numbers)}"
            columns = {"QUERY_TEXT": [text for text, _ in history], "QUERY_TAG": [tag for _, tag in history]}
            connection._duck_conn.register(name, pa.table(columns))
            function.replace(_table(name))
    return expression


def temporary_tables(expression: Expr, connection: Any) -> Expr:
    """A temporary table or view lives in a schema, for its session alone (user-guide/tables-temp-transient,
    sql-reference/sql/create-view). DuckDB's live in a catalog of their own, and fakesnow fails for a qualified name.
    Here it has a name that no other session knows.
    """
    state = _session(connection)
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


def timed_out(seconds: int) -> ProgrammingError:
    """What a statement is answered that took too long."""
    text = f"Statement reached its statement or warehouse timeout of {seconds} second(s) and was canceled."
    return refuse(text, 630, "57014")


@contextmanager
def cancelled_in_time(connection: Any, state: Session) -> Iterator[None]:
    """A statement that takes longer than its warehouse allows is cancelled (sql-reference/parameters,
    STATEMENT_TIMEOUT_IN_SECONDS; two days if nobody says otherwise). fakesnow knows no time-out.
    """
    seconds = state.timeout
    alarm = threading.Timer(seconds, connection.interrupt)
    alarm.daemon = True
    alarm.start()
    try:
        yield
    except Error as error:
        if isinstance(error.__cause__, duckdb.InterruptException):
            raise timed_out(seconds) from error
        raise
    finally:
        alarm.cancel()


class locks:
    """DML waits for the locks of another transaction, which is rolled back if it has been idle for a while, as that of
    a client that was killed (sql-reference/transactions, "Resource locking" and "Aborting transactions": five minutes).
    DuckDB fails at once with a conflict. Here one transaction writes at a time.
    """

    def __init__(self, transformed: Expr, state: Session) -> None:
        self.transformed, self.state = transformed, state
        reads = isinstance(transformed, (exp.Select, exp.SetOperation, exp.Describe, exp.Show, exp.Use, exp.Set))
        self.writes = not reads and not isinstance(transformed, exp.Subquery)

    def __enter__(self) -> None:
        with OWNERS:
            self.state.idle_since = None
        if self.writes and not self.state.owns_lock:
            deadline, timeout = time.monotonic() + LOCK_SECONDS, self.state.timeout
            cancelled = time.monotonic() + timeout
            while not LOCK.acquire(timeout=1):
                roll_back_the_idle()
                if time.monotonic() > cancelled:
                    raise timed_out(timeout)
                if time.monotonic() > deadline:
                    raise refuse("Lock wait timeout: another session has a transaction open.", 625, "57014")
            with OWNERS:
                self.state.owns_lock = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with OWNERS:
            if isinstance(self.transformed, exp.Transaction) and kind is None:
                self.state.in_transaction = True
            elif isinstance(self.transformed, (exp.Commit, exp.Rollback)):
                self.state.in_transaction = False
            if self.state.owns_lock and not self.state.in_transaction:
                self.state.owns_lock = False
                LOCK.release()
            self.state.idle_since = time.monotonic()


def roll_back_the_idle() -> None:
    """Rolls back a transaction that holds the lock and of which nothing has been heard for a while."""
    with OWNERS:
        for connection in list(server.sessions.values()):
            state = _session(connection)
            if state.owns_lock and state.idle_since and time.monotonic() - state.idle_since > IDLE_SECONDS:
                connection._duck_conn.execute("rollback")
                state.in_transaction = state.owns_lock = False
                LOCK.release()


def end_by_ddl(self: Any, state: Session) -> None:
    """DDL commits the transaction that is open (sql-reference/transactions, "DDL"). fakesnow's takes part in it."""
    self._duck_conn.execute("commit")
    state.in_transaction = False


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


def is_transformation(statement: exp.Copy) -> bool:
    """Whether a COPY loads the result of a query."""
    return isinstance(statement.args["files"][0].this, exp.Select)


def copy_into(self: Any, statement: exp.Copy, s3: Any) -> Expr:
    """COPY INTO with a transformation, file by file (sql-reference/sql/copy-into-table, user-guide/data-load-transform,
    user-guide/querying-metadata): FILES, FORMAT_NAME, ON_ERROR = SKIP_FILE, PURGE and FORCE; a file that cannot be
    parsed or converted is skipped as a whole and the result says why. fakesnow knows neither FORMAT_NAME nor SKIP_FILE
    nor METADATA$ columns, and reads PURGE = FALSE and FORCE = FALSE as TRUE.
    """
    options = {one.this.name.upper(): one for one in statement.args.get("params") or []}
    on_error = _word(options.get("ON_ERROR"), "ABORT_STATEMENT")
    if on_error not in ("ABORT_STATEMENT", "SKIP_FILE"):
        raise NotImplementedError(f"COPY with ON_ERROR = {on_error}")
    if _word(options.get("PURGE"), "FALSE") == "TRUE" or _word(options.get("FORCE"), "FALSE") != "TRUE":
        raise NotImplementedError("COPY with PURGE = TRUE or without FORCE = TRUE")
    if "FILES" not in options:
        raise NotImplementedError("COPY without FILES")
    names = [literal.name for literal in options["FILES"].find_all(exp.Literal)]
    rules = _rules(self, options["FILE_FORMAT"])
    query = statement.args["files"][0].this
    bucket, prefix = STATEMENTS.place(query.args["from_"].this.name.lstrip("@"), self._conn)
    results = []
    for name in names:
        key = prefix + name
        result = {"file": f"s3://{bucket}/{key}", "status": "LOADED", "rows_parsed": 0, "rows_loaded": 0}
        result |= {"error_limit": 1, "errors_seen": 0, "first_error": None, "first_error_line": None}
        result |= {"first_error_character": None, "first_error_column_name": None}
        try:
            rows = _converted(self, statement.this, query, _staged(s3, bucket, key, rules, query))
            result["rows_parsed"] = result["rows_loaded"] = rows.num_rows
            self._duck_conn.register("_copied", rows)
            self._duck_conn.execute(f"insert into {statement.this.sql(dialect='duckdb')} select * from _copied")
            self._duck_conn.unregister("_copied")
        except Malformed as problem:
            if on_error == "ABORT_STATEMENT":
                raise refuse(str(problem), 100038, "22018") from problem
            result |= {"status": "LOAD_FAILED", "errors_seen": 1, "first_error": str(problem)}
            result["first_error_line"] = problem.line
        results.append(result)
    name = f"_copy_{next(STATEMENTS.numbers)}"
    texts = ("file", "status", "first_error", "first_error_column_name")
    schema = pa.schema([pa.field(key, pa.string() if key in texts else pa.int64()) for key in results[0]])
    self._duck_conn.register(name, pa.Table.from_pylist(results, schema=schema))
    return exp.select("*").from_(_table(name))


class Malformed(Exception):
    """A file that cannot be loaded."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def _word(option: exp.CopyParameter | None, default: str) -> str:
    if option is None:
        return default
    value = option.expression
    return str(value.this if isinstance(value, exp.Boolean) else value.name).upper()


def _rules(self: Any, option: exp.CopyParameter) -> Json:
    given = {one.this.name.upper(): one.args["value"] for one in option.expressions}
    if "FORMAT_NAME" not in given:
        raise NotImplementedError("COPY with a transformation without FORMAT_NAME")
    parts = [normalise_ident(part) for part in given["FORMAT_NAME"].name.split(".")]
    database, schema, name = [*[self._conn.database, self._conn.schema][: 3 - len(parts)], *parts]
    found = self._duck_conn.execute(
        "select options from _fs_global._fs_information_schema._fs_file_formats "
        "where database_name = ? and schema_name = ? and name = ?",
        (database, schema, name),
    ).fetchone()
    if not found:
        raise refuse(f"File format '{database}.{schema}.{name}' does not exist or not authorized.", 2003, "02000")
    rules = json.loads(found[0])
    if rules["TYPE"].upper() != "CSV":
        raise NotImplementedError(f"COPY with a transformation of {rules['TYPE']}")
    return rules


def _text(data: bytes, key: str, rules: Json) -> str:
    if key.endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise Malformed(f"Error while decompressing the file: {error}") from error
    try:
        text = data.decode("utf-8", "replace" if rules["REPLACE_INVALID_CHARACTERS"] else "strict")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Malformed("Invalid UTF8 detected while decoding", line) from error
    return text.removeprefix("\ufeff") if rules["SKIP_BYTE_ORDER_MARK"] else text


def _none(value: Any) -> str | None:
    return None if value is None or str(value).upper() == "NONE" else str(value)


def _records(text: str, rules: Json) -> Iterator[list[str]]:
    """The records of a file by the rules of its format; a blank line is one without fields."""
    delimiter, quote = _none(rules["FIELD_DELIMITER"]), _none(rules["FIELD_OPTIONALLY_ENCLOSED_BY"])
    if delimiter is None:
        for line in io.StringIO(text, newline="\n"):
            line = line.removesuffix("\r\n").removesuffix("\n")
            yield [line] if line else []
        return
    if _none(rules["ESCAPE"]) or _none(rules["ESCAPE_UNENCLOSED_FIELD"]):
        raise NotImplementedError("a file format with an escape character: set ESCAPE_UNENCLOSED_FIELD = NONE")
    quoting = {"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}
    # A new line is LF or CRLF; a carriage return by itself is a character like any other.
    assert LONE_RETURN not in text
    lines = io.StringIO(re.sub(r"\r(?!\n)", LONE_RETURN, text), newline="\n")
    reader = csv.reader(lines, delimiter=delimiter, strict=True, **quoting)
    try:
        for record in reader:
            yield [value.replace(LONE_RETURN, "\r") for value in record]
    except csv.Error as error:
        raise Malformed(f"Malformed record: {error}", reader.line_num) from error


def _staged(s3: Any, bucket: str, key: str, rules: Json, query: exp.Select) -> pa.Table:
    """A staged file as a table: a column for each $n that is asked for, and the metadata."""
    try:
        found = s3.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        raise refuse(f"Remote file 's3://{bucket}/{key}' was not found.", 91016, "02000") from error
    text = _text(found["Body"].read(), key, rules)
    asked = [int(one.name) for one in query.find_all(exp.Parameter)]
    columns: list[list[str | None]] = [[] for _ in range(max(asked, default=0))]
    numbers: list[int] = []
    nulls = set(rules["NULL_IF"] if isinstance(rules["NULL_IF"], list) else [rules["NULL_IF"]])
    if rules["EMPTY_FIELD_AS_NULL"]:
        nulls.add("")
    # SKIP_HEADER skips lines, whatever they hold.
    number = int(rules["SKIP_HEADER"])
    text = text.split("\n", number)[-1] if text.count("\n") >= number else ""
    for record in _records(text, rules):
        if not record and rules["SKIP_BLANK_LINES"]:
            continue
        number += 1
        numbers.append(number)
        record = record or [""]
        for place, column in enumerate(columns):
            value = record[place] if place < len(record) else None
            column.append(None if value in nulls else value)
    table = {f"${place}": pa.array(column, pa.string()) for place, column in enumerate(columns, start=1)}
    table["METADATA$FILENAME"] = pa.array([key] * len(numbers), pa.string())
    table["METADATA$FILE_ROW_NUMBER"] = pa.array(numbers, pa.int64())
    table["METADATA$FILE_CONTENT_KEY"] = pa.array([found["ETag"].strip('"')] * len(numbers), pa.string())
    return pa.table(table)


def _converted(self: Any, target: Expr, query: exp.Select, staged: pa.Table) -> pa.Table:
    """What the query makes of a staged file; by another connection, for an error would end the transaction."""
    query = query.copy()
    for one in list(query.find_all(exp.Parameter)):
        one.replace(exp.column(exp.to_identifier(f"${one.name}", quoted=True)))
    query.args["from_"].set("this", _table("_staged"))
    named = [f"c{place}" for place in range(len(query.expressions))]
    with self._duck_conn.cursor() as other:
        other.register("_staged", staged)
        try:
            return other.execute(
                f"select * from ({query.sql(dialect='duckdb')}) as converted ({', '.join(named)})"
            ).to_arrow_table()
        except duckdb.ConversionException as error:
            found = re.search(r'Could not convert string "(.*)" to (\w+)', str(error), re.DOTALL)
            kind = {"DECIMAL": "Numeric value", "DATE": "Date"}.get(found.group(2), "Value") if found else "Value"
            reason = f"{kind} '{found.group(1)}' is not recognized" if found else str(error)
            raise Malformed(reason) from error


def null_timestamps() -> None:
    """NULL is NULL (sql-reference/data-types-datetime). A NULL timestamp arrives from fakesnow as 1970-01-01."""
    convert = arrow.timestamp_to_sf_struct

    def timestamp_to_sf_struct(times: pa.Array | pa.ChunkedArray) -> pa.Array:
        times = times.combine_chunks() if isinstance(times, pa.ChunkedArray) else times
        if not times.null_count:
            return convert(times)
        filled = convert(times.fill_null(pa.scalar(0, times.type)))
        fields = [filled.field(place) for place in range(filled.type.num_fields)]
        return pa.StructArray.from_arrays(fields, fields=list(filled.type), mask=pc.is_null(times))

    arrow.timestamp_to_sf_struct = timestamp_to_sf_struct


def large_results() -> None:
    """A result may have any number of rows (user-guide/querying-persisted-results). fakesnow fails for one that Arrow
    holds in several batches.
    """
    write = server.to_ipc
    server.to_ipc = lambda table: write(table.combine_chunks())


def comments() -> None:
    """A comment may hold a quote (sql-reference/sql/comment). fakesnow writes it into SQL as it is."""
    insert = info_schema.insert_table_comment_sql
    info_schema.insert_table_comment_sql = lambda catalog, schema, table, comment: insert(
        catalog, schema, table, (comment or "").replace("'", "''")
    )


def listed_views() -> None:
    """INFORMATION_SCHEMA.TABLES has a row for each table and view (sql-reference/info-schema/tables). fakesnow's has
    none for a view.
    """
    tables = info_schema.SQL_CREATE_INFORMATION_SCHEMA_TABLES_VIEW
    views = tables.template.partition(" AS\n")[2]
    for old, new in {
        "duckdb_tables tables": "(select *, view_name as table_name, 0 as estimated_size from duckdb_views) tables",
        "'BASE TABLE' AS": "'VIEW' AS",
    }.items():
        assert old in views, "fakesnow has changed this view"
        views = views.replace(old, new)
    info_schema.SQL_CREATE_INFORMATION_SCHEMA_TABLES_VIEW = Template(f"{tables.template} union all {views}")


def exact_sums() -> None:
    """A sum of fixed-point numbers is exact (sql-reference/data-types-numeric). fakesnow sums as double."""
    transforms.numeric_agg_implicit_cast = lambda expression: expression


def in_place() -> None:
    """No repair, but three quarters of the time: fakesnow copies a statement for each of its seventy changes to it."""
    change = exp.Expression.transform
    exp.Expression.transform = lambda self, *arguments, copy=False, **options: change(
        self, *arguments, copy=copy, **options
    )
