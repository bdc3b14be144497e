"""Takes the new and the restated files of a landing zone into the raw table, each whole or not at all."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from itertools import count
from pathlib import Path
from typing import BinaryIO, Protocol

import duckdb

from orchestration.landing.inspection import CHANGED, Inspection, inspect, shown
from orchestration.landing.listing import Feed, landed_files, none_ever
from orchestration.landing.records import uneven_record
from orchestration.landing.sql import CSV_OPTIONS, identifier, literal, pattern
from orchestration.landing.zones import BLOCK, LandedFile, LandingError, Zone

# One transaction takes this many files: a commit each would cost more than the loading of small ones.
FILES_A_TRANSACTION = 200


@dataclass(frozen=True)
class Tables:
    """The relations that a load writes, rendered."""

    raw: str
    landed: str
    refused: str


class Log(Protocol):
    """Where a load says what it does: dbt's own log, or any other."""

    def info(self, text: str) -> None: ...

    def warning(self, text: str) -> None: ...


def landing_ids(cursor: duckdb.DuckDBPyConnection, landed: str) -> Iterator[int]:
    """The numbers of the next landings; a `LandingError` if some of those before have the number of another."""
    last = f"select coalesce(max(landing_id), 0), count(*) - count(distinct landing_id) from {landed}"
    last_id, doubled = cursor.execute(last).fetchone()
    if doubled:
        raise LandingError(
            f"{doubled} landing(s) in {landed} have the number of another one, as an earlier version gave "
            "them when it loaded with several threads: rows are counted as those of another file. Nothing was "
            'loaded. How to heal that: docs/how-it-works.md, "A damaged warehouse".'
        )
    return count(last_id + 1)


