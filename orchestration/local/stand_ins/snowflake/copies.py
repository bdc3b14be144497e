"""COPY INTO of staged files, by the rules of their format."""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import ClientError
from fakesnow.expr import normalise_ident
from sqlglot import Expr, exp

from orchestration.local.stand_ins.snowflake.answers import Json, refuse
from orchestration.local.stand_ins.snowflake.queries import table_named
from orchestration.local.stand_ins.snowflake.statements import STATEMENTS

# Stands for a carriage return that Python's reader would end a record at.
LONE_RETURN = "\uf8ff"
# How `$1:name` is read, cast or not.
FIELDS = (exp.JSONExtract, exp.JSONExtractScalar)

csv.field_size_limit(16_777_216)


def is_transformation(statement: exp.Copy) -> bool:
    """Whether a COPY loads the result of a query."""
    return isinstance(statement.args["files"][0].this, exp.Select)


def copy_into(self: Any, statement: exp.Copy, s3: Any) -> Expr:
    """COPY INTO with a transformation, file by file (sql-reference/sql/copy-into-table, user-guide/data-load-transform,
    user-guide/querying-metadata): FILES, FORMAT_NAME, ON_ERROR = SKIP_FILE, PURGE and FORCE; a file that cannot be
    parsed or converted is skipped as a whole and the result says why. fakesnow knows neither FORMAT_NAME nor SKIP_FILE
    nor METADATA$ columns nor fields of Parquet, and reads PURGE = FALSE and FORCE = FALSE as TRUE.
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
    return exp.select("*").from_(table_named(name))


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
    rules["TYPE"] = rules["TYPE"].upper()
    if rules["TYPE"] not in ("CSV", "PARQUET"):
        raise NotImplementedError(f"COPY with a transformation of {rules['TYPE']}")
    if rules["TYPE"] == "PARQUET" and (rules["BINARY_AS_TEXT"] or not rules["USE_LOGICAL_TYPE"]):
        raise NotImplementedError("COPY of Parquet without BINARY_AS_TEXT = FALSE and USE_LOGICAL_TYPE = TRUE")
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
    """A staged file as a table: a column for each $n, or field of $1, that is asked for, and the metadata."""
    try:
        found = s3.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        raise refuse(f"Remote file 's3://{bucket}/{key}' was not found.", 91016, "02000") from error
    if rules["TYPE"] == "PARQUET":
        table, numbers = _fields(found["Body"].read(), query)
    else:
        table, numbers = _columns(_text(found["Body"].read(), key, rules), rules, query)
    table["METADATA$FILENAME"] = pa.array([key] * len(numbers), pa.string())
    table["METADATA$FILE_ROW_NUMBER"] = pa.array(numbers, pa.int64())
    table["METADATA$FILE_CONTENT_KEY"] = pa.array([found["ETag"].strip('"')] * len(numbers), pa.string())
    return pa.table(table)


def _fields(data: bytes, query: exp.Select) -> tuple[dict[str, Any], list[int]]:
    """The fields of Parquet that a query asks for: bytes are BINARY, a time in UTC is TIMESTAMP_LTZ
    (sql-reference/sql/create-file-format); a field that the file lacks is NULL.
    """
    try:
        rows = pq.read_table(io.BytesIO(data))
    except pa.ArrowException as error:
        raise Malformed(f"Error parsing the parquet file: {str(error).splitlines()[0]}") from error
    asked = {_field(one) for one in query.find_all(*FIELDS)}
    fields = {name: rows[name] if name in rows.column_names else pa.nulls(len(rows)) for name in asked}
    return fields, list(range(1, len(rows) + 1))


def _field(one: exp.JSONExtract | exp.JSONExtractScalar) -> str:
    """The name of a field in `$1:name`."""
    if not isinstance(one.this, exp.Parameter) or one.this.name != "1":
        raise NotImplementedError("COPY of Parquet that asks for something else than $1:field")
    return one.expression.expressions[1].name


def _columns(text: str, rules: Json, query: exp.Select) -> tuple[dict[str, Any], list[int]]:
    """The columns of CSV that a query asks for, and the numbers of the records."""
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
    return {f"${place}": pa.array(column, pa.string()) for place, column in enumerate(columns, start=1)}, numbers


def _converted(self: Any, target: Expr, query: exp.Select, staged: pa.Table) -> pa.Table:
    """What the query makes of a staged file; by another connection, for an error would end the transaction."""
    query = query.copy()
    for one in list(query.find_all(*FIELDS)):
        one.replace(exp.column(exp.to_identifier(_field(one), quoted=True)))
    for one in list(query.find_all(exp.Parameter)):
        one.replace(exp.column(exp.to_identifier(f"${one.name}", quoted=True)))
    query.args["from_"].set("this", table_named("_staged"))
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
