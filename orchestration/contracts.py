"""Checks the contracts of all feeds, and says of each fault in which file and line it stands. `make lint` runs it.

dbt finds most of these faults only when the first file lands, and some never.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import sqlglot
import yaml
from sqlglot import expressions

PROJECT = Path(__file__).resolve().parents[1]

TYPES = re.compile(r"varchar|text|integer|timestamp|boolean|decimal\((\d+),\s*(\d+)\)", re.IGNORECASE)
TEXT = ("varchar", "text")
# What the pipeline adds to each row (macros/contract.sql).
LINEAGE = (
    *("source_file", "content_hash", "source_record", "file_date", "landing_id"),
    *("reject_reasons", "is_overtaken"),
)
FEED_WORDS = ("name", "key", "kind", "files", "fresh", "shrinks_by")
COLUMN_WORDS = ("required", "optional", "default", "rule", "says", "listed_in")
# The models of one line that every feed has, and the macro that each calls (macros/models.sql).
MODELS = {"raw": "raw_rows", "typed": "typed_rows", "clean": "clean_rows", "rejected": "rejected_rows"}
# Those that a table has besides.
MODELS_OF_A_TABLE = {"newest": "newest_rows", "": "current_rows"}


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
            self._column(name, column, _within(column, "config", "meta"))
        self._updated_at()
        self._is_deleted()
        self._models()

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

    def _feed(self) -> None:
        feed = self.feed
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
            if column not in self.contract:
                self._fault(line, f"fresh needs a column of the contract; {column} is none.")
            elif self._type(column) != "timestamp":
                self._fault(line, f"fresh needs a timestamp; the column {column} is {self._type(column)}.")
            if not isinstance(days, int) or days < 1:
                self._fault(line, f"fresh needs `days`, a whole number from 1; it is {days}.")

    def _key(self) -> None:
        key, line = self.feed.get("key"), self._line("key")
        if not isinstance(key, list) or not key:
            self._fault(line, f"The feed {self.name} has no key. Add `key: [...]`, the columns that name one row.")
            return
        for name in key:
            if name not in self.contract:
                self._fault(line, f"The key {name} is not a column of the contract.")
                continue
            if _within(self.contract[name], "config", "meta").get("required") is not True:
                what = f"The column {name} is of the key and not required. Add `required: true`: a row needs its key."
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
            self._fault(meta.lines[word], what)
        if "rule" in meta:
            self._rule(where, meta)
            if not str(meta.get("says") or "").strip():
                self._fault(meta.lines["rule"], f"The rule of {where} needs `says`: what is wrong with a row.")
        elif "says" in meta:
            self._fault(meta.lines["says"], f"`says` is the reason of a rule, and {where} has no rule.")
        if "listed_in" in meta:
            self._list(where, name, meta)

    def _rule(self, where: str, meta: _Map) -> None:
        rule, line = meta["rule"], meta.lines["rule"]
        if not isinstance(rule, str):
            self._fault(line, f"The rule of {where} is no text. Write a condition in SQL, in quotes.")
            return
        try:
            condition = sqlglot.parse_one(rule, dialect="duckdb")
        except sqlglot.errors.SqlglotError as error:
            reason = str(error).splitlines()[0].rstrip(".")
            self._fault(line, f"The rule of {where} is no condition in SQL: {reason}.")
            return
        for column in condition.find_all(expressions.Column):
            if column.name.lower() not in (*self.contract, "file_date"):
                what = (
                    f"The rule of {where} names {column.name}, which is neither a column of the contract nor file_date."
                )
                self._fault(line, what)

    def _list(self, where: str, name: str, meta: _Map) -> None:
        seed, line = meta["listed_in"], meta.lines["listed_in"]
        file = self.project.seeds.get(seed)
        if file is None:
            self._fault(
                line, f"The seed {seed}, in which the values of {where} are listed, is missing: seeds/{seed}.csv."
            )
            return
        with file.open(encoding="utf-8-sig", newline="") as lines:
            if name not in next(csv.reader(lines), []):
                self._fault(
                    line, f"The seed {seed} has no column {name}. Name the seed's column like that of the contract."
                )
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
        not_shown = {"": {"is_deleted"}, "history": {"is_deleted", "updated_at"}}
        for name, without in [
            *((f"{prefix}_{self.name}", set()) for prefix in (*MODELS, "newest")),
            (self.name, not_shown[""]),
            (f"{self.name}_history", not_shown["history"]),
        ]:
            if name not in self.project.described or name == self.model["name"]:
                continue
            file, model = self.project.described[name]
            listed = {column["name"]: column for column in self._columns(file, model)}
            if missing := [column for column in self.contract if column not in listed and column not in without]:
                what = f"{name} lacks {', '.join(missing)} of the contract. Add to its columns: "
                line = model.lines.get("columns", model.line)
                self.project.fault(file, line, what + ", ".join(f"*{column}" for column in missing) + ".")
            for column in listed.values():
                if not str(column.get("description") or "").strip() and column["name"] not in self.contract:
                    self.project.fault(
                        file, column.line, f"Say in `description` what the column {column['name']} means."
                    )


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
