"""Statements that are read in another way than fakesnow's, and what is answered to those that fail."""

import contextvars
import re
from itertools import count
from typing import Any

from fakesnow import server
from fakesnow.transforms import stage
from starlette.requests import Request
from starlette.responses import JSONResponse

from orchestration.local.stand_ins.snowflake.accounts import ACCOUNTS, Account
from orchestration.local.stand_ins.snowflake.answers import body_of, refuse, route, with_body
from orchestration.local.stand_ins.snowflake.sessions import Session, session_of


class Statements:
    """The statements that are read or run in another way than fakesnow's."""

    LIST = re.compile(r"\s*(?:list|ls)\s+@([\w.$]+)(/\S*)?\s*;?\s*", re.IGNORECASE)
    # They say nothing of the data. A comment on a view is kept.
    ACCEPTED = re.compile(
        r"\s*(grant|revoke)\s|\s*alter\s+session\s+(un)?set\s+query_tag\b|\s*comment\s+(if\s+exists\s+)?on\s+(?!view\s)"
        r"|\s*alter\s+(user|account)\s|\s*alter\s+(table|view)\s+\S+\s+(alter|modify)\s+(column\s+)?\S+\s+comment\s",
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
    DROP_ACCOUNT = re.compile(
        r"\s*drop\s+account\s+(?:if\s+exists\s+)?(\w+)\s+grace_period_in_days\s*=\s*\d+\s*;?\s*", re.IGNORECASE
    )
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
        the path. GRANT, REVOKE, COMMENT, ALTER USER, ALTER ACCOUNT, MANAGED ACCESS and QUERY_TAG
        (sql-reference/sql/grant-privilege, -/comment, -/alter-user, -/alter-account, -/create-schema,
        sql-reference/parameters): accepted. fakesnow fails.
        """
        if re.match(r"\s*create\s+schema\s", sql, re.IGNORECASE):
            sql = re.sub(r"\swith\s+managed\s+access\b", "", sql, flags=re.IGNORECASE)
        state = session_of(connection)
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
        if found := self.DROP_ACCOUNT.fullmatch(bare):
            self._drop_account(found.group(1).upper())
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
    def _drop_account(name: str) -> None:
        """DROP ACCOUNT (sql-reference/sql/drop-account): without the days of grace. fakesnow has one account."""
        account = ACCOUNTS.pop(name, None)
        if account and account.databases:
            account.databases.duck_conn.close()

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
            body = await body_of(request)
            connection = server.to_conn(server.to_token(request))
            body["sqlText"] = STATEMENTS.text(body["sqlText"], connection)
            response = await answer(with_body(request, body))
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
    route("/queries/v1/query-request", query_request)
