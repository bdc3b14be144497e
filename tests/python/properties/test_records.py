"""One definition of a record: what DuckDB takes, and refuses with which record's number, is what the reference says."""

import io
import logging
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from orchestration.landing import inspection
from orchestration.landing.inspection import inspect
from orchestration.landing.listing import Feed
from orchestration.landing.load import Loader, Tables
from orchestration.landing.zones import FolderZone
from support.records import CASES, HEAD, verdict

pytestmark = pytest.mark.fast

FEED = Feed("sales", ("key", "name"))
TABLES = Tables(raw="raw", landed="landed", refused="refused")
DAY = "raw/sales/2024-01-05"


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set threads = 2")
        rows = "source_file varchar, content_hash varchar, file_date date"
        connection.execute(
            f"create table raw (key varchar, name varchar, {rows}, source_record bigint, landing_id int)"
        )
        connection.execute(
            f"create table landed ({rows}, fingerprint varchar, landing_id int, is_typed bool, received int, "
            "extra_columns varchar)"
        )
        connection.execute(f"create table refused ({rows}, fingerprint varchar, source_record bigint, reason varchar)")
        yield connection


def fates(
    database: duckdb.DuckDBPyConnection, root: Path, texts: Mapping[str, str | bytes], ending: str = ".csv"
) -> dict[str, tuple]:
    """What comes of files, in one load: their rows, or the record that is wrong."""
    for table in ("raw", "landed", "refused"):
        database.execute(f"delete from {table}")
    folder = root / DAY
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}{ending}").write_bytes(text.encode() if isinstance(text, str) else text)
    Loader(database.cursor(), FolderZone(str(root)), FEED, TABLES, logging.getLogger("landing")).load(None)
    rows = database.execute(
        "select source_file, list([coalesce(key, ''), coalesce(name, '')] order by source_record) from raw group by 1"
    ).fetchall()
    found = {path: (rows, None) for path, rows in rows}
    empty = database.execute("select source_file from landed where received = 0").fetchall()
    found |= {path: ([], None) for (path,) in empty}
    found |= {
        path: (None, record)
        for path, record in database.execute("select source_file, source_record from refused").fetchall()
    }
    for name in texts:
        (folder / f"{name}{ending}").unlink()
    return {name: found[f"{DAY}/{name}{ending}"] for name in texts}


def test_each_case_is_what_it_is_said_to_be(database, tmp_path) -> None:
    found = fates(database, tmp_path, {f"{place}": text for place, (text, _) in enumerate(CASES.values())})
    for place, (name, (text, record)) in enumerate(CASES.items()):
        assert verdict(text)[1] == record, name
        assert found[f"{place}"] == verdict(text), name


NASTY = st.text(st.sampled_from('"",,  \r\n\n\na\ufeff'), max_size=12).map(
    lambda text: text.replace("a", "ab").replace("\n\n", "\r\n")
)
TEXTS = st.one_of(
    NASTY.map(lambda text: HEAD + text),
    NASTY.map(lambda text: HEAD + '1,"a, b"\n' + text + "\n2,c\n"),
    NASTY.map(lambda text: "key,name\r\n1,a\r\n" + text + "\r\n2,c\r\n"),
    st.lists(
        st.sampled_from(["1,a\n", '1,"a"\n', '"1",""\n', '2,"a\nb"\r\n', "\n", "1,a,\n", '1,a,""\n', '1, "a"\n'])
    ).map(lambda lines: HEAD + "".join(lines)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(TEXTS, min_size=20, max_size=60))
def test_what_is_taken_is_what_the_reference_says(database, tmp_path, texts: list[str]) -> None:
    found = fates(database, tmp_path, {f"{place:03}": text for place, text in enumerate(texts)})
    assert list(found.values()) == [verdict(text) for text in texts]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS, size=st.integers(3, 40))
@example(text=HEAD + '1,"a', size=3)
def test_where_a_block_ends_makes_no_difference(monkeypatch, text: str, size: int) -> None:
    monkeypatch.setattr(inspection, "BLOCK", size)
    seen = inspect(lambda: io.BytesIO(text.encode()), False, FEED)
    monkeypatch.undo()
    whole = inspect(lambda: io.BytesIO(text.encode()), False, FEED)
    assert (seen.problem, seen.record) == (whole.problem, whole.record)
    rows, _ = verdict(text)
    assert rows is None or (seen.problem, seen.records) == (None, len(rows) + 1)


