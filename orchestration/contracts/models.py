"""The models that follow from a contract: each is there, of its feed, and lists the columns that are built."""

from __future__ import annotations

import re
from pathlib import Path

import sqlglot

from orchestration.contracts.contract import Contract
from orchestration.contracts.reading import Map
from orchestration.contracts.words import MESSAGE, MODELS, MODELS_OF_A_TABLE, TEXT

# What the pipeline adds to the columns of the contract, with its types.
SOURCE = {"source_file": "varchar", "source_record": "bigint"}
VALID = {"valid_from": "timestamp", "valid_to": "timestamp"}
# What these macros add, to all columns of the contract.
ADDED = {"newest_rows": SOURCE, "version_rows": VALID | SOURCE}


def check(contract: Contract) -> None:
    """Tells what is wrong with them."""
    _models(contract)
    _production(contract)


def _models(contract: Contract) -> None:
    """The models that follow from the contract: each is there, of this feed, and lists the contract's columns."""
    # Of a feed that is no table, a model of production stands behind the gate itself.
    gate = re.compile(rf"\bbehind_the_gate\(\s*['\"]{re.escape(contract.name)}['\"]")
    is_table = not any(gate.search(sql.read_text(encoding="utf-8")) for sql in contract.project.models.values())
    if is_table and contract.name not in {*contract.project.models, *contract.project.described}:
        what = f"The feed {contract.name} has no model {contract.name}, which readers know. Write "
        contract.fault(contract.feed.line, f"{what}models/marts/tables/{contract.name}.sql and its .yml.")
    for prefix, macro in (MODELS | (MODELS_OF_A_TABLE if is_table else {})).items():
        name = f"{prefix}_{contract.name}"
        file = contract.project.models.get(name)
        if file is None:
            call = f"{{{{ {macro}('{contract.name}') }}}}"
            what = f"The feed {contract.name} has no model {name}. Write {name}.sql: {call}"
            if name not in contract.project.described:  # else it is said there
                contract.fault(contract.feed.line, what)
        elif not re.search(rf"\b{macro}\(\s*['\"]{re.escape(contract.name)}['\"]", file.read_text(encoding="utf-8")):
            what = f"The model must be of the feed {contract.name}: {{{{ {macro}('{contract.name}') }}}}"
            contract.project.fault(contract.project.path(file), 1, what)
    for prefix in MODELS:
        name = f"{prefix}_{contract.name}"
        if name in contract.project.described and name != contract.model["name"]:
            as_text = prefix in ("raw", "rejected")
            types = {column: "varchar" if as_text else contract.type(column) for column in contract.columns}
            if contract.is_of_messages and as_text:
                types = MESSAGE
            _list_of(contract, name, types)


def _list_of(contract: Contract, name: str, wanted: dict[str, str | None]) -> dict[str, Map]:
    """The columns that a model lists; each that it lacks and each without a description is a fault."""
    file, model = contract.project.described[name]
    listed = {column["name"]: column for column in contract.listed(file, model)}
    if missing := {column: data_type for column, data_type in wanted.items() if column not in listed}:
        # A column of the same file has an anchor, as a table's have.
        text = (contract.project.root / file).read_text(encoding="utf-8")
        added = [
            f"*{column}"
            if re.search(rf"&{re.escape(column)}\b", text)
            else f"{{name: {column}, data_type: '{data_type}', description: ...}}"
            for column, data_type in missing.items()
        ]
        what = f"{name} lacks {', '.join(missing)} of the contract. Add to its columns: {', '.join(added)}."
        contract.project.fault(file, model.lines.get("columns", model.line), what)
    for column in listed.values():
        if not str(column.get("description") or "").strip() and column["name"] not in contract.columns:
            contract.project.fault(file, column.line, f"Say in `description` what the column {column['name']} means.")
    return listed


def _production(contract: Contract) -> None:
    """What is built of the contract lists the columns that are built, of the contract's types, and no other.

    dbt itself would notice when the table is made anew, and not before.
    """
    described, feed = contract.project.described, re.escape(contract.name)
    types = {column: contract.type(column) for column in contract.columns}
    for name, sql in contract.project.models.items():
        if name not in described:
            continue
        text = sql.read_text(encoding="utf-8")
        macro = re.search(rf"\b({'|'.join(ADDED)})\(\s*['\"]{feed}['\"]", text)
        reads = re.search(rf"\bfrom \{{\{{ ref\(['\"](clean|newest|versions)_{feed}['\"]\) \}}\}}", text)
        if macro:
            built = types | ADDED[macro[1]]
        elif reads and contract.project.path(sql).startswith("models/marts/"):
            known = types | VALID | SOURCE
            built = {column: known.get(column) for column in _selected(text) if column != "landing_id"}
        else:
            continue
        _is_listed(contract, name, sql, built, is_plain=not macro)


def _is_listed(contract: Contract, name: str, sql: Path, built: dict[str, str | None], is_plain: bool) -> None:
    """A model lists what it builds: of each column its type, where it is the contract's."""
    for column in contract.columns.keys() & (VALID | SOURCE).keys() & built.keys():
        what = f"The column {column} has a name that {name} uses itself."
        contract.fault(contract.columns[column].line, f"{what} Choose another, for example {column}_value.")
    file, _ = contract.project.described[name]
    for column, found in _list_of(contract, name, built).items():
        line, data_type = found.line, found.get("data_type")
        if column not in built:
            what = f"{name} lists {column}, which is not built. "
            if is_plain and column in contract.columns:
                add = f"Add it to the select in {contract.project.path(sql)}, or remove it here."
            elif column in contract.all_columns:
                add = "Remove it."
            else:
                where = f", and to the select in {contract.project.path(sql)}" if is_plain else ""
                add = f"Add it to the contract in {contract.file}{where}, or remove it here."
            contract.project.fault(file, line, what + add)
        elif built[column] and _same(data_type) != _same(built[column]):
            what = f"{name} lists {column} as {data_type}, and it is built as {built[column]}"
            contract.project.fault(file, line, f"{what}, by {contract.file}. Write the same type in both.")


def _selected(model: str) -> list[str]:
    """The columns that a plain model selects; none if it cannot be read without dbt."""
    # Behind its configuration.
    _, _, sql = re.sub(r"^(with|select)\b", r"\0\1", model, count=1, flags=re.MULTILINE).partition("\0")
    try:
        return sqlglot.parse_one(re.sub(r"\{\{.*?\}\}", "relation", sql), dialect="duckdb").named_selects
    except sqlglot.errors.SqlglotError:
        return []


def _same(data_type: object) -> str:
    """A type without what does not matter in its writing, or that each warehouse has under a name of its own."""
    plain = str(data_type).lower().replace(" ", "")
    if re.search(r"'variant'if.*else'json'", plain):
        return "json"
    return "varchar" if plain in TEXT else plain
