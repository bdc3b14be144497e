"""What no SQL can do for a landing zone: list it, hash a file, and take it whole or refuse it.

A dbt-duckdb plugin. The `load_files` materialization calls it (`macros/load_files.sql`); on Snowflake,
COPY INTO does the same work.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import os
import re
import shutil
import stat
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import date
from errno import ENOENT
from itertools import count, islice
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import TargetConfig
from dbt.adapters.events.logging import AdapterLogger
from dbt_common.exceptions import DbtRuntimeError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from orchestration import settings

log = AdapterLogger("landing")

BLOCK = 1 << 20
# A first record longer than this is no header.
HEADER_LIMIT = 1 << 16
# DuckDB's own limit of a record, in bytes.
RECORD_LIMIT = 2_000_000
# Below raw/<feed>/<date>/
FILE_OF_A_DAY = re.compile(r"[^/]+\.csv(\.gz)?")
FILE_OF_AN_HOUR = re.compile(r"([01][0-9]|2[0-3])/[^/]+\.csv(\.gz)?")
# One transaction takes this many files: a commit each would cost more than the loading of small ones.
FILES_A_TRANSACTION = 200
# A record, to the letter of RFC 4180; one line feed is a line end too. Everything that reads a file is held to it.
BOM = codecs.BOM_UTF8.decode("latin-1")
FIELD = r'(?:"(?:[^"]|"")*+"|[^",\r\n]*+)'
RECORD = re.compile(rf"{FIELD}(?:,{FIELD})*+(?:\r\n|\n)?")
# Without the last one a folder named a=b on the way to a file would become a column.
CSV_OPTIONS = "header = true, delim = ',', quote = '\"', escape = '\"', auto_detect = false, hive_partitioning = false"

CREDENTIALS = (
    f"In Airflow the credentials come from the connection {settings.AWS_CONNECTION}, elsewhere from AWS_ACCESS_KEY_ID "
    "and AWS_SECRET_ACCESS_KEY or a profile."
)
# What S3 answers when it is not the object that it refuses, but who asks, or for now.
OF_ALL_OBJECTS = {
    *("AuthFailure", "AuthorizationHeaderMalformed", "ExpiredToken", "InvalidAccessKeyId", "InvalidSecurity"),
    *("InvalidToken", "NotSignedUp", "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired"),
    *("NoSuchBucket", "RequestTimeout", "SlowDown", "Throttling", "TooManyRequests", "401", "408", "429"),
}

csv.field_size_limit(RECORD_LIMIT)


@dataclass(frozen=True)
class Feed:
    """One kind of file: the contract's columns in their order, those of them that a file may lack, and whether its
    files come by the hour."""

    name: str
    columns: Sequence[str]
    optional: Collection[str] = ()
    hourly: bool = False


@dataclass(frozen=True)
class LandedFile:
    """A file in the landing zone.

    `path` is relative to the landing root and is what the file is known by; `url` is what DuckDB reads;
    `fingerprint` changes whenever the content may have changed, and is cheap to get.
    """

    path: str
    url: str
    file_date: date
    fingerprint: str


@dataclass
class Inspection:
    """What one pass over the bytes of a file tells. `problem` is None for a file that may be loaded.

    Without a hash the problem says nothing of the content: the next run reads the file again.
    """

    content_hash: str = ""
    columns: list[str] = field(default_factory=list)
    problem: str | None = None
    record: int | None = None
    # How many there are, and whether they end in both ways.
    records: int = 0
    mixed: bool = False
    # Whether DuckDB is given a copy that is not zipped.
    unpacked: bool = False


GONE = "it has gone since it was listed"
CHANGED = Inspection(problem="it changed while it was read; the next run reads it again")


class FolderZone:
    """A landing zone in a local folder."""

    def __init__(self, root: str):
        self.root = Path(root)
        if not self.root.is_dir():
            raise DbtRuntimeError(
                f"The landing root {root} is not a folder. Set LANDING_ROOT to a folder or to s3://bucket; "
                "`make setup` makes the demo's."
            )

    def entries(self, prefix: str, depth: int) -> Iterator[tuple[str, str, str]]:
        """Yields (path, url, fingerprint) of the files below a prefix; of a folder that is deeper only the path."""

        def stop(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise DbtRuntimeError(f"The folder {error.filename} cannot be listed: {error.strerror}.") from error

        for folder, folders, names in os.walk(self.root / prefix, onerror=stop, followlinks=True):
            path = Path(folder).relative_to(self.root)
            if len(path.parts) >= depth:
                # A folder with the name of a file is a file that cannot be read.
                names += [name for name in folders if FILE_OF_A_DAY.fullmatch(name)]
                yield from ((f"{path.as_posix()}/{name}/...", "", "") for name in folders if name not in names)
                folders.clear()
            for name in names:
                full = Path(folder, name)
                yield (path / name).as_posix(), str(full), self._fingerprint(full)

    def open(self, file: LandedFile) -> BinaryIO:
        # A pipe would be waited for, a device read without end.
        if not stat.S_ISREG(Path(file.url).stat().st_mode):
            raise OSError("it is no regular file")
        return Path(file.url).open("rb")

    def unchanged(self, file: LandedFile) -> bool:
        """Whether the file is still the one that was listed."""
        return self._fingerprint(Path(file.url)) == file.fingerprint

    def reading(self, what: str) -> AbstractContextManager[None]:
        """Turns the errors of a storage that is out of reach into plain ones."""
        return nullcontext()

    @staticmethod
    def _fingerprint(path: Path) -> str:
        """Empty for one that has gone, or for a link that leads nowhere or in a circle."""
        try:
            found = path.stat()
        except OSError:
            return ""
        # The change time tells a rewrite that keeps size and modification time.
        return f"{found.st_size}-{found.st_mtime_ns}-{found.st_ctime_ns}-{found.st_ino}"


class S3Zone:
    """A landing zone in a bucket, with boto3's own credentials and settings."""

    def __init__(self, root: str, connection: duckdb.DuckDBPyConnection | None):
        import boto3
        from botocore.config import Config

        self.root = root
        self.bucket, _, self.base = root.removeprefix("s3://").rstrip("/").partition("/")
        tries = {"total_max_attempts": settings.S3_ATTEMPTS, "mode": "standard"}
        seconds = settings.S3_SECONDS
        with self.reading(root):
            session = boto3.Session()
            self.client = session.client(
                "s3", config=Config(connect_timeout=seconds, read_timeout=seconds, retries=tries)
            )
            if connection:
                self._let_duckdb_read(session, connection)

    def entries(self, prefix: str, depth: int) -> Iterator[tuple[str, str, str]]:
        """Yields (path, url, fingerprint) of every object below a prefix, however deep."""
        base = f"{self.base}/" if self.base else ""
        for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=base + prefix):
            for item in page.get("Contents", []):
                yield (
                    item["Key"].removeprefix(base),
                    f"s3://{self.bucket}/{item['Key']}",
                    f"{item['Size']}-{item['ETag']}-{item['LastModified'].isoformat()}",
                )

    def open(self, file: LandedFile) -> BinaryIO:
        with self._of_the_object():
            body = self.client.get_object(Bucket=self.bucket, Key=self._key(file))["Body"]
        # Unlike the body by itself, which `with` would undo of its check that all of it came.
        return io.BufferedReader(body, BLOCK)

    def unchanged(self, file: LandedFile) -> bool:
        """Whether the object is still the one that was listed."""
        try:
            with self._of_the_object():
                head = self.client.head_object(Bucket=self.bucket, Key=self._key(file))
        except OSError:
            return False
        return f"{head['ContentLength']}-{head['ETag']}-{head['LastModified'].isoformat()}" == file.fingerprint

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Turns the errors of a storage that is out of reach into plain ones."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError, duckdb.IOException) as error:
            reason = " ".join(str(error).split())[:300].rstrip(".")
            if isinstance(error, duckdb.IOException) and "HTTP" not in reason:
                raise
            answer = getattr(error, "response", None) or {}
            status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode") or getattr(error, "status_code", 0)
            if answer.get("Error", {}).get("Code") == "NoSuchBucket":
                advice = "Set LANDING_ROOT to a bucket that is there."
            elif status in (400, 401, 403):
                advice = CREDENTIALS
            else:
                advice = "Once S3 answers, run this again: no file was taken in part."
            raise DbtRuntimeError(f"S3 did not give {what}: {reason}. {advice}") from error

    @staticmethod
    @contextmanager
    def _of_the_object() -> Iterator[None]:
        """Makes what S3 says of a single object, whatever it is, what a folder says of a file."""
        from botocore.exceptions import ClientError

        try:
            yield
        except ClientError as error:
            status, answer = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]
            if not 400 <= status < 500 or {answer["Code"], str(status)} & OF_ALL_OBJECTS:
                raise
            if status == 404:
                raise FileNotFoundError(ENOENT, GONE) from error
            said = f"S3 answers {status} {answer['Code']}: {answer.get('Message', '')}"
            raise OSError(" ".join(said.split())[:300].rstrip(".: ")) from error

    def _key(self, file: LandedFile) -> str:
        return file.url.removeprefix(f"s3://{self.bucket}/")

    def _let_duckdb_read(self, session, connection: duckdb.DuckDBPyConnection) -> None:
        import duckdb_extensions

        credentials = session.get_credentials()
        if credentials is None:
            raise DbtRuntimeError(f"No AWS credentials for s3://{self.bucket}. {CREDENTIALS}")
        frozen = credentials.get_frozen_credentials()
        asked = urlsplit(self.client.generate_presigned_url("get_object", {"Bucket": self.bucket, "Key": "x"}))
        scheme, _, endpoint = self.client.meta.endpoint_url.partition("://")
        secret = {
            "key_id": frozen.access_key,
            "secret": frozen.secret_key,
            "session_token": frozen.token or "",
            "region": self.client.meta.region_name,
            "endpoint": endpoint,
            # As boto3 names the bucket.
            "url_style": "vhost" if asked.netloc.startswith(f"{self.bucket}.") else "path",
            "use_ssl": str(scheme == "https").lower(),
        }
        duckdb_extensions.import_extension("httpfs")
        connection.execute("load httpfs")
        connection.execute(f"set global http_timeout = {settings.S3_SECONDS}")
        connection.execute(f"set global http_retries = {settings.S3_ATTEMPTS - 1}")
        body = ", ".join(f"{key} {literal(value)}" for key, value in secret.items())
        connection.execute(f"create or replace secret landing_zone (type s3, {body})")


