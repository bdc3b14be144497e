"""Runs dbt in this process on a warehouse of a test's own, and reads the tables back."""

import json
import os
import shutil
import sys
import types
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path

import duckdb
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner
from reference import COLUMNS, PROJECT, TABLES, Reference, Tables

OPTIONS = ("--quiet", "--no-version-check", "--log-level-file", "none", "--no-write-json")
UNSET = ("RUN_DATE", "DBT_TARGET", "DBT_PROFILES_DIR", "DBT_PROJECT_DIR", "DBT_TARGET_PATH")
RED = "no_file_to_mend"
DATABASE = "warehouse.duckdb"


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Sets environment variables for a while; what else dbt reads is unset."""
    before = {name: os.environ.pop(name, None) for name in {*UNSET, *values}}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@dataclass(frozen=True)
class Project:
    """A dbt project, parsed once: the one at hand, or a copy in which something is broken."""

    root: Path
    target: Path

    def options(self) -> list[str]:
        places = {"--project-dir": self.root, "--profiles-dir": self.root, "--target-path": self.target}
        return [*OPTIONS, *(str(part) for pair in places.items() for part in pair)]

    @cached_property
    def manifest(self):
        # The database of a DuckDB file is named after it, so that one manifest serves all files of one name.
        with environment(WAREHOUSE_PATH=str(self.target / DATABASE)):
            result = dbtRunner().invoke(["parse", *self.options()])
        assert result.success, result.exception
        return result.result

    @property
    def parsed(self) -> Path:
        """What dbt keeps of a parse."""
        assert self.manifest
        return self.target / "partial_parse.msgpack"

    def copy(self, root: Path) -> "Project":
        """A copy of what dbt reads."""
        root.mkdir(parents=True)
        for name in ("models", "macros", "seeds", "packages"):
            shutil.copytree(self.root / name, root / name)
        shutil.copytree(self.root / "tests" / "dbt", root / "tests" / "dbt")
        for name in ("dbt_project.yml", "packages.yml", "profiles.yml.example"):
            shutil.copy(self.root / name, root / name)
        shutil.copy(root / "profiles.yml.example", root / "profiles.yml")
        shutil.copytree(self.root / "dbt_packages", root / "dbt_packages", symlinks=True)
        # Parsed in part: only what is patched is read anew.
        (root / "target").mkdir()
        shutil.copy(self.parsed, root / "target")
        return Project(root, root / "target")

    def patch(self, file: str, changes: Mapping[str, str]) -> None:
        """Replaces texts in a file of a copy."""
        path = self.root / file
        path.write_text(replaced(path.read_text(), changes, file))


def replaced(text: str, changes: Mapping[str, str], where: str) -> str:
    """A text with other texts put in; each old one must stand in it exactly once."""
    for old, new in changes.items():
        assert text.count(old) == 1, f"{where} has changed: it holds {text.count(old)} times:\n{old}"
        text = text.replace(old, new)
    return text


@contextmanager
def patched_module(name: str, changes: Mapping[str, str]) -> Iterator[None]:
    """Has dbt load a module of `orchestration` with some texts replaced."""
    path = PROJECT / (name.replace(".", "/") + ".py")
    module = types.ModuleType(name)
    module.__file__ = str(path)
    kept = sys.modules.get(name)
    sys.modules[name] = module
    try:
        exec(compile(replaced(path.read_text(), changes, path.name), path, "exec"), module.__dict__)
        yield
    finally:
        del sys.modules[name]
        if kept:
            sys.modules[name] = kept


@dataclass
class Built:
    """What a dbt command came to."""

    # Status by name; "error" of the command itself under the name "dbt".
    statuses: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    # What macros log.
    said: list[str] = field(default_factory=list)

    @property
    def broken(self) -> dict[str, str]:
        """What did not do its work; a run that is red for its files alone is not broken."""
        fine = {RED: ("fail",)}
        return {
            name: status
            for name, status in self.statuses.items()
            if status not in ("success", "pass", *fine.get(name, ()))
        }

    @property
    def red(self) -> bool:
        return bool(self.broken) or self.statuses.get(RED) == "fail"


@dataclass
class Warehouse:
    """A warehouse with its landing zone, in a folder of its own."""

    project: Project
    folder: Path
    landed: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True)

    @property
    def root(self) -> Path:
        return self.folder / "landing"

    @property
    def landing_root(self) -> str:
        """What LANDING_ROOT is set to."""
        return str(self.root)

    def land(self, files: Mapping[str, bytes], anew: bool = False) -> None:
        """Makes the landing zone hold these files and no other; `anew` writes also those that are there."""
        for path in self.landed.keys() - files.keys():
            (self.root / path).unlink()
        for path, data in files.items():
            if anew or self.landed.get(path) != data:
                # As a sender does: the file comes in one piece.
                target = self.root / path
                target.parent.mkdir(parents=True, exist_ok=True)
                part = self.folder / "part"
                part.write_bytes(data)
                part.replace(target)
        self.landed = dict(files)

    def dbt(self, *command: str, run_date: date | None = None) -> Built:
        """Runs a dbt command; afterwards the database file is free."""
        built = Built()

        def listen(event) -> None:
            built.messages.append(event.info.msg)
            if event.info.name == "JinjaLogInfo":
                built.said.append(event.data.msg)
            if event.info.level == "warn":
                built.warnings.append(event.info.msg)

        scope = {"RUN_DATE": str(run_date)} if run_date else {}
        places = {"WAREHOUSE_PATH": str(self.folder / DATABASE), "LANDING_ROOT": self.landing_root}
        with environment(**places, **scope):
            runner = dbtRunner(manifest=self.project.manifest, callbacks=[listen])
            result = runner.invoke([*command, *self.project.options()])
        DuckDBConnectionManager.close_all_connections()
        if result.exception is not None:
            built.statuses["dbt"] = f"error: {result.exception}"
        for one in getattr(result.result, "results", ()):
            failed = str(one.status) in ("error", "runtime error")
            # What a run-operation gives has no node.
            name = one.node.name if hasattr(one, "node") else one.unique_id.split(".")[-1]
            built.statuses[name] = f"{one.status}: {one.message}" if failed else str(one.status)
        return built

    def build(self, *options: str, run_date: date | None = None) -> Built:
        """`dbt build`, without the unit tests, which say nothing of the data at hand."""
        return self.dbt("build", "--exclude-resource-type", "unit_test", *options, run_date=run_date)

    def release(self, path: str) -> Built:
        """A person lets a held file through."""
        facts = {"file": path, "reason": "agreed", "released_by": "tests", "released_at": "2024-02-01 12:00:00"}
        return self.dbt("run-operation", "release_file", "--args", json.dumps(facts))

    def build_until(self, model: str, *options: str, run_date: date | None = None) -> Built:
        """What a build has done when it is killed after a model."""
        command = ("build", "--select", f"+{model}", "--exclude-resource-type", "test", "unit_test", *options)
        return self.dbt(*command, run_date=run_date)

    def query(self, sql: str) -> list[tuple]:
        with duckdb.connect(self.folder / DATABASE, read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def tables(self) -> Tables:
        """Every table of `prod`, of sales as a multiset of rows; fails if one has other columns."""
        query = (
            "select table_schema || '.' || table_name, list(column_name order by ordinal_position) "
            "from information_schema.columns where table_schema = 'prod' group by all"
        )
        with duckdb.connect(self.folder / DATABASE, read_only=True) as connection:
            found = dict(connection.execute(query).fetchall())
            assert {name: sorted(found.get(name, ())) for name in TABLES} == {
                name: sorted(columns) for name, columns in TABLES.items()
            }
            return {
                name: Counter(connection.execute(f"select {', '.join(columns)} from {name}").fetchall())
                for name, columns in TABLES.items()
            }

    def rejected(self) -> Counter:
        """(file, record, columns at fault) of each rejected row."""
        rows = self.query("select source_file, source_record, reject_reasons from staging.rejected_sales")
        return Counter((path, record, at_fault(reasons)) for path, record, reasons in rows)


def at_fault(reasons: str) -> frozenset[str]:
    """The columns that the reasons of a rejected row name."""
    names = [reason.split(" ")[0] for reason in reasons.split("; ")]
    assert not set(names) - set(COLUMNS), f"not a reason: {reasons}"
    return frozenset(names)


def shown(row: Iterable) -> str:
    return " | ".join("null" if value is None else str(value) for value in row)


def difference(name: str, expected: Counter, found: Counter, limit: int = 10) -> str:
    """The rows in which a table differs, for a person; empty if it does not."""
    lines = []
    for side, rows in (("missing", expected - found), ("surplus", found - expected)):
        ordered = sorted(map(shown, rows.elements()))
        lines += [f"  {side}: {row}" for row in ordered[:limit]]
        lines += [f"  ... and {len(ordered) - limit} more {side}"] if len(ordered) > limit else []
    if not lines:
        return ""
    columns = ", ".join(TABLES.get(name, ()))
    return "\n".join([f"{name} has {found.total()} rows, expected {expected.total()} ({columns})", *lines])


def compare_tables(expected: Tables, found: Tables) -> None:
    """Fails if the tables of `prod` differ, saying in which rows."""
    differences = [difference(name, expected[name], found[name]) for name in TABLES]
    assert not any(differences), "\n" + "\n".join(filter(None, differences))


def compare(expected: Reference, warehouse: Warehouse, built: Built, run_date: date | None = None) -> None:
    """Fails if production or what the run says differs from the reference."""
    assert not built.broken, f"the build is broken: {built.broken}"
    compare_tables(expected.tables(), warehouse.tables())
    for path, _, _, _, *rows in warehouse.tables()["prod.load_ledger"]:
        assert rows[0] == sum(rows[1:]), f"the ledger of {path} does not add up: {rows}"
    one_column = "select source_file from staging."
    checks = {
        "staging.rejected_sales": (expected.rejected(), warehouse.rejected()),
        "staging.refused_files": (
            Counter((path,) for path in expected.refused),
            Counter(warehouse.query(f"{one_column}refused_files")),
        ),
        "staging.files_to_mend": (
            Counter((path,) for path in expected.to_mend()),
            Counter(warehouse.query(f"{one_column}files_to_mend")),
        ),
    }
    differences = [difference(name, *sides) for name, sides in checks.items()]
    assert not any(differences), "\n" + "\n".join(filter(None, differences))
    assert built.red == bool(expected.to_mend(run_date)), f"red: {built.red}, to mend: {expected.to_mend(run_date)}"