def test_what_is_wrong_is_said(database, tmp_path) -> None:
    said = {
        "1,a\r2,b\n": "a carriage return without a line feed, outside of quotes",
        '1, "b"\n': "a quote inside a field that is not quoted as a whole, from its first character to its last",
        '1,"b" \n': "a quote inside a field that is not quoted as a whole, from its first character to its last",
        '1,5" pipe\n': "an unclosed quote",
        '1,a,""\n': "3 fields, but the header has 2",
    }
    for text, reason in said.items():
        assert inspect(lambda text=text: io.BytesIO((HEAD + text).encode()), False, FEED).problem == reason


@pytest.mark.parametrize("name", ['"no\nte"', '"no\r\nte"'])
def test_a_line_break_in_the_name_of_a_column(name: str) -> None:
    """Snowflake skips the header as a line."""
    seen = inspect(lambda: io.BytesIO(f"key,name,{name}\n1,a,b\n".encode()), False, FEED)
    assert (seen.problem, seen.record) == ("a line break in the name of a column", 1)


def member(data: bytes, extra: bytes = b"", name: bytes = b"", comment: bytes = b"", flags: int = 0) -> bytes:
    """A member of a gzip file (RFC 1952) whose header has what `gzip` itself does not write."""
    flags |= (4 if extra else 0) | (8 if name else 0) | (16 if comment else 0)
    head = b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\x03"
    head += struct.pack("<H", len(extra)) + extra if extra else b""
    head += name + b"\0" if name else b""
    head += comment + b"\0" if comment else b""
    head += struct.pack("<H", zlib.crc32(head) & 0xFFFF) if flags & 2 else b""
    return head + zlib.compress(data, wbits=-15) + struct.pack("<II", zlib.crc32(data), len(data))


GOOD = (HEAD + "1,a\n2,b\n").encode()
BGZF = b"BC\x02\0\x10\0"
ZIPPED = {
    "as gzip writes it": member(GOOD),
    "a name": member(GOOD, name=b"a.csv"),
    "a comment": member(GOOD, comment=b"made by a tool"),
    "a checksum of the header": member(GOOD, flags=2),
    "a field of a tool": member(GOOD, extra=b"AB\x02\0zz"),
    "said to be text": member(GOOD, flags=1),
    "all of it": member(GOOD, extra=b"AB\x02\0zz", name=b"n", comment=b"c", flags=3),
    "two members": member(GOOD[:11]) + member(GOOD[11:]),
    "two members, a comment in the second": member(GOOD[:11]) + member(GOOD[11:], comment=b"c"),
    "a member that is empty": member(b"") + member(GOOD) + member(b""),
    "blocks": b"".join(member(GOOD[at : at + 5], extra=BGZF) for at in range(0, len(GOOD), 5))
    + member(b"", extra=BGZF),
    "zeros at the end, as of a tape": member(GOOD) + b"\0" * 500,
}
BROKEN = {
    "cut off": member(GOOD)[:-1],
    "another checksum": member(GOOD)[:-8] + b"\0\0\0\0" + member(GOOD)[-4:],
    "another length": member(GOOD)[:-4] + b"\1\0\0\0",
    "something else at the end": member(GOOD) + b"something",
    "a comment, and cut off": member(GOOD, comment=b"c")[:-3],
}


def test_zipped_as_gzip_takes_it(database, tmp_path) -> None:
    """What `gzip -t` calls whole is taken, however it was written; what it does not is refused."""
    texts = {f"good {place}": data for place, data in enumerate(ZIPPED.values())}
    texts |= {f"broken {place}": data for place, data in enumerate(BROKEN.values())}
    texts["uneven"] = member(GOOD + b"3\n", comment=b"c")
    found = fates(database, tmp_path, texts, ".csv.gz")
    for place, name in enumerate(ZIPPED):
        assert found[f"good {place}"] == ([["1", "a"], ["2", "b"]], None), name
    reasons = dict(database.execute("select source_file, reason from refused").fetchall())
    for place, name in enumerate(BROKEN):
        assert found[f"broken {place}"] == (None, None), name
        assert reasons[f"{DAY}/broken {place}.csv.gz"].startswith("broken gzip: "), name
    assert found["uneven"] == (None, 4)
