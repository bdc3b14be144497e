"""Runs dbt in this process on a warehouse of a test's own, and reads the tables back."""

import json
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path

import duckdb
from dbt.adapters.base.impl import DEFAULT_BASE_BEHAVIOR_FLAGS
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

import orchestration
from orchestration import report
from support.reference import PROJECT, REGISTERS, SALES, Feed, Reference, Tables

# What dbt says is listened to; it writes nothing, for each line that it writes is searched for secrets before.
OPTIONS = ("--log-level", "none", "--log-level-file", "none", "--no-version-check", "--no-write-json")
UNSET = ("RUN_DATE", "DBT_TARGET", "DBT_PROFILES_DIR", "DBT_PROJECT_DIR", "DBT_TARGET_PATH")
# What is red for the files of a run alone.
RED = re.compile("no_([a-z_]+_)?file_to_mend")
# The production checks that tell what is unusual about the data: what comes of a file does not depend on them.
UNUSUAL = re.compile("[a-z_]+_(have_their_[a-z]+|volume_is_usual|is_fresh)")
DATABASE = "warehouse.duckdb"
# Of every adapter. dbt-snowflake adds its own to this list at each start, and each of them takes 20 ms at the next.
FLAGS = tuple(DEFAULT_BASE_BEHAVIOR_FLAGS)
# The name of the dbt project.
PACKAGE = "reference_pipeline"


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
    # The environment that its profile reads, beside where the warehouse is.
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)

    @cached_property
    def feeds(self) -> list[str]:
        """The names of all feeds."""
        named = (node.config.meta.get("feed") for node in self.manifest.nodes.values() if node.resource_type == "model")
        return sorted(feed["name"] for feed in named if feed)

    def options(self) -> list[str]:
        places = {"--project-dir": self.root, "--profiles-dir": self.profiles, "--target-path": self.target}
        return [*OPTIONS, *(str(part) for pair in places.items() for part in pair)]

    @cached_property
    def profiles(self) -> Path:
        """The folder of the example's profile, by which DuckDB has a share of the cores: several workers test at once.
        With more threads its client spins while another works, a sixth of the CPU of builds as small as these."""
        self.target.mkdir(parents=True, exist_ok=True)
        threads = max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1)))
        some_threads = {"settings: {TimeZone: UTC}": f"settings: {{TimeZone: UTC, threads: {threads}}}"}
        example = (self.root / "profiles.yml.example").read_text()
        (self.target / "profiles.yml").write_text(replaced(example, some_threads, "profiles.yml.example"))
        return self.target

    @cached_property
    def manifest(self):
        # The database of a DuckDB file is named after it, so that one manifest serves all files of one name; and copies
        # of the project are parsed in part, which dbt does only where its profile reads the same environment.
        with environment(WAREHOUSE_PATH=DATABASE, **self.settings):
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
        for name in ("dbt_project.yml", "packages.yml", "profiles.yml.example", "selectors.yml"):
            shutil.copy(self.root / name, root / name)
        shutil.copy(self.profiles / "profiles.yml", root)
        shutil.copytree(self.root / "dbt_packages", root / "dbt_packages", symlinks=True)
        # Parsed in part: only what is patched is read anew.
        (root / "target").mkdir()
        shutil.copy(self.parsed, root / "target")
        return replace(self, root=root, target=root / "target")

    def patch(self, file: str, changes: Mapping[str, str]) -> None:
        """Replaces texts in a file of a copy."""
        path = self.root / file
        path.write_text(replaced(path.read_text(), changes, file))

    @contextmanager
    def with_macros(self, changes: Mapping[str, Mapping[str, str]]) -> Iterator[None]:
        """Has dbt run macros with texts replaced, in the manifest that it reads them from: nothing is parsed anew."""
        ours = {macro.name: macro for macro in self.manifest.macros.values() if macro.package_name == PACKAGE}
        kept = {name: ours[name].macro_sql for name in changes}
        try:
            for name, texts in changes.items():
                ours[name].macro_sql = replaced(kept[name], texts, name)
            yield
        finally:
            for name, text in kept.items():
                ours[name].macro_sql = text

    def patch_macro(self, name: str, changes: Mapping[str, str]) -> None:
        """Replaces texts in a macro or materialization of a copy, in whichever file it stands."""
        begins = re.compile(rf"\{{%-? (?P<kind>macro|materialization) {name}\b.*?\{{%-? end(?P=kind) -?%\}}", re.DOTALL)
        found = [
            (path, text) for path in self.root.glob("macros/*/*.sql") for text in begins.finditer(path.read_text())
        ]
        assert len(found) == 1, f"{len(found)} macros are called {name}"
        [(path, body)] = found
        text = path.read_text()
        path.write_text(text[: body.start()] + replaced(body[0], changes, name) + text[body.end() :])


