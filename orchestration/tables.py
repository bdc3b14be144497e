"""The tables of `table_sync`: dbt's manifest says which there are, the landing zone which have something to do.

Nothing of dbt is started for either.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import yaml

from orchestration.landing.listing import Feed, landed_files, none_ever
from orchestration.landing.sql import literal
from orchestration.landing.zones import Zone, zone_at
from orchestration.project import ENV, MANIFEST, PROJECT, TARGET

log = logging.getLogger(__name__)

# What is known of their files, and what all tables share besides.
KNOWN_FILES = "known_files"
SHARED = ("config.materialized:register", "file_verdicts", "load_metrics", "files_to_mend", KNOWN_FILES)
# Where readers see them.
READ = "models/marts/tables/"
# A test of what they share that is not theirs.
CHECK_OF_SALES = "no_file_to_mend"


@dataclass(frozen=True)
class Table:
    """A configured table: the name of its feed, whether files come by the hour, the seeds that its contract names."""

    name: str
    hourly: bool
    seeds: tuple[str, ...]

    @property
    def select(self) -> str:
        """The nodes that load it: its own and what all tables share."""
        return " ".join([f"tag:{self.name}", *self.seeds, *SHARED])

    @property
    def exclude(self) -> str:
        """Of these, what is not of the load: the checks of production, the table's and those of sales."""
        return f"{self.checks} {CHECK_OF_SALES}"

    @property
    def checks(self) -> str:
        """The checks of its production."""
        return f"tag:{self.name}_quality_checks"

    @property
    def freshness(self) -> str:
        """That of them which asks for something new."""
        return f"{self.checks},test_name:is_fresh"


def tables(manifest: Path = MANIFEST) -> list[Table]:
    """The tables of a manifest, in the order of their names; raises FileNotFoundError without one."""
    if not manifest.exists():
        raise FileNotFoundError(f"{manifest} is missing: `dbt parse` makes it, and `make setup` runs that.")
    stat = manifest.stat()
    return list(_tables(manifest, stat.st_mtime_ns, stat.st_size))


# Every task reads the DAG file, in a fork of the scheduler, which has read it before.
@lru_cache(maxsize=1)
def _tables(manifest: Path, changed: int, size: int) -> tuple[Table, ...]:
    nodes = json.loads(manifest.read_text())["nodes"].values()
    models = {node["name"]: node for node in nodes if node["resource_type"] == "model"}
    found = []
    for node in models.values():
        feed = node["config"].get("meta", {}).get("feed")
        # The other feeds have DAGs of their own.
        read = models.get(feed["name"]) if feed else None
        if read and read["original_file_path"].startswith(READ):
            parents = models[f"typed_{feed['name']}"]["depends_on"]["nodes"]
            seeds = sorted(name.rpartition(".")[2] for name in parents if name.startswith("seed."))
            found.append(Table(feed["name"], feed.get("files") == "hourly", tuple(seeds)))
    return tuple(sorted(found, key=lambda table: table.name))


def with_news(configured: Iterable[Table]) -> tuple[dict[str, int], list[str]]:
    """The tables that a sync has something to do for, and how many of their files are new, restated or gone; and the
    tables that have been built.

    Raises what the landing zone or the warehouse raises when it cannot be reached.
    """
    configured = list(configured)
    known, zone = _known(configured), _zone()
    news = {}
    for table in configured:
        files = _listed(table, zone)
        news[table.name] = changes(table.name, files, known)
        if not files and not any(path.startswith(f"raw/{table.name}/") for path in known.fingerprints):
            log.warning(_none_ever(table, zone))
    built = [table.name for table in configured if table.name in known.tables]
    return {name: number for name, number in news.items() if number is not None}, built


@dataclass(frozen=True)
class Known:
    """What the warehouse says: the fingerprint of each known file, which of them are refused, which wait for a load to
    be finished, and which tables there are."""

    fingerprints: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()
    unfinished: frozenset[str] = frozenset()
    tables: frozenset[str] = frozenset()


def changes(table: str, files: Mapping[str, str], known: Known) -> int | None:
    """How many files of a table are new, restated or gone; None if there is nothing to do for it.

    `files` are the fingerprints of the listing, by path. With no file changed there is still something to do if a load
    was not finished, if a held file was released since, or if the table was never built.
    """
    prefix = f"raw/{table}/"
    changed = sum(1 for path, fingerprint in files.items() if known.fingerprints.get(path) != fingerprint)
    gone = sum(1 for path in known.refused if path.startswith(prefix) and path not in files)
    waits = any(path.startswith(prefix) for path in known.unfinished)
    return None if table in known.tables and not (changed or gone or waits) else changed + gone


def _known(configured: Iterable[Table]) -> Known:
    from orchestration import report

    try:
        there = report.tables()
    except FileNotFoundError:  # no warehouse yet
        return Known()
    if ("staging", KNOWN_FILES) not in there:
        return Known()
    # Of other feeds, events above all, there may be very many.
    feeds = ", ".join(literal(table.name) for table in configured)
    rows = report.ask(
        f"select source_file, fingerprint, is_refused, is_unfinished from staging.{KNOWN_FILES} "
        f"where split_part(source_file, '/', 2) in ({feeds or 'null'})"
    )
    return Known(
        {row["source_file"]: row["fingerprint"] for row in rows},
        frozenset(row["source_file"] for row in rows if row["is_refused"]),
        frozenset(row["source_file"] for row in rows if row["is_unfinished"]),
        frozenset(name for schema, name in there if schema == "prod"),
    )


def fingerprint_on_stage(path: str) -> str | None:
    """What Snowflake registers of a file as it is now, None of one that is gone."""
    return next((found for one, _, found in _Stage().entries(path, 0) if one == path), None)


def _zone() -> Zone | _Stage:
    return _Stage() if TARGET == "snowflake" else zone_at(ENV["LANDING_ROOT"])


def _none_ever(table: Table, zone: Zone | _Stage) -> str:
    return none_ever(zone.root, Feed(table.name, (), hourly=table.hourly), None)


def _listed(table: Table, zone: Zone | _Stage) -> dict[str, str]:
    """The fingerprints of a table's files in the landing zone, by path."""
    with zone.reading(f"raw/{table.name}/ of {zone.root}"):
        files, _ = landed_files(zone, Feed(table.name, (), hourly=table.hourly), None)
    return {file.path: file.fingerprint for file in files}


class _Stage:
    """The landing zone as Snowflake lists it; a file's fingerprint is what the load registers there."""

    def __init__(self) -> None:
        variables = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
        self.root = f"@{variables['landing_stage']}"

    def entries(self, prefix: str, depth: int) -> Iterator[tuple[str, str, str]]:
        """Yields (path, url, fingerprint) of every file below a prefix, however deep."""
        from orchestration import report

        for row in report.ask(f"list {self.root}/{prefix}"):
            yield prefix + row["name"].partition(prefix)[2], row["name"], row["md5"]

    def reading(self, what: str) -> AbstractContextManager[None]:
        """Snowflake's own errors are plain."""
        return nullcontext()
