"""Functions of JSON documents and of encoded text, in DuckDB's words."""

import json
import re
from typing import Any

import duckdb
from sqlglot import Expr, exp

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:]', re.DOTALL)
TEXT = (exp.DataType.Type.VARCHAR, exp.DataType.Type.TEXT)


def repeats_a_key(text: str) -> bool:
    """Whether a key stands twice in an object of a JSON text, however deep."""
    keys_of_open: list[set[str]] = []
    before = ""
    for token in TOKEN.findall(text):
        if token in "{[":
            keys_of_open.append(set())
        elif token in "}]":
            if not keys_of_open:
                return False
            keys_of_open.pop()
        elif token == ":" and before[:1] == '"' and keys_of_open:
            try:
                key = json.loads(before, strict=False)
            except ValueError:
                return False
            if key in keys_of_open[-1]:
                return True
            keys_of_open[-1].add(key)
        before = token
    return False


def functions(connection: duckdb.DuckDBPyConnection) -> None:
    """What DuckDB has no words for."""
    connection.create_function("_repeats_a_key", repeats_a_key, ["VARCHAR"], "BOOLEAN")


def documents(expression: Expr, _: Any) -> Expr:
    """PARSE_JSON takes no object in which a key stands twice (sql-reference/functions/parse_json); fakesnow's does.

    A text in a VARIANT is cast to that text, and a JSON null in one to NULL (user-guide/semistructured-considerations);
    fakesnow makes JSON of what GET gives. IS_OBJECT, OBJECT_DELETE and TRY_HEX_DECODE_STRING, which is NULL where the
    bytes are no UTF-8 (sql-reference/functions/is_object, -/object_delete, -/try_hex_decode_string), it does not know.
    """
    kinds = (exp.ParseJSON, exp.GetExtract, exp.TryHexDecodeString, exp.Anonymous)
    # What stands inside of another one first.
    for found in reversed(list(expression.find_all(*kinds))):
        if isinstance(found, exp.ParseJSON):
            repeated = exp.Literal.string("Error parsing JSON: duplicate object attribute")
            other = exp.null() if found.args.get("safe") else _call("error", repeated)
            found.replace(exp.case().when(_call("_repeats_a_key", found.this.copy()), other).else_(found.copy()))
        elif isinstance(found, exp.GetExtract) and found.expression.is_string:
            path = exp.Literal.string(f"$.{json.dumps(found.expression.name, ensure_ascii=False)}")
            cast = found.parent if isinstance(found.parent, exp.Cast) and found.parent.to.this in TEXT else None
            (cast or found).replace(_call("json_extract_string" if cast else "json_extract", found.this.copy(), path))
        elif isinstance(found, exp.TryHexDecodeString):
            found.replace(_call("try", _call("decode", _call("unhex", found.this.copy()))))
        elif found.name.upper() == "IS_OBJECT":
            found.replace(exp.paren(_call("json_type", found.expressions[0].copy()).eq("OBJECT")))
        elif found.name.upper() == "OBJECT_DELETE":
            source, *keys = found.expressions
            gone = exp.Literal.string(json.dumps(dict.fromkeys(key.name for key in keys)))
            merged = _call("json_merge_patch", source.copy(), gone)
            found.replace(exp.case().when(source.copy().is_(exp.null()), exp.null()).else_(merged))
    return expression


def _call(name: str, *arguments: Expr) -> exp.Anonymous:
    return exp.Anonymous(this=name, expressions=list(arguments))


def replacements(expression: Expr) -> Expr:
    """REGEXP_REPLACE (sql-reference/functions/regexp_replace): a backslash is escaped in the text constant, and once.

    fakesnow takes the escapes out of what has been read from the constant, a second time.
    """
    if isinstance(expression, exp.RegexpReplace) and isinstance(expression.expression, exp.Literal):
        if len(expression.args) > 3:
            raise NotImplementedError("REGEXP_REPLACE with a position, an occurrence or parameters")
        expression.set("replacement", expression.args.get("replacement") or exp.Literal.string(""))
        expression.set("modifiers", exp.Literal.string("g"))
    return expression
