"""Whether a rule is a condition on one row, of which both warehouses say the same."""

from __future__ import annotations

import re
from collections.abc import Mapping

import duckdb
import sqlglot
from sqlglot import expressions
from sqlglot.tokens import TokenType

from orchestration.contracts.words import NAME, TYPES, database, reserved_words

# What a rule may call, each by an example: the functions of one row that come to the same on DuckDB and on Snowflake,
# whenever it is.
CALLS = (
    *("abs(a)", "ceil(a)", "floor(a)", "round(a, 2)", "sign(a)", "mod(a, 2)", "coalesce(a, 0)", "nullif(a, 0)"),
    *("length(a)", "lower(a)", "upper(a)", "trim(a)", "ltrim(a)", "rtrim(a)", "lpad(a, 2, 'b')", "rpad(a, 2, 'b')"),
    *("left(a, 2)", "right(a, 2)", "substr(a, 1, 2)", "substring(a, 1, 2)", "split_part(a, '-', 1)"),
    *("contains(a, 'b')", "position('b' in a)", "replace(a, 'b', 'c')", "translate(a, 'b', 'c')"),
    *("cast(a as date)", "try_cast(a as date)", "date_trunc('day', a)", "datediff('day', a, a)", "last_day(a)"),
    *("extract(year from a)", "year(a)", "month(a)", "day(a)", "hour(a)", "minute(a)"),
)
CALLED = {call.partition("(")[0] for call in CALLS}
# What else may stand in front of a parenthesis.
BEFORE_PARENTHESIS = {
    *("in", "and", "or", "not", "between", "when", "then", "else", "like", "ilike", "is", "from", "escape"),
    *("decimal", "numeric", "varchar"),
}
SYMBOLS = {"(", ")", ",", "+", "-", "*", "/", "%", "=", "<>", "!=", "<", "<=", ">", ">=", "||", "::"}
WORD = re.compile(r"[A-Za-z_]\w*")
VALUE = re.compile(r"[0-9]+[.]?[0-9]*(e[+-]?[0-9]+)?|[.][0-9]+|'[^\\]*'", re.IGNORECASE)
# What a rule is made of, as sqlglot reads it.
PARTS = {
    *(expressions.Column, expressions.Identifier, expressions.Literal, expressions.Boolean, expressions.Null),
    *(expressions.Paren, expressions.And, expressions.Or, expressions.Not, expressions.In, expressions.Between),
    *(expressions.EQ, expressions.NEQ, expressions.GT, expressions.GTE, expressions.LT, expressions.LTE),
    *(expressions.Is, expressions.NullSafeEQ, expressions.NullSafeNEQ, expressions.Like, expressions.ILike),
    *(expressions.Escape, expressions.Add, expressions.Sub, expressions.Mul, expressions.Div, expressions.Mod),
    *(expressions.Neg, expressions.DPipe, expressions.DataType, expressions.DataTypeParam, expressions.Interval),
    *(expressions.Var, expressions.Case, expressions.If, expressions.Cast, expressions.TryCast),
    *(type(sqlglot.parse_one(call, dialect="duckdb")) for call in CALLS),
}
# A value of each type, on which a rule is tried.
SAMPLES = {
    "varchar": "'no number'",
    "text": "'no number'",
    "integer": "7",
    "boolean": "true",
    "timestamp": "timestamp '2024-01-05 10:00:00'",
    "date": "date '2024-01-05'",
}
ALIKE = "it looks at one row, and says the same of it on both warehouses, whenever it is"


def problems(rule: object, types: Mapping[str, str]) -> list[str]:
    """What is wrong with a rule, given the types of the columns that it may name."""
    if not isinstance(rule, str):
        return ["is no text. Write a condition in SQL, in quotes."]
    try:
        parsed = [one for one in sqlglot.parse(rule, dialect="duckdb") if one is not None]
        tokens = sqlglot.tokenize(rule, dialect="duckdb")
    except sqlglot.errors.SqlglotError as error:
        reason = str(error).splitlines()[0].rstrip(".")
        return [f"is no condition in SQL: {reason}."]
    if problem := _not_a_condition(rule, parsed, tokens):
        return [problem]
    unknown = [
        f"names {column.name}, which is neither a column of the contract nor file_date."
        for column in parsed[0].find_all(expressions.Column)
        if column.name.lower() not in types
    ]
    if unknown:
        return unknown
    tried = _tried(rule, types)
    return [tried] if tried else []


