"""Checks the contracts of all feeds, and says of each fault in which file and line it stands. `make lint` runs it.

dbt finds most of these faults only when the first file lands, and some never.
"""

from __future__ import annotations

import csv
import datetime
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType, SimpleNamespace

import duckdb
import jinja2
import pytz
import sqlglot
import yaml
from sqlfluff.dialects.dialect_snowflake_keywords import snowflake_reserved_keywords
from sqlglot import expressions
from sqlglot.tokens import TokenType

PROJECT = Path(__file__).resolve().parents[1]

NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")
NAMES = "lower-case letters, digits and _, a letter first, 50 characters at most"
TYPES = re.compile(
    r"varchar|text|integer|timestamp|boolean|decimal\( *([0-9]{1,2}) *, *([0-9]{1,2}) *\)", re.IGNORECASE
)
TEXT = ("varchar", "text")
# What the pipeline adds to each row (macros/contract.sql).
LINEAGE = (
    *("source_file", "content_hash", "source_record", "file_date", "landing_id"),
    *("reject_reasons", "is_overtaken"),
)
# What the merge adds to the columns of a key (macros/merge_newest.sql).
BESIDE_A_KEY = (
    *("day", "old_day", "old_file", "new_file", "was_current"),
    *("is_newer", "is_replaced", "ties", "wins", "leaves"),
)
FEED_WORDS = ("name", "key", "kind", "files", "fresh", "shrinks_by")
COLUMN_WORDS = ("required", "optional", "default", "rule", "says", "listed_in")
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
# Jinja, which dbt would read.
BRACES = re.compile(r"\{\{|\{%|\{#")
# The models of one line that every feed has, and the macro that each calls (macros/models.sql).
MODELS = {"raw": "raw_rows", "typed": "typed_rows", "clean": "clean_rows", "rejected": "rejected_rows"}
# Those that a table has besides.
MODELS_OF_A_TABLE = {"newest": "newest_rows"}
# What these macros show, beside the contract: columns that are left out, and columns that are added.
SOURCE = {"source_file": "varchar", "source_record": "bigint"}
# What a plain model of production calls, which selects its columns itself.
GATED = "behind_the_gate"
PRODUCTION = {
    "newest_rows": (set(), SOURCE),
    "current_rows": ({"is_deleted"}, SOURCE),
    "version_rows": ({"is_deleted", "updated_at"}, {"valid_from": "timestamp", "valid_to": "timestamp"} | SOURCE),
}


