"""The columns of a contract: their names, types and words."""

from __future__ import annotations

import csv
import re

import duckdb

from orchestration.contracts import rules
from orchestration.contracts.contract import Contract
from orchestration.contracts.reading import Map, within
from orchestration.contracts.words import (
    COLUMN_WORDS,
    MESSAGE,
    NAME,
    NAMES,
    TEXT,
    TYPES,
    TYPES_OF_FIELDS,
    WORDS_OF_FIELDS,
    WORDS_OF_RECORDS,
    database,
    reserved_words,
    typing_macros,
)

# Jinja, which dbt would read.
BRACES = re.compile(r"\{\{|\{%|\{#")


def check(contract: Contract) -> None:
    """Tells what is wrong with them."""
    for name, column in contract.columns.items():
        _name(contract, name, column)
        _column(contract, name, column, within(column, "config", "meta"))
    _updated_at(contract)
    _is_deleted(contract)


def _name(contract: Contract, name: str, column: Map) -> None:
    line = column.lines.get("name", column.line)
    if not NAME.fullmatch(name):
        contract.fault(line, f"{name!r} cannot be the name of a column. Use {NAMES}.")
    elif name in reserved_words():
        contract.fault(line, f"The column {name} is a word of SQL. Choose another name, for example {name}_value.")
    elif name.startswith("raw_") and name[4:] in contract.columns:
        contract.fault(line, f"The column {name} is one of the pipeline's own, beside {name[4:]}. Choose another name.")


def _column(contract: Contract, name: str, column: Map, meta: Map) -> None:
    where = f"the column {name}"
    data_type = column.get("data_type")
    known = TYPES.fullmatch(data_type) if isinstance(data_type, str) else None
    if contract.is_of_messages:
        _field(contract, where, name, column, meta)
    elif known is None or (known[1] and not 0 <= int(known[2]) < int(known[1]) <= 38):
        contract.fault(
            column.lines.get("data_type", column.line),
            f"The type {data_type} of {where} is unknown. "
            "Use varchar, integer, decimal(p,s), timestamp or boolean; a decimal has at most 38 digits.",
        )
    if not str(column.get("description") or "").strip():
        contract.fault(column.line, f"Say in `description` what {where} means.")
    for word in meta.keys() - set(COLUMN_WORDS):
        what = f"A contract has no {word}, as {where} says. What it has: {', '.join(COLUMN_WORDS)}."
        contract.fault(meta.lines.get(word, meta.line), what)
    for word in WORDS_OF_RECORDS if contract.is_of_messages else WORDS_OF_FIELDS:
        if word in meta:
            kind = "messages" if contract.is_of_messages else "files"
            contract.fault(meta.lines[word], f"{word} of {where} is no word for a feed of {kind}. Remove it.")
    for word in ("required", "optional", "numbers", "unknown_fields"):
        if not isinstance(meta.get(word, False), bool):
            contract.fault(
                meta.lines[word], f"{word} of {where} is {meta[word]!r}. It is true or false, without quotes."
            )
    for word in ("default", "rule", "says", "listed_in"):
        if BRACES.search(str(meta.get(word, ""))):
            what = f"The {word} of {where} has braces that dbt would read as Jinja. Write it without them."
            contract.fault(meta.lines[word], what)
            return
    if "default" in meta and known:
        _default(contract, where, name, data_type, meta)
    if "rule" in meta:
        types = {one: contract.type(one) for one in contract.columns} | {"file_date": "date"}
        for problem in rules.problems(meta["rule"], types):
            contract.fault(meta.lines["rule"], f"The rule of {where} {problem}")
        if not isinstance(meta.get("says", ""), str):
            contract.fault(meta.lines["says"], f"`says` of {where} is no text. Write it in quotes.")
        elif not str(meta.get("says") or "").strip():
            contract.fault(meta.lines["rule"], f"The rule of {where} needs `says`: what is wrong with a row.")
    elif "says" in meta:
        contract.fault(meta.lines["says"], f"`says` is the reason of a rule, and {where} has no rule.")
    if "listed_in" in meta:
        _list(contract, where, name, meta)