class Loader:
    """Takes the new and the restated files of a landing zone into the raw table, each whole or not at all."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, zone: Zone, feed: Feed, tables: Tables, log: Log):
        self.cursor, self.zone, self.feed, self.tables, self.log = cursor, zone, feed, tables, log
        self.prefix = f"raw/{feed.name}/"
        self.refused = self._known(tables.refused)
        self.ids = landing_ids(cursor, tables.landed)
        # What S3 denied to DuckDB alone, with its answer; and whether DuckDB has read anything.
        self.denied: list[tuple[LandedFile, duckdb.HTTPException]] = []
        self.has_read = False

    def load(self, run_date: date | None) -> None:
        """Loads what is new or restated, of one day or of all days."""
        with self.zone.reading(f"{self.prefix} of {self.zone.root}"):
            self._load(run_date)

    def _load(self, run_date: date | None) -> None:
        files, others = landed_files(self.zone, self.feed, run_date)
        place = f"{self.prefix}<date>/{'<hour>/' if self.feed.hourly else ''}"
        for path in others:
            self.log.warning(f"Left alone: {path} is not a .csv or .csv.gz file in {place}.")
        self._forget_vanished(run_date, {file.path for file in files})
        news = self._new_or_restated(files)
        if not files and not self.refused and not self._known(self.tables.landed):
            self.log.warning(none_ever(self.zone.root, self.feed, run_date))
        elif not news:
            self.log.info(f"Nothing to do: none of the {len(files)} file(s) in {self.prefix} is new or restated.")
        for start in range(0, len(news), FILES_A_TRANSACTION):
            self._take(news[start : start + FILES_A_TRANSACTION], start, len(news))
        # None is kept: an error holds on to the frames in which it came, and they to the connection.
        while self.denied:
            file, error = self.denied.pop(0)
            if not self.has_read:
                raise error
            answer = Inspection(problem=f"it cannot be read: S3 answers {error.status_code} to DuckDB")
            self._take([(file, answer)], len(news) - len(self.denied) - 1, len(news))

    def _forget_vanished(self, run_date: date | None, listed: set[str]) -> None:
        prefix = f"{self.prefix}{run_date}/" if run_date else self.prefix
        for path in self.refused:
            if path.startswith(prefix) and path not in listed:
                self.cursor.execute(f"delete from {self.tables.refused} where source_file = {literal(path)}")

    def _new_or_restated(self, files: list[LandedFile]) -> list[tuple[LandedFile, Inspection]]:
        newest = self._known(self.tables.landed, "qualify landing_id = max(landing_id) over (partition by source_file)")
        news = []
        for file in files:
            # While a refusal stands, the file was restated badly: the landed content is no longer its newest.
            is_refused = file.path in self.refused
            table, known = (self.tables.refused, self.refused) if is_refused else (self.tables.landed, newest)
            known_hash, fingerprint = known.get(file.path, (None, None))
            if file.fingerprint and fingerprint == file.fingerprint:
                continue
            try:
                with self.zone.reading(file.url):
                    seen = inspect(self._opener(file), file.path.endswith(".gz"), self.feed)
            except OSError as error:
                seen = _unreadable(error)
            if seen.content_hash and seen.content_hash == known_hash:
                self.cursor.execute(
                    f"update {table} set fingerprint = {literal(file.fingerprint)} "
                    f"where source_file = {literal(file.path)} and content_hash = {literal(known_hash)}"
                )
            else:
                news.append((file, seen))
        return news

    def _opener(self, file: LandedFile) -> Callable[[], BinaryIO]:
        return lambda: self.zone.open(file)

    def _known(self, register: str, condition: str = "") -> dict[str, tuple[str, str]]:
        rows = self.cursor.execute(
            f"select source_file, content_hash, fingerprint from {register} "
            f"where starts_with(source_file, {literal(self.prefix)}) {condition}"
        ).fetchall()
        return {path: (content_hash, fingerprint) for path, content_hash, fingerprint in rows}

    def _take(self, files: list[tuple[LandedFile, Inspection]], done: int, total: int) -> None:
        """Takes some files in one transaction; if one of them turns out to be malformed, each in its own."""
        self.cursor.execute("begin")
        try:
            facts: dict[str, list[dict[str, object]]] = {}
            lines = [self._record(file, seen, facts) for file, seen in files]
            for table, rows in facts.items():
                values = ", ".join("(" + ", ".join(map(literal, row.values())) + ")" for row in rows)
                self.cursor.execute(f"insert into {table} ({', '.join(rows[0])}) values {values}")
            self.cursor.execute("commit")
        except BaseException as error:
            with suppress(duckdb.TransactionException):  # a commit that failed has rolled back
                self.cursor.execute("rollback")
            if not isinstance(error, duckdb.Error):
                raise
            changed = not all(self.zone.unchanged(file) for file, _ in files)
            denied = isinstance(error, duckdb.HTTPException) and 400 <= error.status_code < 500
            if not (changed or denied or _is_the_files(error)):
                raise
            if len(files) > 1:
                for number, one in enumerate(files):
                    self._take([one], done + number, total)
                return
            file, seen = files[0]
            if changed:
                seen = self._changed(file)
            elif denied:
                # Without its traceback, which would keep the connection open.
                self.denied.append((file, error.with_traceback(None)))
                return
            else:
                self._diagnose(file, seen)
            self._take([(file, seen)], done, total)
            return
        for number, (level, line) in enumerate(lines, start=done + 1):
            getattr(self.log, level)(f"[{number}/{total}] {line}")

    def _record(self, file: LandedFile, seen: Inspection, facts: dict[str, list[dict[str, object]]]) -> tuple[str, str]:
        """Takes or refuses a file; adds to `facts` what its register is to hold of it, and returns what to say."""
        seen.problem = seen.problem or _name_problem(file.url)
        if seen.problem is None:
            with self._readable(file, seen) as url:
                received, landing_id = self._insert(file, seen, url)
            self.has_read = True
            if not self.zone.unchanged(file):
                seen = self._changed(file)
            elif received != seen.records - 1:  # of some files it has dropped what it could not read
                self._diagnose(file, seen)
            if seen.problem:
                self.cursor.execute(f"delete from {self.tables.raw} where landing_id = {landing_id}")
        elif seen.content_hash and not self.zone.unchanged(file):
            seen = self._changed(file)
        if file.path in self.refused:
            self.cursor.execute(f"delete from {self.tables.refused} where source_file = {literal(file.path)}")
        known = {"source_file": file.path, "content_hash": seen.content_hash, "file_date": file.file_date}
        known["fingerprint"] = file.fingerprint if seen.content_hash else ""
        if seen.problem:
            known |= {"source_record": seen.record, "reason": seen.problem}
            facts.setdefault(self.tables.refused, []).append(known)
            where = f", record {seen.record}" if seen.record else ""
            return "warning", f"REFUSED {file.path}{where}: {seen.problem}"
        extra = [name for name in seen.columns if name not in self.feed.columns]
        known |= {"landing_id": landing_id, "is_typed": False, "received": received}
        known["extra_columns"] = ", ".join(extra) or None
        facts.setdefault(self.tables.landed, []).append(known)
        if extra:
            return "warning", f"{file.path}: {received} records; ignored the extra column(s) {shown(extra)}"
        return "info", f"{file.path}: {received} records"

    def _changed(self, file: LandedFile) -> Inspection:
        """What comes of a file that is no more what was listed."""
        try:
            with self.zone.reading(file.url), self.zone.open(file):
                return CHANGED
        except FileNotFoundError:
            return CHANGED
        except OSError as error:
            return _unreadable(error)

    def _diagnose(self, file: LandedFile, seen: Inspection) -> None:
        """What is wrong with a file that DuckDB could not read, in words that hold none of its data."""
        zipped = file.path.endswith(".gz")
        seen.problem, seen.record = uneven_record(self._opener(file), zipped)
        if seen.problem:
            return
        if zipped and not seen.unpacked:
            # DuckDB knows not all that gzip may have in its header or at its end.
            seen.unpacked = True
        else:
            seen.problem = "DuckDB does not read it, though each of its records is well-formed; write the file anew"

    @contextmanager
    def _readable(self, file: LandedFile, seen: Inspection) -> Iterator[str]:
        """Where DuckDB reads a file."""
        if not seen.unpacked:
            yield file.url
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "unpacked.csv")
            try:
                with self.zone.open(file) as packed, copy.open("wb") as unpacked:
                    shutil.copyfileobj(gzip.GzipFile(fileobj=packed), unpacked, BLOCK)
            except OSError as error:
                reason = error.strerror or error
                raise LandingError(f"{file.path} cannot be unpacked into {folder}: {reason}.") from error
            yield str(copy)

    def _insert(self, file: LandedFile, seen: Inspection, url: str) -> tuple[int, int]:
        """Appends the records of a file; returns their number and the id under which they landed."""
        landing_id = next(self.ids)
        # Columns are declared in the file's own order; those that the contract lacks get names of ours.
        names = [name if name in self.feed.columns else f"extra {place}" for place, name in enumerate(seen.columns)]
        declared = ", ".join(f"{literal(name)}: 'varchar'" for name in names)
        wanted = ", ".join(identifier(name) for name in self.feed.columns if name in seen.columns)
        received = self.cursor.execute(
            f"insert into {self.tables.raw} "
            f"({wanted}, source_file, content_hash, source_record, file_date, landing_id) "
            f"select {wanted}, {literal(file.path)}, {literal(seen.content_hash)}, row_number() over () + 1, "
            f"date {literal(file.file_date)}, {landing_id} "
            f"from read_csv({literal(pattern(url))}, {CSV_OPTIONS}, strict_mode = {literal(not seen.mixed)}, "
            f"columns = {{{declared}}})"
        ).fetchone()[0]
        return received, landing_id


def _unreadable(error: OSError) -> Inspection:
    return Inspection(problem=f"it cannot be read: {error.strerror or error}")


def _name_problem(url: str) -> str | None:
    """What DuckDB's readers make something else of, and no quoting prevents."""
    if "\\" in url:
        return "its name has a backslash, which the reader takes for the end of a folder's; rename it"
    if url.startswith("s3://") and "?" in url:
        return "its name has a question mark, which the reader takes for the start of parameters; rename it"
    return None


def _is_the_files(error: BaseException) -> bool:
    """Whether an error says that the file is malformed, and not that it could not be reached."""
    if isinstance(error, duckdb.IOException):
        return "GZIP" in str(error).upper() and not isinstance(error, duckdb.HTTPException)
    # Not implemented is to read a record that is longer than a buffer.
    return isinstance(error, (duckdb.InvalidInputException, duckdb.NotImplementedException))
