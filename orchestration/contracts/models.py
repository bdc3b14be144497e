"""The models that follow from a contract: each is there, of its feed, and lists the columns that are built."""

from __future__ import annotations

import re
from pathlib import Path

import sqlglot

from orchestration.contracts.contract import Contract
from orchestration.contracts.reading import Map
from orchestration.contracts.words import MODELS, MODELS_OF_A_TABLE, TEXT

# What these macros show, beside the contract: columns that are left out, and columns that are added.
SOURCE = {"source_file": "varchar", "source_record": "bigint"}
# What a plain model of production calls, which selects its columns itself.
GATED = "behind_the_gate"
PRODUCTION = {
    "newest_rows": (set(), SOURCE),
    "current_rows": ({"is_deleted"}, SOURCE),
    "version_rows": ({"is_deleted", "updated_at"}, {"valid_from": "timestamp", "valid_to": "timestamp"} | SOURCE),
}


def check(contract: Contract) -> None:
    """Tells what is wrong with them."""
    _models(contract)
    _production(contract)


def _models(contract: Contract) -> None:
    """The models that follow from the contract: each is there, of this feed, and lists the contract's columns."""
    is_table = Path(contract.file).parts[:2] == ("models", "tables")
    wanted = MODELS | (MODELS_OF_A_TABLE if is_table else {})
    for prefix, macro in wanted.items():
        name = f"{prefix}_{contract.name}" if prefix else contract.name
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
            _list_of(contract, name, types)


def _list_of(contract: Contract, name: str, wanted: dict[str, str]) -> dict[str, Map]:
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
    """What readers see has the columns that are built, of the contract's types, and no other.

    dbt itself would notice when the table is made anew, and not before.
    """
    described = contract.project.described
    for name, sql in contract.project.models.items():
        text = sql.read_text(encoding="utf-8")
        called = set(re.findall(r"\b(\w+)\(\s*['\"]" + re.escape(contract.name) + r"['\"]", text))
        macro, gated = next(iter(called & PRODUCTION.keys()), None), GATED in called
        if name not in described or not (macro or gated):
            continue
        without, added = PRODUCTION.get(macro, (set(), SOURCE))
        built = {column: contract.type(column) for column in contract.columns if column not in without} | added
        if gated:
            built = {column: built.get(column) for column in _selected(text) if column != "landing_id"}
        for column in contract.columns.keys() & added.keys():
            what = f"The column {column} has a name that {name} uses itself."
            contract.fault(contract.columns[column].line, f"{what} Choose another, for example {column}_value.")
        file, _ = described[name]
        lists = {described[model][0] for one in MODELS if (model := f"{one}_{contract.name}") in described}
        others = "".join(f", to {other}" for other in sorted(lists - {contract.file, file}))
        for column, found in _list_of(contract, name, built).items():
            line, data_type = found.line, found.get("data_type")
            if column not in built:
                where = f", and to the select in {contract.project.path(sql)}" if gated else ""
                add = f"Add it to the contract in {contract.file}{others}{where}, or remove it here."
                what = f"{name} lists {column}, which is not built. "
                contract.project.fault(file, line, what + ("Remove it." if column in contract.all_columns else add))
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
    """A type without what does not matter in its writing."""
    plain = str(data_type).lower().replace(" ", "")
    return "varchar" if plain in TEXT else plain