def replaced(text: str, changes: Mapping[str, str], where: str) -> str:
    """A text with other texts put in; each old one must stand in it exactly once."""
    for old, new in changes.items():
        assert text.count(old) == 1, f"{where} has changed: it holds {text.count(old)} times:\n{old}"
        text = text.replace(old, new)
    return text


@contextmanager
def patched_package(name: str, changes: Mapping[str, str]) -> Iterator[None]:
    """Has dbt load a package of `orchestration` with some texts replaced, each in the one file that holds it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(PROJECT / "orchestration" / name, Path(folder, name)))
        for old, new in changes.items():
            file, *others = [file for file in copy.glob("*.py") if old in file.read_text()]
            assert not others, f"more than one file of {name} holds:\n{old}"
            file.write_text(replaced(file.read_text(), {old: new}, file.name))
        full = f"orchestration.{name}"
        kept = {key: sys.modules.pop(key) for key in [*sys.modules] if f"{key}.".startswith(f"{full}.")}
        orchestration.__path__.insert(0, folder)
        try:
            yield
        finally:
            orchestration.__path__.remove(folder)
            for key in [key for key in sys.modules if f"{key}.".startswith(f"{full}.")]:
                del sys.modules[key]
            sys.modules |= kept


@dataclass
class Built:
    """What a dbt command came to."""

    # What the exit code says.
    succeeded: bool = False
    # Status by name; "error" of the command itself under the name "dbt".
    statuses: dict[str, str] = field(default_factory=dict)
    # The failing rows of each test.
    failures: dict[str, int] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    # What macros log.
    said: list[str] = field(default_factory=list)

    @property
    def broken(self) -> dict[str, str]:
        """What did not do its work; a run that is red for its files alone is not broken."""
        return {
            name: status
            for name, status in self.statuses.items()
            if status not in ("success", "pass")
            and not (status == "fail" and RED.fullmatch(name))
            and not (status in ("warn", "fail") and UNUSUAL.fullmatch(name))
        }

    @property
    def red(self) -> bool:
        return bool(self.broken) or any(
            status == "fail" and RED.fullmatch(name) for name, status in self.statuses.items()
        )


@dataclass
class Warehouse:
    """A warehouse with its landing zone, in a folder of its own."""

    project: Project
    folder: Path
    landed: dict[str, bytes] = field(default_factory=dict)
    # The feeds whose models are built, for each costs a second.
    feeds: tuple[Feed, ...] = (SALES,)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True)

    @property
    def root(self) -> Path:
        return self.folder / "landing"

    @property
    def landing_root(self) -> str:
        """What LANDING_ROOT is set to."""
        return str(self.root)

    @property
    def places(self) -> dict[str, str]:
        """The environment in which dbt finds the warehouse and its files."""
        return {"WAREHOUSE_PATH": str(self.folder / DATABASE), "LANDING_ROOT": self.landing_root}

    def drop(self) -> None:
        """Leaves nothing of it."""
        shutil.rmtree(self.folder)

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
            report.listen(event)
            if event.info.name == "JinjaLogInfo":
                built.said.append(event.data.msg)
            if event.info.level == "warn":
                built.warnings.append(event.info.msg)

        scope = {"RUN_DATE": str(run_date)} if run_date else {}
        with environment(**self.places, **scope):
            runner = dbtRunner(manifest=self.project.manifest, callbacks=[listen])
            result = runner.invoke([*command, *self.project.options()])
        DuckDBConnectionManager.close_all_connections()
        DEFAULT_BASE_BEHAVIOR_FLAGS[:] = FLAGS
        built.succeeded = result.success
        if result.exception is not None:
            built.statuses["dbt"] = f"error: {result.exception}"
        for one in getattr(result.result, "results", ()):
            if hasattr(one, "node") and one.node.resource_type in ("operation", "exposure"):
                continue  # the hook that looks at the command before it starts; who uses what
            failed = str(one.status) in ("error", "runtime error")
            # What a run-operation gives has no node.
            name = one.node.name if hasattr(one, "node") else one.unique_id.split(".")[-1]
            built.failures[name] = getattr(one, "failures", None) or 0
            built.statuses[name] = f"{one.status}: {one.message}" if failed else str(one.status)
        return built

    def build(self, *options: str, run_date: date | None = None) -> Built:
        """`dbt build` of the feeds at hand, without the unit tests, which say nothing of the data at hand."""
        return self.dbt("build", *self.selection("unit_test"), *options, run_date=run_date)

    def selection(self, *resource_types: str) -> list[str]:
        """The options that leave out other feeds, with the tests that read them, and some types of resources."""
        ours = {feed.name for feed in self.feeds}
        # What is made of several feeds has tests of its own.
        others = [*(f"tag:{name}" for name in self.project.feeds if name not in ours), "tag:churn"]
        exclude = ["--exclude", *others] if others else []
        return [*exclude, "--exclude-resource-type", *resource_types]

    def release(self, path: str) -> Built:
        """A person lets a held file through."""
        facts = {"file": path, "reason": "agreed", "released_by": "tests", "released_at": "2024-02-01 12:00:00"}
        return self.dbt("run-operation", "release_file", "--args", json.dumps(facts))

    def build_until(self, model: str, *options: str, run_date: date | None = None) -> Built:
        """What a build has done when it is killed after a model."""
        command = ("build", "--select", f"+{model}", *self.selection("test", "unit_test"), *options)
        return self.dbt(*command, run_date=run_date)

    def query(self, sql: str) -> list[tuple]:
        with duckdb.connect(self.folder / DATABASE, read_only=True) as connection:
            return connection.execute(sql).fetchall()

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """The columns of the tables of `prod` that are compared."""
        return {name: columns for feed in self.feeds for name, columns in feed.tables().items()} | REGISTERS

    def tables(self) -> Tables:
        """Every table of `prod` of the feeds at hand as a multiset of rows; fails if one has other columns."""
        query = (
            "select table_schema || '.' || table_name, list(column_name order by ordinal_position) "
            "from information_schema.columns where table_schema = 'prod' group by all"
        )
        with duckdb.connect(self.folder / DATABASE, read_only=True) as connection:
            found = dict(connection.execute(query).fetchall())
            assert {name: sorted(found.get(name, ())) for name in self.columns} == {
                name: sorted(columns) for name, columns in self.columns.items()
            }
            return {
                name: Counter(connection.execute(f"select {', '.join(columns)} from {name}").fetchall())
                for name, columns in self.columns.items()
            }

    def rejected(self) -> Counter:
        """(file, record, columns at fault) of each rejected row."""
        rejected = Counter()
        for feed in self.feeds:
            rows = self.query(f"select source_file, source_record, reject_reasons from staging.rejected_{feed.name}")
            rejected.update((path, record, at_fault(feed, reasons)) for path, record, reasons in rows)
        return rejected


def at_fault(feed: Feed, reasons: str) -> frozenset[str]:
    """The columns that the reasons of a rejected row name."""
    names = [reason.split(" ")[0] for reason in reasons.split("; ")]
    assert not set(names) - set(feed.names), f"not a reason: {reasons}"
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
    return "\n".join([f"{name} has {found.total()} rows, expected {expected.total()}", *lines])


def compare_tables(expected: Tables, found: Tables) -> None:
    """Fails if the tables of `prod` differ, saying in which rows."""
    assert expected.keys() == found.keys()
    differences = [difference(name, expected[name], found[name]) for name in expected]
    assert not any(differences), "\n" + "\n".join(filter(None, differences))


def compare(expected: Reference, warehouse: Warehouse, built: Built, run_date: date | None = None) -> None:
    """Fails if production or what the run says differs from the reference."""
    assert not built.broken, f"the build is broken: {built.broken}"
    found = warehouse.tables()
    compare_tables(expected.tables(), found)
    for path, _, _, _, *rows in found["prod.load_ledger"]:
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
