"""What one pass over the bytes of a file tells."""

import contextlib
import gzip
import hashlib
import io
import os
import tracemalloc
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from orchestration.landing import inspection
from orchestration.landing.inspection import Inspection, inspect
from orchestration.landing.listing import Feed, landed_files, none_ever
from orchestration.landing.load import Loader, Tables
from orchestration.landing.records import RECORD_LIMIT, uneven_record
from orchestration.landing.sql import identifier, literal, pattern
from orchestration.landing.zones import FolderZone, LandedFile, LandingError, S3Zone

pytestmark = pytest.mark.fast

WANTED = ["key", "name"]
SALES = Feed("sales", WANTED)


def inspected(data: bytes, zipped: bool = False, wanted=WANTED) -> Inspection:
    return inspect(lambda: io.BytesIO(data), zipped, Feed("sales", wanted))


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
    monkeypatch.setattr(inspection, "BLOCK", 7)
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
    zone = FolderZone(str(tmp_path))
    files, others = landed_files(zone, SALES, None)
    assert [file.path for file in files] == [
        "raw/sales/2024-01-05/a.csv.gz",
        "raw/sales/2024-01-05/b.csv",
        "raw/sales/2024-01-06/sales_export.csv",
    ]
    assert len(others) == 5
    files, others = landed_files(zone, SALES, date(2024, 1, 6))
    assert ([file.path for file in files], others) == (["raw/sales/2024-01-06/sales_export.csv"], [])


def test_links_and_odd_names(tmp_path):
    day = tmp_path / "elsewhere" / "2024-01-05"
    day.mkdir(parents=True)
    (day / "a.csv").write_bytes(b"x")
    (day / "gone.csv").symlink_to(tmp_path / "nowhere")
    (day / "circle.csv").symlink_to(day / "circle.csv")
    (day / "loop").symlink_to(tmp_path / "elsewhere")
    (day / "folder.csv").mkdir()
    (day / "folder.csv" / "a.csv").write_bytes(b"x")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/sales").symlink_to(tmp_path / "elsewhere")
    with contextlib.suppress(OSError):
        Path(os.fsdecode(bytes(day) + b"/\xff.csv")).write_bytes(b"x")
    files, others = landed_files(FolderZone(str(tmp_path)), SALES, None)
    # What is called like a file and cannot be read is listed, to be refused.
    names = ["a.csv", "circle.csv", "folder.csv", "gone.csv"]
    assert [file.path for file in files] == [f"raw/sales/2024-01-05/{name}" for name in names]
    assert [bool(file.fingerprint) for file in files] == [True, False, True, False]
    loop = "raw/sales/2024-01-05/loop/..."
    assert others in ([loop], ["raw/sales/2024-01-05/?.csv", loop])


REGIONS = {
    # What is set, and for which bucket: where DuckDB is to read, and how the bucket is named there.
    "a region": ({"AWS_DEFAULT_REGION": "eu-central-1"}, "lake", "s3.eu-central-1.amazonaws.com", "vhost", True),
    "the default": ({"AWS_DEFAULT_REGION": "us-east-1"}, "lake", "s3.amazonaws.com", "vhost", True),
    "China": ({"AWS_DEFAULT_REGION": "cn-north-1"}, "lake", "s3.cn-north-1.amazonaws.com.cn", "vhost", True),
    "GovCloud": ({"AWS_DEFAULT_REGION": "us-gov-west-1"}, "lake", "s3.us-gov-west-1.amazonaws.com", "vhost", True),
    "another partition": (
        {"AWS_DEFAULT_REGION": "us-iso-east-1"},
        "lake",
        "s3.us-iso-east-1.c2s.ic.gov",
        "vhost",
        True,
    ),
    "FIPS": (
        {"AWS_DEFAULT_REGION": "us-gov-west-1", "AWS_USE_FIPS_ENDPOINT": "true"},
        *("lake", "s3-fips.us-gov-west-1.amazonaws.com", "vhost", True),
    ),
    "dual stack": (
        {"AWS_DEFAULT_REGION": "cn-north-1", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
        *("lake", "s3.dualstack.cn-north-1.amazonaws.com.cn", "vhost", True),
    ),
    "a bucket with dots": ({"AWS_DEFAULT_REGION": "eu-west-1"}, "my.lake", "s3.eu-west-1.amazonaws.com", "path", True),
    "an endpoint": ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "lake", "127.0.0.1:9", "path", False),
    "an endpoint of S3 alone": ({"AWS_ENDPOINT_URL_S3": "https://s3.local"}, "lake", "s3.local", "path", True),
    "an endpoint in a network of AWS": (
        {"AWS_ENDPOINT_URL": "https://bucket.vpce-1.s3.us-east-1.vpce.amazonaws.com"},
        *("lake", "bucket.vpce-1.s3.us-east-1.vpce.amazonaws.com", "path", True),
    ),
    "path style": ({"AWS_CONFIG_FILE": "addressing_style = path"}, "lake", "s3.amazonaws.com", "path", True),
}