Zone = FolderZone | S3Zone


def zone_at(root: str, connection: duckdb.DuckDBPyConnection | None = None) -> Zone:
    """The landing zone at a folder or an `s3://` URL; the connection, if one is given, can read the files of it."""
    return S3Zone(root, connection) if root.startswith("s3://") else FolderZone(root)


def literal(value: str | int | bool | date | None) -> str:
    """A SQL literal of any value.

    Literals, for DuckDB's client imports pandas as soon as a statement has a parameter: half a second.
    """
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value).lower()
    return "'" + str(value).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A quoted SQL identifier of any text."""
    return '"' + name.replace('"', '""') + '"'


def landed_files(zone: Zone, feed: Feed, run_date: date | None) -> tuple[list[LandedFile], list[str]]:
    """Lists the files of a feed, of one day or of all, in the order of their paths.

    Returns the `.csv` and `.csv.gz` files that stand directly in `raw/<feed>/<date>/`, of an hourly feed in
    `raw/<feed>/<date>/<hour>/`, and the paths of anything else there.
    """
    base = f"raw/{feed.name}/"
    in_day = FILE_OF_AN_HOUR if feed.hourly else FILE_OF_A_DAY
    found, others = [], []
    for path, url, fingerprint in zone.entries(f"{base}{run_date}/" if run_date else base, 4 if feed.hourly else 3):
        if (name := path.encode(errors="replace").decode()) != path:
            others.append(name)
            continue
        day, _, name = path.removeprefix(base).partition("/")
        try:
            file_date = date.fromisoformat(day) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", day) else None
        except ValueError:
            file_date = None
        if file_date and in_day.fullmatch(name):
            found.append(LandedFile(path, url, file_date, fingerprint))
        elif not path.endswith("/"):
            others.append(path)
    return sorted(found, key=lambda file: file.path), sorted(others)


def none_ever(zone_root: object, feed: Feed, run_date: date | None) -> str:
    """What to say where no file of a feed is and none was before: most often it is looked for in the wrong place."""
    folder = f"raw/{feed.name}/{run_date or '<YYYY-MM-DD>'}/{'<HH>/' if feed.hourly else ''}"
    return (
        f"Nothing to do: there is no {str(zone_root).rstrip('/')}/{folder}*.csv or *.csv.gz, and no file of "
        f"{feed.name} was ever found; if there should be, LANDING_ROOT must be the folder or bucket that holds raw/."
    )


class _HashedReader(io.RawIOBase):
    """A stream that keeps the SHA-256 of what was read through it."""

    def __init__(self, stream: BinaryIO):
        self.stream, self.digest = stream, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        block = self.stream.read(len(buffer))
        self.digest.update(block)
        buffer[: len(block)] = block
        return len(block)


def inspect(open_file: Callable[[], BinaryIO], zipped: bool, feed: Feed) -> Inspection:
    """Reads a file once and tells its hash, its columns and what, if anything, is wrong with its bytes.

    DuckDB drops the rest of a file after an unclosed quote in some plans without an error, takes blanks around quotes,
    quotes inside a field and any number of empty fields too many, reads NUL bytes, takes an empty file for no rows, and
    checks the UTF-8 only of the columns that are asked for: those are found here.
    """
    result, shape = Inspection(), _Shape()
    with open_file() as stream:
        reader = _HashedReader(stream)
        raw = io.BufferedReader(reader, BLOCK)
        head = _scan(result, shape, raw, zipped, open_file)
        while raw.read(BLOCK):
            pass
        result.content_hash = reader.digest.hexdigest()
    if result.problem is None or (result.record or 1) > 1:
        result.columns, problem = _header(head, feed)
        if problem:
            result.problem, result.record = problem, 1
    if result.problem is None and shape.commas != shape.records * (len(result.columns) - 1):
        result.problem, result.record = _uneven_record(open_file, zipped)
    result.records, result.mixed = shape.records, shape.mixed
    return result


def _scan(result: Inspection, shape: _Shape, raw: BinaryIO, zipped: bool, open_file: Callable[[], BinaryIO]) -> bytes:
    """Reads all of a file into what is known of it; returns how it begins."""
    head, size, problem, at = b"", 0, None, None
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        content = gzip.GzipFile(fileobj=raw) if zipped else raw
        while block := content.read(BLOCK):
            if len(head) < HEADER_LIMIT:
                head += block[:HEADER_LIMIT]
            if (nul := block.find(b"\0")) >= 0:
                problem, at = "a NUL byte", size + nul
                break
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                at = size - (len(error.object) - len(block)) + error.start
                problem = f"not UTF-8: byte 0x{error.object[error.start]:02x}"
                break
            shape.add(block if size else block.removeprefix(codecs.BOM_UTF8))
            size += len(block)
        else:
            try:
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                problem, at = "not UTF-8: the last character is cut off", size - 1
            shape.end()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        result.problem = f"broken gzip: {error}"
        return head
    if not size and not problem:
        result.problem = "0 bytes: not even a header"
    elif problem or shape.odd or shape.mixed:
        result.problem, result.record = _uneven_record(open_file, zipped, problem, at, shape.open)
    return head


class _Shape:
    """What the commas, quotes and line ends of a file come to, block by block, in one pass over its bytes.

    Every other quote begins a field or follows a quote, every one between ends a field or is followed by a quote: that
    holds for all of a file, or it is `odd`. No field is looked at: that is DuckDB's part.
    """

    def __init__(self) -> None:
        self.odd = False
        self.open = False
        # Outside of quotes.
        self.commas = self.lf = self.crlf = self.blank = self.records = 0
        # The byte before the next one to be counted, and that one: what follows a byte is known a block later.
        self.carry = b"\n"

    @property
    def mixed(self) -> bool:
        return 0 < self.crlf < self.lf

    def add(self, block: bytes) -> None:
        """Counts what is in a block, save for its last byte."""
        data = self.carry + block
        self.carry = data[-2:]
        if self.odd or len(data) < 3:
            self.open ^= data.count(b'"', 1, -1) % 2 == 1
            return
        if data.find(b'"', 1, -1) >= 0 or b"\n\n" in data or b"\n\r" in data:
            self._exactly(data)
        elif not self.open:
            self.commas += data.count(b",", 1, -1)
            self.lf += data.count(b"\n", 1, -1)
            if returns := data.count(b"\r", 1, -1):
                self.crlf += returns
                self.odd = returns != data.count(b"\r\n", 1)

    def _exactly(self, data: bytes) -> None:
        import numpy as np  # a tenth of a second, which files without a quote or a blank line do not need

        every = np.frombuffer(data, np.uint8)
        before, middle, after = every[:-2], every[1:-1], every[2:]
        quotes = np.flatnonzero(middle == ord('"'))
        before_first, after_second = before[quotes[self.open :: 2]], after[quotes[not self.open :: 2]]
        self.odd = bool(
            before_first.tobytes().translate(None, b',\n"') or after_second.tobytes().translate(None, b',\r\n"')
        )
        # From one quote to the next is in or out of quotes, in turns.
        edges = np.concatenate((np.zeros(1, quotes.dtype), quotes))

        def outside(places) -> int:
            return int(np.add.reduceat(places.view(np.uint8), edges, dtype=np.uint32)[self.open :: 2].sum())

        self.commas += outside(middle == ord(","))
        lf = middle == ord("\n")
        self.lf += outside(lf)
        self.blank += outside((before == ord("\n")) & (lf | (middle == ord("\r"))))
        if (returns := middle == ord("\r")).any():
            number = outside(returns)
            self.crlf += number
            self.odd = self.odd or number != outside(returns & (after == ord("\n")))
        self.open ^= bool(len(quotes) % 2)

    def end(self) -> None:
        """Counts the last byte."""
        last = self.carry[-1:]
        self.add(b",")
        self.records = self.lf - self.blank + (last != b"\n")
        self.odd = self.odd or self.open


def _records(open_file: Callable[[], BinaryIO], zipped: bool) -> Iterator[tuple[list[str] | None, str, int]]:
    """The records of a file as (fields, text, bytes up to the end); blank lines do not count.

    Of a record beyond the limit, or one that no reader of CSV takes, the fields are None, and it is the last: so no
    file is held in memory.
    """
    lines_of_record: list[str] = []
    size = end = 0

    def lines() -> Iterator[str]:
        nonlocal size, end
        while line := text.readline(RECORD_LIMIT + 1):
            end, line = end + len(line), line if end else line.removeprefix(BOM)
            lines_of_record.append(line)
            size += len(line)
            if size > RECORD_LIMIT:
                raise csv.Error
            yield line

    with open_file() as stream:
        # Latin-1 reads every byte, so that records can be counted in a file that is not UTF-8.
        text = io.TextIOWrapper(gzip.GzipFile(fileobj=stream) if zipped else stream, encoding="latin-1", newline="")
        try:
            for row in csv.reader(lines(), strict=True):
                record = "".join(lines_of_record)
                if record not in ("\n", "\r\n"):
                    yield row, record, end
                lines_of_record.clear()
                size = 0
        except csv.Error:
            yield None, "".join(lines_of_record), end


def _uneven_record(
    open_file: Callable[[], BinaryIO],
    zipped: bool,
    problem: str | None = None,
    at: int | None = None,
    unclosed: bool = False,
) -> tuple[str | None, int | None]:
    """The first record that is malformed, too long or has other fields than the header, as (problem, record number).

    What is wrong with a byte, if that is known, is wrong with the record that holds it; and if a quote is known to be
    unclosed, that is why a record has no end.
    """
    width = None
    for number, (row, text, end) in enumerate(_records(open_file, zipped), start=1):
        if at is not None and at < end:
            return problem, number
        if row is None or not RECORD.fullmatch(text):
            return _malformed(text, unclosed), number
        width = width or len(row)
        if len(row) != width:
            return f"{len(row)} fields, but the header has {width}", number
    return None, None


def _malformed(record: str, unclosed: bool) -> str:
    if len(record) > RECORD_LIMIT and not unclosed:
        return f"the record is longer than {RECORD_LIMIT:,} bytes; shorten its values or split it"
    if record.count('"') % 2 or len(record) > RECORD_LIMIT:
        return "an unclosed quote"
    if record.endswith("\r"):
        return "a carriage return without a line feed, outside of quotes"
    return "a quote inside a field that is not quoted as a whole, from its first character to its last"


def _header(head: bytes, feed: Feed) -> tuple[list[str], str | None]:
    text = head.decode("utf-8-sig", errors="ignore")
    columns = next(csv.reader(io.StringIO(text, newline="")), [])
    if len(head) >= HEADER_LIMIT and len(",".join(columns)) > HEADER_LIMIT // 2:
        return columns, "the header is longer than a header can be"
    lower = [name.lower() for name in columns]
    missing = [name for name in feed.columns if name not in (*columns, *feed.optional)]
    repeated = sorted({name for name in columns if lower.count(name.lower()) > 1})
    unknown = [name for name in columns if name not in feed.columns]
    if not columns:
        return columns, "the first line is blank: a header is expected"
    if any("\n" in name or "\r" in name for name in columns):
        return columns, "a line break in the name of a column"
    if repeated:
        return columns, f"column {_names(repeated)} stands more than once in the header"
    if missing:
        instead = f" and has {_names(unknown)}, which the contract does not know" if unknown else ""
        return columns, f"the header lacks {_names(missing)}{instead}"
    return columns, None


def _names(names: Sequence[str]) -> str:
    return ", ".join(_shown(name[:80]) for name in islice(names, 20))


def _shown(name: str) -> str:
    """A name so that it is told from one that looks the same."""
    if not name:
        return "(no name)"
    if name != name.strip() or not name.isprintable():
        return ascii(name)
    return name if name.isascii() else f"{name} ({name!a})"


@dataclass(frozen=True)
class Tables:
    """The relations that a load writes, rendered."""

    raw: str
    landed: str
    refused: str


class Loader:
    """Takes the new and the restated files of a landing zone into the raw table, each whole or not at all."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, zone: Zone, feed: Feed, tables: Tables):
        self.cursor, self.zone, self.feed, self.tables = cursor, zone, feed, tables
        self.prefix = f"raw/{feed.name}/"
        self.refused = self._known(tables.refused)
        last = f"select coalesce(max(landing_id), 0), count(*) - count(distinct landing_id) from {tables.landed}"
        last_id, doubled = cursor.execute(last).fetchone()
        if doubled:
            raise DbtRuntimeError(
                f"{doubled} landing(s) in {tables.landed} have the number of another one, as an earlier version gave "
                "them when it loaded with several threads: rows are counted as those of another file. Nothing was "
                'loaded. How to heal that: docs/how-it-works.md, "A damaged warehouse".'
            )
        self.ids = count(last_id + 1)
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
            log.warning(f"Left alone: {path} is not a .csv or .csv.gz file in {place}.")
        self._forget_vanished(run_date, {file.path for file in files})
        news = self._new_or_restated(files)
        if not files and not self.refused and not self._known(self.tables.landed):
            log.warning(none_ever(self.zone.root, self.feed, run_date))
        elif not news:
            log.info(f"Nothing to do: none of the {len(files)} file(s) in {self.prefix} is new or restated.")
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
            getattr(log, level)(f"[{number}/{total}] {line}")

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
            return "warning", f"{file.path}: {received} records; ignored the extra column(s) {_names(extra)}"
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
        seen.problem, seen.record = _uneven_record(self._opener(file), zipped)
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
                raise DbtRuntimeError(f"{file.path} cannot be unpacked into {folder}: {reason}.") from error
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
            f"from read_csv({literal(_pattern(url))}, {CSV_OPTIONS}, strict_mode = {literal(not seen.mixed)}, "
            f"columns = {{{declared}}})"
        ).fetchone()[0]
        return received, landing_id