def _rows(types: Mapping[str, str]) -> duckdb.DuckDBPyConnection | None:
    """DuckDB with a table of the contract: a row of values, and one of none. None if there can be no such table."""
    if any(not NAME.fullmatch(name) or name in reserved_words() for name in types) or any(
        not TYPES.fullmatch(one) for name, one in types.items() if name != "file_date"
    ):
        return None
    columns = ", ".join(f"{name} {data_type}" for name, data_type in types.items())
    values = ", ".join(SAMPLES.get(data_type, "0") for data_type in types.values())
    nulls = ", ".join("null" for _ in types)
    found = database()
    try:
        found.execute(f"create or replace table contract_rows ({columns})")
    except duckdb.Error:  # a decimal that cannot be
        return None
    found.execute(f"insert into contract_rows values ({values}), ({nulls})")
    return found


def _tried(rule: str, types: Mapping[str, str]) -> str | None:
    """What is wrong with a rule as DuckDB tries it."""
    rows = _rows(types)
    if rows is None:
        return None  # which is said of the column
    try:
        found = rows.execute(f"select (\n{rule}\n) as holds from contract_rows")
        found.fetchall()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0].rstrip(".")
        cast = " A text is read as another type by try_cast." if isinstance(error, duckdb.ConversionException) else ""
        return f"does not work: {reason}.{cast}"
    data_type = str(found.description[0][1]).lower()
    if data_type not in ("boolean", "bool"):
        return f"is no condition: it comes to {data_type}, not to true or false. Compare it with something."
    return None


def _not_a_condition(rule: str, parsed: list[expressions.Expression], tokens: list[sqlglot.Token]) -> str | None:
    """What of a rule is not of a condition on one row that both warehouses read alike."""
    if any(token.comments for token in tokens) or any(one.comments for part in parsed for one in part.walk()):
        return "has a comment. Write it in YAML, after a #, or into `description`."
    if len(parsed) != 1 or any(token.token_type == TokenType.SEMICOLON for token in tokens):
        return "is no condition in SQL: it is empty, or more than one statement. Write one condition, without `;`."
    if parsed[0].find(expressions.Query):
        return "has a subquery. A rule looks at one row; `listed_in` names a seed of accepted values."
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        text = rule[token.start : token.end + 1]
        is_call = following and following.token_type == TokenType.L_PAREN and WORD.fullmatch(text)
        if is_call and text.lower() not in CALLED | BEFORE_PARENTHESIS:
            return f"calls {text}, which a rule cannot: {ALIKE}. What it may call: {', '.join(sorted(CALLED))}."
        if text.lower() == "interval" and not (following and following.token_type == TokenType.STRING):
            return (
                "has an interval without quotes, which Snowflake does not read. Write it like this: interval '2 days'."
            )
        if text.lower() in ("isnull", "notnull"):
            return f"has {text}, which Snowflake does not read. Write `is null` or `is not null`."
        if not WORD.fullmatch(text) and not VALUE.fullmatch(text) and text not in SYMBOLS:
            return f"has {text}, which is no part of a rule: {ALIKE}."
    for part in parsed[0].walk():
        if type(part) not in PARTS:
            return f"has {part.sql('duckdb')}, which is no part of a rule: {ALIKE}."
        if isinstance(part, expressions.Column) and part.table:
            return f"names {part.sql('duckdb')}. Name the column alone."
        of_null = isinstance(part, expressions.EQ | expressions.NEQ | expressions.GT | expressions.LT | expressions.In)
        if of_null and any(isinstance(one, expressions.Null) for one in part.iter_expressions()):
            return "compares with null, which is never true or false. Write `is null` or `is not null`."
    return None