def _field(contract: Contract, where: str, name: str, column: Map, meta: Map) -> None:
    """What a column of a feed of messages may be."""
    data_type, line = str(column.get("data_type")).lower(), column.lines.get("data_type", column.line)
    if name in MESSAGE:
        if data_type != MESSAGE[name]:
            contract.fault(line, f"{where.capitalize()} is of the message itself, and {MESSAGE[name]}. Write that.")
    elif data_type not in TYPES_OF_FIELDS:
        what = f"The type {column.get('data_type')} of {where} is none of a field of JSON. Use "
        contract.fault(line, f"{what}{', '.join(TYPES_OF_FIELDS[:-1])} or {TYPES_OF_FIELDS[-1]}.")
    elif meta.get("numbers") and data_type not in TEXT:
        contract.fault(meta.lines["numbers"], f"numbers is for text, and {where} is {data_type}. Remove it.")
    elif meta.get("unknown_fields") and data_type != "json":
        contract.fault(line, f"{where.capitalize()} holds the unknown fields and is {data_type}. Make it json.")


def _default(contract: Contract, where: str, name: str, data_type: str, meta: Map) -> None:
    default, line = meta["default"], meta.lines["default"]
    if default is None or not str(default).strip():
        contract.fault(line, f"The default of {where} is empty, which is what it would stand for. Remove it.")
        return
    try:
        value = typing_macros().default_value(name, data_type, default)
        database().execute(f"select {value}")
    except (ValueError, duckdb.Error) as error:
        said = str(error).splitlines()[0]
        if isinstance(error, duckdb.Error) or " of the column " not in said:
            said = f"The default {default} of {where} is not {data_type}."
        contract.fault(line, said)


def _list(contract: Contract, where: str, name: str, meta: Map) -> None:
    seed, line = meta["listed_in"], meta.lines["listed_in"]
    file = contract.project.seeds.get(seed) if isinstance(seed, str) else None
    if file is None:
        contract.fault(
            line, f"The seed {seed}, in which the values of {where} are listed, is missing: seeds/{seed}.csv."
        )
        return
    if contract.type(name) not in TEXT:
        what = f"The values of {where} are listed in {seed}, as text, and it is {contract.type(name)}. Make it varchar."
        contract.fault(line, what)
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            header, *rows = csv.reader(lines)
    except (UnicodeDecodeError, csv.Error, ValueError):
        contract.fault(line, f"The seed {contract.project.path(file)} is no CSV in UTF-8 with a header.")
        return
    if name not in header:
        contract.fault(line, f"The seed {seed} has no column {name}. Name the seed's column like that of the contract.")
    elif not any("".join(row[header.index(name) :][:1]).strip() for row in rows):
        contract.fault(line, f"The seed {seed} lists no value of {where}. Every row would be rejected.")
    typed = contract.project.models.get(f"typed_{contract.name}")
    lists = re.search(r"lists\s*=\s*\[([^\]]*)\]", typed.read_text(encoding="utf-8")) if typed else None
    if typed and seed not in re.findall(r"['\"](\w+)['\"]", lists[1] if lists else ""):
        what = f"{contract.project.path(typed)} must name the seed: `typed_rows('{contract.name}', lists=['{seed}'])`."
        contract.fault(line, what)


def _updated_at(contract: Contract) -> None:
    if "first_by" in contract.feed:
        return
    if "updated_at" not in contract.columns:
        what = f"The feed {contract.name} has no column updated_at, by which the newest version of a row wins. Add it."
        contract.fault(contract.model.line, what)
        return
    column = contract.columns["updated_at"]
    if contract.type("updated_at") != "timestamp":
        contract.fault(column.line, f"updated_at is {contract.type('updated_at')}. It must be a timestamp.")
    if within(column, "config", "meta").get("required") is not True:
        contract.fault(column.line, "updated_at is not required. Add `required: true`: no row wins without it.")


def _is_deleted(contract: Contract) -> None:
    if "is_deleted" not in contract.columns:
        return
    column, meta = contract.columns["is_deleted"], within(contract.columns["is_deleted"], "config", "meta")
    if contract.type("is_deleted") != "boolean":
        contract.fault(column.line, f"is_deleted is {contract.type('is_deleted')}. It must be a boolean.")
    if "default" not in meta and meta.get("required") is not True:
        contract.fault(column.line, "is_deleted may be empty, which says neither. Add `default: false`.")
