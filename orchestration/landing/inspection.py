"""One pass over the bytes of a file: its hash, its columns, and whether it is well-formed."""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import BinaryIO

from orchestration.landing.listing import Feed
from orchestration.landing.records import uneven_record
from orchestration.landing.zones import BLOCK

# A first record longer than this is no header.
HEADER_LIMIT = 1 << 16


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


CHANGED = Inspection(problem="it changed while it was read; the next run reads it again")


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
        result.problem, result.record = uneven_record(open_file, zipped)
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
        result.problem, result.record = uneven_record(open_file, zipped, problem, at, shape.open)
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
        return columns, f"column {shown(repeated)} stands more than once in the header"
    if missing:
        instead = f" and has {shown(unknown)}, which the contract does not know" if unknown else ""
        return columns, f"the header lacks {shown(missing)}{instead}"
    return columns, None


def shown(names: Sequence[str]) -> str:
    return ", ".join(_shown(name[:80]) for name in islice(names, 20))


def _shown(name: str) -> str:
    """A name so that it is told from one that looks the same."""
    if not name:
        return "(no name)"
    if name != name.strip() or not name.isprintable():
        return ascii(name)
    return name if name.isascii() else f"{name} ({name!a})"
