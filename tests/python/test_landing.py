"""What one pass over the bytes of a file tells."""

import contextlib
import gzip
import hashlib
import io
import os
import tracemalloc
from datetime import date
from pathlib import Path

import duckdb
import pytest
from dbt_common.exceptions import DbtRuntimeError

from orchestration import landing

pytestmark = pytest.mark.fast

WANTED = ["key", "name"]
SALES = landing.Feed("sales", WANTED)


def inspected(data: bytes, zipped: bool = False, wanted=WANTED) -> landing.Inspection:
    return landing.inspect(lambda: io.BytesIO(data), zipped, landing.Feed("sales", wanted))


@pytest.mark.parametrize(
    "data",
    [
        b"key,name\n",
        b"key,name",
        b"\xef\xbb\xbfkey,name\r\n1,a\r\n",
        b'"key","name"\n1,"two ""quoted"" words"\n',
        b"name,key,extra\na,1,x\n",
        b"key,name\n1,\n2,b\n3,",
        "key,name\n1,café\n".encode(),
    ],
)
def test_what_may_be_loaded(data):
    seen = inspected(data)
    assert (seen.problem, seen.record) == (None, None)
    assert seen.content_hash == hashlib.sha256(data).hexdigest()
    assert set(WANTED) <= set(seen.columns)


@pytest.mark.parametrize(
    ("data", "problem", "record"),
    [
        (b"", "0 bytes: not even a header", None),
        (b"key,name\n1,a\n2,\0\n", "a NUL byte", 3),
        (b"key,name\n1,caf\xe9\n2,b\n", "not UTF-8: byte 0xe9", 2),
        (b"key,name\n1,a\n2,caf\xc3", "not UTF-8: the last character is cut off", 3),
        (b'key,name\n1,a\n2,"b\n3,c\n', "an unclosed quote", 3),
        (b'key,name\n1,"a\nb"\n\n2,5" pipe\n3,c\n', "an unclosed quote", 3),
        (b"\nkey,name\n", "the first line is blank: a header is expected", 1),
        (b"key\n1\n", "the header lacks name", 1),
        # Names that look like the one that is lacking are told from it.
        (b"key,name\xe2\x80\x8b\n", "the header lacks name and has 'name\\u200b', which the contract does not know", 1),
        (b"key,name \n", "the header lacks name and has 'name ', which the contract does not know", 1),
        (b"key,\xc2\xa0name\n", "the header lacks name and has '\\xa0name', which the contract does not know", 1),
        (
            "key,n\u0430me\n".encode(),
            "the header lacks name and has n\u0430me ('n\\u0430me'), which the contract does not know",
            1,
        ),
        (b"key,nom\n1,a\n", "the header lacks name and has nom, which the contract does not know", 1),
        (b"key,name\n1,a\n\n2,b,\n", "3 fields, but the header has 2", 3),
        (b"key,name\r\n1,a,,\r\n", "4 fields, but the header has 2", 2),
        (b"key,name\n1,a,", "3 fields, but the header has 2", 2),
        (b"key,name,,\n", "column (no name) stands more than once in the header", 1),
        (b"key,name,KEY\n", "column KEY, key stands more than once in the header", 1),
    ],
)
def test_what_is_refused(data, problem, record):
    seen = inspected(data)
    assert (seen.problem, seen.record) == (problem, record)


def test_a_problem_is_found_in_any_block(monkeypatch):
    monkeypatch.setattr(landing, "BLOCK", 7)
    text = "key,name\n" + "".join(f"{number},é\n" for number in range(50))
    assert inspected(text.encode()).problem is None
    broken = text.encode() + b"50,\xff\n"
    assert (inspected(broken).problem, inspected(broken).record) == ("not UTF-8: byte 0xff", 52)
    assert inspected(text.encode() + b"50,\0\n").record == 52


def test_zipped():
    data = b"key,name\n1,a\n"
    members = gzip.compress(data) + gzip.compress(b"2,b\n")
    assert inspected(members, zipped=True).problem is None
    assert inspected(members, zipped=True).content_hash == hashlib.sha256(members).hexdigest()
    assert inspected(data, zipped=True).problem.startswith("broken gzip")
    assert inspected(gzip.compress(data * 1000)[:-9], zipped=True).problem.startswith("broken gzip")
    assert inspected(gzip.compress(b""), zipped=True).problem == "0 bytes: not even a header"
    assert inspected(gzip.compress(b'key,name\n1,"a\n'), zipped=True).record == 2


def test_what_is_listed(tmp_path):
    for name in (
        *("2024-01-05/b.csv", "2024-01-05/a.csv.gz", "2024-01-06/sales_export.csv"),
        *("2024-01-05/notes.txt", "2024-01-05/deeper/c.csv", "2024-02-30/d.csv", "tmp/e.csv", "2024-01-05/f.csv.tmp"),
    ):
        path = tmp_path / "raw/sales" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    zone = landing.FolderZone(str(tmp_path))
    files, others = landing.landed_files(zone, SALES, None)
    assert [file.path for file in files] == [
        "raw/sales/2024-01-05/a.csv.gz",
        "raw/sales/2024-01-05/b.csv",
        "raw/sales/2024-01-06/sales_export.csv",
    ]
    assert len(others) == 5
    files, others = landing.landed_files(zone, SALES, date(2024, 1, 6))
    assert ([file.path for file in files], others) == (["raw/sales/2024-01-06/sales_export.csv"], [])