@pytest.mark.parametrize("name", REGIONS)
def test_duckdb_reads_where_boto3_lists(name: str, tmp_path, monkeypatch) -> None:
    variables, bucket, endpoint, style, encrypted = REGIONS[name]
    for variable in [variable for variable in os.environ if variable.startswith("AWS_")]:
        monkeypatch.delenv(variable)
    account = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    for variable, value in (account | variables).items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "config").write_text(f"[default]\ns3 =\n  {variables.get('AWS_CONFIG_FILE', 'max_queue_size = 1')}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with duckdb.connect() as connection:
        zone = S3Zone(f"s3://{bucket}/below", connection)
        [(secret,)] = connection.execute("select secret_string from duckdb_secrets()").fetchall()
    settings = dict(setting.split("=", 1) for setting in secret.split(";"))
    assert (settings["endpoint"], settings["url_style"], settings["use_ssl"]) == (
        endpoint,
        style,
        str(encrypted).lower(),
    )
    assert settings["region"] == (account | variables)["AWS_DEFAULT_REGION"]
    # What boto3 does ask: it is stopped before it does.
    asked = []

    def before_send(request, **_) -> None:
        asked.append(request.url)
        raise KeyError

    zone.client.meta.events.register("before-send.s3", before_send)
    with pytest.raises(KeyError):
        zone.unchanged(LandedFile("x.csv", f"s3://{bucket}/below/x.csv", date(2024, 1, 5), ""))
    host = f"{bucket}.{endpoint}" if style == "vhost" else f"{endpoint}/{bucket}"
    assert asked == [f"http{'s' if encrypted else ''}://{host}/below/x.csv"]


def test_a_rewrite_that_keeps_size_and_time_is_seen(tmp_path):
    path = tmp_path / "raw/sales/2024-01-05/a.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    zone = FolderZone(str(tmp_path))
    (file,), _ = landed_files(zone, SALES, None)
    assert zone.unchanged(file)
    times = path.stat()
    path.with_suffix(".new").write_bytes(b"y")
    path.with_suffix(".new").replace(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not zone.unchanged(file)


def test_a_landing_root_that_is_not_there_is_named(tmp_path):
    with pytest.raises(LandingError, match="is not a folder"):
        FolderZone(str(tmp_path / "nowhere"))


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
    levels = ("info", "warning")
    log = SimpleNamespace(**{level: lambda text, level=level: said.append((level, text)) for level in levels})
    with duckdb.connect() as connection:
        for register in ("landed", "refused"):
            connection.execute(
                f"create table {register} as select 'raw/sales/2024-01-05/a.csv' as source_file, 'h' as content_hash, "
                f"'f' as fingerprint, 1 as landing_id where {register in known}"
            )
        zone = FolderZone(str(tmp_path / root))
        loader = Loader(connection, zone, SALES, Tables("raw", "landed", "refused"), log)
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
    text = none_ever(root, Feed("orders", (), hourly=True), None)
    assert "there is no s3://lake/part/raw/orders/<YYYY-MM-DD>/<HH>/*.csv or *.csv.gz" in text


def test_names_with_wildcards_are_read_as_they_are():
    assert pattern("a*b?[1].csv") == "a[*]b[?][[]1].csv"
    assert literal("it's") == "'it''s'"
    assert identifier('a"b') == '"a""b"'


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
    long = b"key,name\n1,a\n2," + b"x" * RECORD_LIMIT
    for data in (long + b"\n", b'key,name\n1,a\n2,"' + b"x\n" * RECORD_LIMIT + b'"\n'):
        problem, record = uneven_record(lambda data=data: io.BytesIO(data), False)
        assert problem.startswith("the record is longer than 2,000,000 bytes")
        assert record == 3