def _unreadable(error: OSError) -> Inspection:
    return Inspection(problem=f"it cannot be read: {error.strerror or error}")


def _pattern(url: str) -> str:
    """A URL as DuckDB's readers take it: they read *, ? and [ as wildcards, which a class of one is not."""
    return re.sub(r"[*?\[]", r"[\g<0>]", url)


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


def _is_locked(error: BaseException) -> bool:
    """Whether another process holds the file; DuckDB says so in its message alone."""
    return isinstance(error, duckdb.IOException) and "Could not set lock on file" in str(error)


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0].partition(". See also ")[0].rstrip(".!")


class Plugin(BasePlugin):
    """dbt-duckdb's way to hand work to Python: `adapter.store_relation('landing', ...)`."""

    # Ours, until dbt has opened the file for itself: nobody comes in between.
    first: duckdb.DuckDBPyConnection | None = None
    waited = False

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, object]) -> None:
        """Right before dbt connects: waits while another process holds the warehouse, and says so.

        dbt-duckdb would wait in silence, and once more after its last try.
        """
        for other in creds.attach or ():
            if other.type or "://" in other.path:
                continue
            if not Path(other.path).is_file():
                raise DbtRuntimeError(
                    f"There is no warehouse {other.path} to read from. WAREHOUSE_PATH must name production's."
                )
            if creds.path_derived_database_name(other.path).lower() == creds.database.lower():
                raise DbtRuntimeError(
                    f"The file {creds.path} must have another name than {other.path}, for DuckDB takes no two of one "
                    "name. CI_WAREHOUSE_PATH names it."
                )

        def wait(state: RetryCallState) -> None:
            holder, seconds = _reason(state.outcome.exception()), state.next_action.sleep
            left = f"the next try of {tries - state.attempt_number} is in {seconds:.0f} s"
            if state.attempt_number == 1:
                log.warning(f"Another process holds the warehouse {creds.path}; waiting for it: {left}. {holder}.")
            else:
                log.warning(f"Still waiting for the warehouse: {left}. {holder}.")

        # dbt asks a second time when it has failed, as it cleans up: by then, nothing is left to be waited for.
        tries = 1 if self.waited or not creds.retries else creds.retries.connect_attempts
        self.waited = True
        retrying = Retrying(
            retry=retry_if_exception(_is_locked),
            stop=stop_after_attempt(tries),
            wait=wait_exponential(),
            before_sleep=wait,
            reraise=True,
        )
        try:
            self.first = retrying(duckdb.connect, creds.path, config=config)
        except duckdb.Error as error:
            advice = (
                "End that process or let it finish, then run this again: one process at a time may have the file open."
                if _is_locked(error)
                else "WAREHOUSE_PATH must be a DuckDB file that may be written, or none yet, in a folder that is "
                "there, on a disk with space."
            )
            raise DbtRuntimeError(f"The warehouse {creds.path} cannot be opened: {_reason(error)}. {advice}") from error
        self.waited = False

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Right after dbt has connected."""
        self.connection = conn
        if self.first:
            self.first.close()
            self.first = None

    def store(self, target_config: TargetConfig) -> None:
        """Loads a feed. `config` holds its name as `feed`, `hourly`, its `optional` columns, `run_date` (ISO date or
        none), and the relations `landed` and `refused`."""
        options, root = target_config.config, target_config.location.path
        day = options["run_date"]
        cursor = self.connection.cursor()
        try:
            zone = zone_at(root, cursor)
            tables = Tables(
                raw=target_config.relation.render(),
                landed=options["landed"].render(),
                refused=options["refused"].render(),
            )
            columns = tuple(column.name for column in target_config.column_list)
            feed = Feed(options["feed"], columns, frozenset(options["optional"]), options["hourly"])
            Loader(cursor, zone, feed, tables).load(date.fromisoformat(day) if day else None)
        finally:
            cursor.close()
