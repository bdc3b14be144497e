"""The records of a file, one by one: which is the first that is malformed, and why.

All of a file is read by Python here, which takes long: only one of which something is known to be wrong.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

# DuckDB's own limit of a record, in bytes.
RECORD_LIMIT = 2_000_000

# A record, to the letter of RFC 4180; one line feed is a line end too. Everything that reads a file is held to it.
BOM = codecs.BOM_UTF8.decode("latin-1")
FIELD = r'(?:"(?:[^"]|"")*+"|[^",\r\n]*+)'
RECORD = re.compile(rf"{FIELD}(?:,{FIELD})*+(?:\r\n|\n)?")

csv.field_size_limit(RECORD_LIMIT)


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


def uneven_record(
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