def test_links_and_odd_names(tmp_path):
    day = tmp_path / "elsewhere" / "2024-01-05"
    day.mkdir(parents=True)
    (day / "a.csv").write_bytes(b"x")
    (day / "gone.csv").symlink_to(tmp_path / "nowhere")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/sales").symlink_to(tmp_path / "elsewhere")
    with contextlib.suppress(OSError):
        Path(os.fsdecode(bytes(day) + b"/\xff.csv")).write_bytes(b"x")
    files, others = landing.landed_files(landing.FolderZone(str(tmp_path)), SALES, None)
    assert [file.path for file in files] == ["raw/sales/2024-01-05/a.csv"]
    assert others in ([], ["raw/sales/2024-01-05/?.csv"])


def test_a_rewrite_that_keeps_size_and_time_is_seen(tmp_path):
    path = tmp_path / "raw/sales/2024-01-05/a.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    zone = landing.FolderZone(str(tmp_path))
    (file,), _ = landing.landed_files(zone, SALES, None)
    assert zone.unchanged(file)
    times = path.stat()
    path.with_suffix(".new").write_bytes(b"y")
    path.with_suffix(".new").replace(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not zone.unchanged(file)


def test_a_landing_root_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DbtRuntimeError, match="is not a folder"):
        landing.FolderZone(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("root", "files", "known", "run_date", "missing"),
    [
        ("", {"sales/2024-01-05/a.csv": "x"}, (), None, None),
        # A level too deep, into the feed, a level too high, a day in another form.
        ("raw", {"raw/sales/2024-01-05/a.csv": "x"}, (), None, "raw/raw/sales/<YYYY-MM-DD>/*.csv"),
        ("raw/sales", {"raw/sales/2024-01-05/a.csv": "x"}, (), None, "raw/sales/raw/sales/<YYYY-MM-DD>/*.csv"),
        ("", {"lake/raw/sales/2024-01-05/a.csv": "x"}, (), None, "/raw/sales/<YYYY-MM-DD>/*.csv"),
        ("", {"raw/sales/2024_01_05/a.csv": "x"}, (), None, "/raw/sales/<YYYY-MM-DD>/*.csv"),
        ("", {}, (), date(2024, 1, 5), "/raw/sales/2024-01-05/*.csv"),
        # There was one before.
        ("", {}, ("landed",), date(2024, 1, 6), None),
        ("", {}, ("refused",), None, None),
    ],
)
def test_nothing_found_where_nothing_ever_was_is_told(tmp_path, monkeypatch, root, files, known, run_date, missing):
    for path, data in files.items():
        file = tmp_path / (path if missing else f"raw/{path}")
        file.parent.mkdir(parents=True)
        file.write_text(data)
    said = []
    for level in ("info", "warning"):
        monkeypatch.setattr(landing.log, level, lambda text, level=level: said.append((level, text)))
    with duckdb.connect() as connection:
        for register in ("landed", "refused"):
            connection.execute(
                f"create table {register} as select 'raw/sales/2024-01-05/a.csv' as source_file, 'h' as content_hash, "
                f"'f' as fingerprint, 1 as landing_id where {register in known}"
            )
        zone = landing.FolderZone(str(tmp_path / root))
        loader = landing.Loader(connection, zone, SALES, landing.Tables("raw", "landed", "refused"))
        monkeypatch.setattr(loader, "_take", lambda *_: None)
        loader.load(run_date)
    told = [text for level, text in said if level == "warning" and "Nothing to do" in text]
    if missing:
        (text,) = told
        assert f"there is no {tmp_path}" in text
        assert f"{missing} or *.csv.gz, and no file of sales was ever found; if there should be, LANDING_ROOT" in text
    else:
        assert not told


@pytest.mark.parametrize("root", ["s3://lake/part", "s3://lake/part/"])
def test_a_bucket_that_is_looked_through_is_named_as_one_names_it(root):
    text = landing.none_ever(root, landing.Feed("orders", (), hourly=True), None)
    assert "there is no s3://lake/part/raw/orders/<YYYY-MM-DD>/<HH>/*.csv or *.csv.gz" in text


def test_names_with_wildcards_are_read_as_they_are():
    assert landing._pattern("a*b?[1].csv") == "a[*]b[?][[]1].csv"
    assert landing.literal("it's") == "'it''s'"
    assert landing.identifier('a"b') == '"a""b"'


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        (b"key,name\n", b"1,\0\n"),
        (b"key,name\n", b"1,\xff\n"),
        (b'key,name\n"1,a\n', b""),
        (b"key,name\n", b"1,a,\n"),
        (b"key,name\n1,", b',"\n'),
    ],
    ids=["NUL", "not UTF-8", "unclosed quote", "uneven", "unclosed quote at the end"],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_a_diagnosis_holds_no_file_in_memory(head, tail, zipped):
    data = head + (b"1," + b"x" * 1000 + b"\n") * 32_000 + tail
    data = gzip.compress(data, 1) if zipped else data
    tracemalloc.start()
    try:
        assert inspected(data, zipped).problem
        # A stream over bytes shares them.
        assert tracemalloc.get_traced_memory()[1] < len(head) + 16_000_000
    finally:
        tracemalloc.stop()


def test_a_record_beyond_the_limit_has_a_number():
    long = b"key,name\n1,a\n2," + b"x" * landing.RECORD_LIMIT
    for data in (long + b"\n", b'key,name\n1,a\n2,"' + b"x\n" * landing.RECORD_LIMIT + b'"\n'):
        problem, record = landing._uneven_record(lambda data=data: io.BytesIO(data), False)
        assert problem.startswith("the record is longer than 2,000,000 bytes")
        assert record == 3