class _Lines(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Reads YAML into plain values that know their line."""


class _Map(dict):
    line = 0
    lines: dict[str, int]


class _List(list):
    line = 0


def _map(loader: _Lines, node: yaml.MappingNode) -> Iterator[_Map]:
    value = _Map()
    value.line = node.start_mark.line + 1
    yield value
    value.update(loader.construct_mapping(node, deep=True))
    value.lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}


def _list(loader: _Lines, node: yaml.SequenceNode) -> Iterator[_List]:
    value = _List()
    value.line = node.start_mark.line + 1
    yield value
    value.extend(loader.construct_sequence(node, deep=True))


_Lines.add_constructor("tag:yaml.org,2002:map", _map)
_Lines.add_constructor("tag:yaml.org,2002:seq", _list)


@dataclass(frozen=True, order=True)
class Fault:
    """What is wrong with a contract, where, and what to do."""

    file: str
    line: int
    says: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.says}"


@dataclass
class Project:
    """What the checks need to know of a dbt project."""

    root: Path
    # Of every model in a properties file: the file and what it says.
    described: dict[str, tuple[str, _Map]] = field(default_factory=dict)
    models: dict[str, Path] = field(default_factory=dict)
    seeds: dict[str, Path] = field(default_factory=dict)
    # The contract's model by the name of its feed.
    feeds: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def path(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()

    def fault(self, file: str, line: int, says: str) -> None:
        self.faults.append(Fault(file, line, says))


@cache
def _duckdb() -> duckdb.DuckDBPyConnection:
    """One for all contracts: it takes a while to start."""
    return duckdb.connect()


@cache
def reserved_words() -> set[str]:
    """The words that neither engine takes as a name without quotes."""
    rows = _duckdb().execute(
        "select keyword_name from duckdb_keywords() where keyword_category in ('reserved', 'type_function')"
    )
    return {word for (word,) in rows.fetchall()} | set(snowflake_reserved_keywords.lower().split())


@cache
def typing_macros(root: Path = PROJECT) -> ModuleType:
    """The macros of macros/typing.sql, as SQL of DuckDB: what is checked is as strict as the load."""
    macros: dict[str, ModuleType] = {}

    def dispatch(name: str) -> object:
        return getattr(macros["module"], f"duckdb__{name}", None) or getattr(macros["module"], f"default__{name}")

    def fail(message: str) -> None:
        raise ValueError(message)

    template = jinja2.Environment().from_string((root / "macros" / "typing.sql").read_text(encoding="utf-8"))
    macros["module"] = template.make_module(
        {
            "adapter": SimpleNamespace(dispatch=dispatch),
            "exceptions": SimpleNamespace(raise_compiler_error=fail),
            "modules": SimpleNamespace(re=re, datetime=datetime, pytz=pytz),
            "return": lambda value: value,
        }
    )
    return macros["module"]


def read(root: Path = PROJECT) -> Project:
    """Reads the names of all models, seeds and feeds; what cannot be read, or has a name twice, is a fault."""
    project = Project(root)
    for folder, suffix, found in (("models", "sql", project.models), ("seeds", "csv", project.seeds)):
        for file in sorted((root / folder).rglob(f"*.{suffix}")):
            if first := (project.models | project.seeds).get(file.stem):
                what = f"{project.path(first)} has the name {file.stem} already. Rename one of the two."
                project.fault(project.path(file), 1, what)
            else:
                found[file.stem] = file
    for file in sorted(path for path in (root / "models").rglob("*.y*ml") if path.suffix in (".yml", ".yaml")):
        _read_properties(project, file)
    return project


def _read_properties(project: Project, file: Path) -> None:
    name = project.path(file)
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _Lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        project.fault(name, line, f"This is no YAML: {error.problem}.")
        return
    except (UnicodeDecodeError, yaml.YAMLError):
        project.fault(name, 1, "This is no YAML: it has characters that are not UTF-8 or may not stand in YAML.")
        return
    for model in (content.get("models") if isinstance(content, dict) else None) or []:
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            project.fault(name, getattr(model, "line", 1), "A model without a name. Give it `name:`, as text.")
            continue
        if model["name"] in project.described:
            other, first = project.described[model["name"]]
            what = f"The model {model['name']} is described in {other}:{first.line} already. Remove one of the two."
            project.fault(name, model.line, what)
            continue
        project.described[model["name"]] = (name, model)
        feed = _within(model, "config", "meta").get("feed")
        if feed is None:
            continue
        if not isinstance(feed, dict) or not isinstance(feed.get("name"), str):
            project.fault(name, model.line, "The feed has no name. Write `feed: {name: ..., key: [...]}`.")
        elif feed["name"] in project.feeds:
            other, first = project.described[project.feeds[feed["name"]]]
            what = f"The feed {feed['name']} has its contract in {other}:{first.line} already. Rename one of the two."
            project.fault(name, feed.line, what)
        else:
            project.feeds[feed["name"]] = model["name"]


def faults(root: Path = PROJECT) -> list[Fault]:
    """All faults of a project's contracts, in the order of their places."""
    project = read(root)
    for name, (file, model) in project.described.items():
        if name not in project.models:
            what = f"The model {name} has no file: {Path(file).parent.as_posix()}/{name}.sql is missing."
            project.fault(file, model.line, what)
    for name, contract in project.feeds.items():
        _Contract(project, name, contract).check()
    return sorted(set(project.faults))


class _Contract:
    """One feed's contract under check."""

    def __init__(self, project: Project, name: str, model: str):
        self.project, self.name = project, name
        self.file, self.model = project.described[model]
        self.feed = self.model["config"]["meta"]["feed"]
        self.columns = {column["name"]: column for column in self._columns(self.file, self.model)}
        self.contract = {name: column for name, column in self.columns.items() if name not in LINEAGE}

    def check(self) -> None:
        self._feed()
        self._key()
        for name, column in self.contract.items():
            self._name(name, column)
            self._column(name, column, _within(column, "config", "meta"))
        self._updated_at()
        self._is_deleted()
        self._models()
        self._production()

    def _fault(self, line: int, says: str) -> None:
        self.project.fault(self.file, line, says)

    def _columns(self, file: str, model: _Map) -> Iterator[_Map]:
        seen = set()
        for column in model.get("columns") or []:
            line = getattr(column, "line", model.line)
            if not isinstance(column, dict) or not isinstance(column.get("name"), str):
                self.project.fault(file, line, f"A column of {model['name']} has no name. Give it `name:`, as text.")
            elif column["name"] in seen:
                self.project.fault(
                    file, line, f"{model['name']} has the column {column['name']} twice. Remove one of the two."
                )
            else:
                seen.add(column["name"])
                yield column

    def _line(self, word: str) -> int:
        return self.feed.lines.get(word, self.feed.line)

    def _type(self, name: str) -> str:
        return str(self.contract[name].get("data_type", "")).lower()

    def _name(self, name: str, column: _Map) -> None:
        line = column.lines.get("name", column.line)
        if not NAME.fullmatch(name):
            self._fault(line, f"{name!r} cannot be the name of a column. Use {NAMES}.")
        elif name in reserved_words():
            self._fault(line, f"The column {name} is a word of SQL. Choose another name, for example {name}_value.")
        elif name.startswith("raw_") and name[4:] in self.contract:
            self._fault(
                line, f"The column {name} is one of the pipeline's own, beside {name[4:]}. Choose another name."
            )

    def _feed(self) -> None:
        feed = self.feed
        if not NAME.fullmatch(self.name):
            self._fault(self._line("name"), f"{self.name!r} cannot be the name of a feed. Use {NAMES}.")
        elif self.name in reserved_words():
            what = f"The feed {self.name} is a word of SQL. Choose another name, for example {self.name}_rows."
            self._fault(self._line("name"), what)
        for word in feed.keys() - set(FEED_WORDS):
            self._fault(self._line(word), f"A feed has no {word}. What it may have: {', '.join(FEED_WORDS)}.")
        for word, known in (("kind", ("changes", "extract")), ("files", ("daily", "hourly"))):
            if feed.get(word, known[0]) not in known:
                what = f"The {word} {feed[word]} of the feed {self.name} is unknown. Use {' or '.join(known)}."
                self._fault(self._line(word), what)
        if "shrinks_by" in feed:
            share = feed["shrinks_by"]
            if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
                self._fault(self._line("shrinks_by"), f"shrinks_by is {share}. It is a share: above 0 and below 1.")
            if feed.get("kind") != "extract":
                what = "shrinks_by is for an extract only. Add `kind: extract`, or remove shrinks_by."
                self._fault(self._line("shrinks_by"), what)
        if "fresh" in feed:
            fresh, line = feed["fresh"], self._line("fresh")
            column, days = (fresh.get("column"), fresh.get("days")) if isinstance(fresh, dict) else (None, None)
            if not isinstance(column, str) or column not in self.contract:
                self._fault(line, f"fresh needs a column of the contract; {column} is none.")
            elif self._type(column) != "timestamp":
                self._fault(line, f"fresh needs a timestamp; the column {column} is {self._type(column)}.")
            if isinstance(days, bool) or not isinstance(days, int) or not 0 < days <= 36500:
                self._fault(line, f"fresh needs `days`, a whole number from 1; it is {days}.")
            for word in fresh.keys() - {"column", "days"} if isinstance(fresh, dict) else ():
                self._fault(line, f"fresh has no {word}. What it has: column, days.")

    def _key(self) -> None:
        key, line = self.feed.get("key"), self._line("key")
        if not isinstance(key, list) or not key:
            self._fault(line, f"The feed {self.name} has no key. Add `key: [...]`, the columns that name one row.")
            return
        if len({str(name) for name in key}) < len(key):
            self._fault(line, f"The key of the feed {self.name} names a column twice. Remove one of the two.")
        for name in key:
            if not isinstance(name, str) or name not in self.contract:
                self._fault(line, f"The key {name} is not a column of the contract.")
                continue
            if _within(self.contract[name], "config", "meta").get("required") is not True:
                what = f"The column {name} is of the key and not required. Add `required: true`: a row needs its key."
                self._fault(self.contract[name].line, what)
            if name in BESIDE_A_KEY:
                what = (
                    f"The key {name} has a name that the merge uses itself. Choose another, for example {name}_value."
                )
                self._fault(self.contract[name].line, what)
            # The merge finds a key's rows by ranges of its characters.
            if self._type(name) not in TEXT:
                what = f"The column {name} is of the key and {self._type(name)}. Make it varchar: a key is a name."
                self._fault(self.contract[name].line, what)

    def _column(self, name: str, column: _Map, meta: _Map) -> None:
        where = f"the column {name}"
        data_type = column.get("data_type")
        known = TYPES.fullmatch(data_type) if isinstance(data_type, str) else None
        if known is None or (known[1] and not 0 <= int(known[2]) < int(known[1]) <= 38):
            self._fault(
                column.lines.get("data_type", column.line),
                f"The type {data_type} of {where} is unknown. "
                "Use varchar, integer, decimal(p,s), timestamp or boolean; a decimal has at most 38 digits.",
            )
        if not str(column.get("description") or "").strip():
            self._fault(column.line, f"Say in `description` what {where} means.")
        for word in meta.keys() - set(COLUMN_WORDS):
            what = f"A contract has no {word}, as {where} says. What it has: {', '.join(COLUMN_WORDS)}."
            self._fault(meta.lines.get(word, meta.line), what)
        for word in ("required", "optional"):
            if not isinstance(meta.get(word, False), bool):
                self._fault(
                    meta.lines[word], f"{word} of {where} is {meta[word]!r}. It is true or false, without quotes."
                )
        for word in ("default", "rule", "says", "listed_in"):
            if BRACES.search(str(meta.get(word, ""))):
                what = f"The {word} of {where} has braces that dbt would read as Jinja. Write it without them."
                self._fault(meta.lines[word], what)
                return
        if "default" in meta and known:
            self._default(where, name, data_type, meta)
        if "rule" in meta:
            self._rule(where, meta)
            if not isinstance(meta.get("says", ""), str):
                self._fault(meta.lines["says"], f"`says` of {where} is no text. Write it in quotes.")
            elif not str(meta.get("says") or "").strip():
                self._fault(meta.lines["rule"], f"The rule of {where} needs `says`: what is wrong with a row.")
        elif "says" in meta:
            self._fault(meta.lines["says"], f"`says` is the reason of a rule, and {where} has no rule.")
        if "listed_in" in meta:
            self._list(where, name, meta)

    def _default(self, where: str, name: str, data_type: str, meta: _Map) -> None:
        default, line = meta["default"], meta.lines["default"]
        if default is None or not str(default).strip():
            self._fault(line, f"The default of {where} is empty, which is what it would stand for. Remove it.")
            return
        try:
            value = typing_macros().default_value(name, data_type, default)
            _duckdb().execute(f"select {value}")
        except (ValueError, duckdb.Error) as error:
            said = str(error).splitlines()[0]
            if isinstance(error, duckdb.Error) or " of the column " not in said:
                said = f"The default {default} of {where} is not {data_type}."
            self._fault(line, said)

    def _rule(self, where: str, meta: _Map) -> None:
        rule, line = meta["rule"], meta.lines["rule"]
        if not isinstance(rule, str):
            self._fault(line, f"The rule of {where} is no text. Write a condition in SQL, in quotes.")
            return
        try:
            parsed = [one for one in sqlglot.parse(rule, dialect="duckdb") if one is not None]
            tokens = sqlglot.tokenize(rule, dialect="duckdb")
        except sqlglot.errors.SqlglotError as error:
            reason = str(error).splitlines()[0].rstrip(".")
            self._fault(line, f"The rule of {where} is no condition in SQL: {reason}.")
            return
        if problem := _not_a_condition(rule, parsed, tokens):
            self._fault(line, f"The rule of {where} {problem}")
            return
        unknown = [
            column.name
            for column in parsed[0].find_all(expressions.Column)
            if column.name.lower() not in (*self.contract, "file_date")
        ]
        for column in unknown:
            what = f"The rule of {where} names {column}, which is neither a column of the contract nor file_date."
            self._fault(line, what)
        if not unknown and (problem := self._tried(rule)):
            self._fault(line, f"The rule of {where} {problem}")

    @cached_property
    def _rows(self) -> duckdb.DuckDBPyConnection | None:
        """DuckDB with a table of the contract: a row of values, and one of none. None if there can be no such table."""
        types = {name: self._type(name) for name in self.contract} | {"file_date": "date"}
        if any(not NAME.fullmatch(name) or name in reserved_words() for name in types) or any(
            not TYPES.fullmatch(one) for name, one in types.items() if name != "file_date"
        ):
            return None
        columns = ", ".join(f"{name} {data_type}" for name, data_type in types.items())
        values = ", ".join(SAMPLES.get(data_type, "0") for data_type in types.values())
        nulls = ", ".join("null" for _ in types)
        database = _duckdb()
        try:
            database.execute(f"create or replace table contract_rows ({columns})")
        except duckdb.Error:  # a decimal that cannot be
            return None
        database.execute(f"insert into contract_rows values ({values}), ({nulls})")
        return database

    def _tried(self, rule: str) -> str | None:
        """What is wrong with a rule as DuckDB tries it."""
        if self._rows is None:
            return None  # which is said of the column
        try:
            found = self._rows.execute(f"select (\n{rule}\n) as holds from contract_rows")
            found.fetchall()
        except duckdb.Error as error:
            reason = str(error).splitlines()[0].rstrip(".")
            cast = (
                " A text is read as another type by try_cast." if isinstance(error, duckdb.ConversionException) else ""
            )
            return f"does not work: {reason}.{cast}"
        data_type = str(found.description[0][1]).lower()
        if data_type not in ("boolean", "bool"):
            return f"is no condition: it comes to {data_type}, not to true or false. Compare it with something."
        return None

    def _list(self, where: str, name: str, meta: _Map) -> None:
        seed, line = meta["listed_in"], meta.lines["listed_in"]
        file = self.project.seeds.get(seed) if isinstance(seed, str) else None
        if file is None:
            self._fault(
                line, f"The seed {seed}, in which the values of {where} are listed, is missing: seeds/{seed}.csv."
            )
            return
        if self._type(name) not in TEXT:
            what = (
                f"The values of {where} are listed in {seed}, as text, and it is {self._type(name)}. Make it varchar."
            )
            self._fault(line, what)
        try:
            with file.open(encoding="utf-8-sig", newline="") as lines:
                header, *rows = csv.reader(lines)
        except (UnicodeDecodeError, csv.Error, ValueError):
            self._fault(line, f"The seed {self.project.path(file)} is no CSV in UTF-8 with a header.")
            return
        if name not in header:
            self._fault(
                line, f"The seed {seed} has no column {name}. Name the seed's column like that of the contract."
            )
        elif not any("".join(row[header.index(name) :][:1]).strip() for row in rows):
            self._fault(line, f"The seed {seed} lists no value of {where}. Every row would be rejected.")
        typed = self.project.models.get(f"typed_{self.name}")
        lists = re.search(r"lists\s*=\s*\[([^\]]*)\]", typed.read_text(encoding="utf-8")) if typed else None
        if typed and seed not in re.findall(r"['\"](\w+)['\"]", lists[1] if lists else ""):
            what = f"{self.project.path(typed)} must name the seed: `typed_rows('{self.name}', lists=['{seed}'])`."
            self._fault(line, what)

    def _updated_at(self) -> None:
        if "updated_at" not in self.contract:
            what = f"The feed {self.name} has no column updated_at, by which the newest version of a row wins. Add it."
            self._fault(self.model.line, what)
            return
        column = self.contract["updated_at"]
        if self._type("updated_at") != "timestamp":
            self._fault(column.line, f"updated_at is {self._type('updated_at')}. It must be a timestamp.")
        if _within(column, "config", "meta").get("required") is not True:
            self._fault(column.line, "updated_at is not required. Add `required: true`: no row wins without it.")

    def _is_deleted(self) -> None:
        if "is_deleted" not in self.contract:
            return
        column, meta = self.contract["is_deleted"], _within(self.contract["is_deleted"], "config", "meta")
        if self._type("is_deleted") != "boolean":
            self._fault(column.line, f"is_deleted is {self._type('is_deleted')}. It must be a boolean.")
        if "default" not in meta and meta.get("required") is not True:
            self._fault(column.line, "is_deleted may be empty, which says neither. Add `default: false`.")

    def _models(self) -> None:
        """The models that follow from the contract: each is there, of this feed, and lists the contract's columns."""
        is_table = Path(self.file).parts[:2] == ("models", "tables")
        wanted = MODELS | (MODELS_OF_A_TABLE if is_table else {})
        for prefix, macro in wanted.items():
            name = f"{prefix}_{self.name}" if prefix else self.name
            file = self.project.models.get(name)
            if file is None:
                what = f"The feed {self.name} has no model {name}. Write {name}.sql: {{{{ {macro}('{self.name}') }}}}"
                if name not in self.project.described:  # else it is said there
                    self._fault(self.feed.line, what)
            elif not re.search(rf"\b{macro}\(\s*['\"]{re.escape(self.name)}['\"]", file.read_text(encoding="utf-8")):
                what = f"The model must be of the feed {self.name}: {{{{ {macro}('{self.name}') }}}}"
                self.project.fault(self.project.path(file), 1, what)
        for prefix in MODELS:
            name = f"{prefix}_{self.name}"
            if name in self.project.described and name != self.model["name"]:
                as_text = prefix in ("raw", "rejected")
                self._list_of(name, {column: "varchar" if as_text else self._type(column) for column in self.contract})

    def _list_of(self, name: str, wanted: dict[str, str]) -> dict[str, _Map]:
        """The columns that a model lists; each that it lacks and each without a description is a fault."""
        file, model = self.project.described[name]
        listed = {column["name"]: column for column in self._columns(file, model)}
        if missing := {column: data_type for column, data_type in wanted.items() if column not in listed}:
            # A column of the same file has an anchor, as a table's have.
            text = (self.project.root / file).read_text(encoding="utf-8")
            added = [
                f"*{column}"
                if re.search(rf"&{re.escape(column)}\b", text)
                else f"{{name: {column}, data_type: '{data_type}', description: ...}}"
                for column, data_type in missing.items()
            ]
            what = f"{name} lacks {', '.join(missing)} of the contract. Add to its columns: {', '.join(added)}."
            self.project.fault(file, model.lines.get("columns", model.line), what)
        for column in listed.values():
            if not str(column.get("description") or "").strip() and column["name"] not in self.contract:
                self.project.fault(file, column.line, f"Say in `description` what the column {column['name']} means.")
        return listed

    def _production(self) -> None:
        """What readers see has the columns that are built, of the contract's types, and no other.

        dbt itself would notice when the table is made anew, and not before.
        """
        described = self.project.described
        for name, sql in self.project.models.items():
            text = sql.read_text(encoding="utf-8")
            called = set(re.findall(r"\b(\w+)\(\s*['\"]" + re.escape(self.name) + r"['\"]", text))
            macro, gated = next(iter(called & PRODUCTION.keys()), None), GATED in called
            if name not in described or not (macro or gated):
                continue
            without, added = PRODUCTION.get(macro, (set(), SOURCE))
            built = {column: self._type(column) for column in self.contract if column not in without} | added
            if gated:
                built = {column: built.get(column) for column in _selected(text) if column != "landing_id"}
            for column in self.contract.keys() & added.keys():
                what = f"The column {column} has a name that {name} uses itself."
                self._fault(self.contract[column].line, f"{what} Choose another, for example {column}_value.")
            file, _ = described[name]
            lists = {described[model][0] for one in MODELS if (model := f"{one}_{self.name}") in described}
            others = "".join(f", to {other}" for other in sorted(lists - {self.file, file}))
            for column, found in self._list_of(name, built).items():
                line, data_type = found.line, found.get("data_type")
                if column not in built:
                    where = f", and to the select in {self.project.path(sql)}" if gated else ""
                    add = f"Add it to the contract in {self.file}{others}{where}, or remove it here."
                    what = f"{name} lists {column}, which is not built. "
                    self.project.fault(file, line, what + ("Remove it." if column in self.columns else add))
                elif built[column] and _same(data_type) != _same(built[column]):
                    what = f"{name} lists {column} as {data_type}, and it is built as {built[column]}"
                    self.project.fault(file, line, f"{what}, by {self.file}. Write the same type in both.")


def _selected(model: str) -> list[str]:
    """The columns that a plain model selects; none if it cannot be read without dbt."""
    # Behind its configuration.
    _, _, sql = re.sub(r"^(with|select)\b", r"\0\1", model, count=1, flags=re.MULTILINE).partition("\0")
    try:
        return sqlglot.parse_one(re.sub(r"\{\{.*?\}\}", "relation", sql), dialect="duckdb").named_selects
    except sqlglot.errors.SqlglotError:
        return []


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


def _same(data_type: object) -> str:
    """A type without what does not matter in its writing."""
    plain = str(data_type).lower().replace(" ", "")
    return "varchar" if plain in TEXT else plain


def _within(value: object, *words: str) -> _Map:
    """The mapping below some words; an empty one if there is none."""
    for word in words:
        value = value.get(word) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else _Map()


def main() -> int:
    """The command; 0 if no contract has a fault."""
    found = faults(Path.cwd())
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
