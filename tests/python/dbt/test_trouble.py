"""Trouble around a load: files that change, a storage or a warehouse that fails.

The run ends red, says in plain words what is wrong and what to do, takes nothing in part, and the next run mends it.
"""

import gc
import hashlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import unquote

import duckdb
import pytest

from orchestration import settings
from orchestration.landing.load import Loader
from orchestration.landing.plugin import Plugin
from orchestration.landing.zones import FolderZone, S3Zone
from orchestration.local.stand_ins.s3 import storage
from support.lake import BUCKET, Lake, Proxy, cut, hang, is_object, of_duckdb, proxy, send
from support.reference import Reference
from support.sales_files import content, file, good, path_of, row
from support.warehouse import DATABASE, Built, Project, Warehouse, compare

pytestmark = pytest.mark.xdist_group("trouble")

DAY = date(2024, 1, 1)
PATH = path_of(DAY)
# The user id that Linux gives to nobody.
NOBODY = 65534
CHANGED = "it changed while it was read; the next run reads it again"


@pytest.fixture
def warehouse(project: Project, tmp_path: Path) -> Warehouse:
    return Warehouse(project, tmp_path / "warehouse")


@pytest.fixture(scope="module")
def s3(tmp_path_factory) -> Iterator[tuple]:
    with storage(BUCKET, tmp_path_factory.mktemp("mirror")) as store, proxy(store.endpoint) as between:
        yield store, between


@pytest.fixture
def lake(project: Project, tmp_path: Path, s3, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Lake, Proxy]]:
    monkeypatch.setattr(settings, "S3_SECONDS", 1)
    store, between = s3
    one = Lake(project, tmp_path / "warehouse", storage=store, endpoint=between.address)
    yield one, between
    one.land({})
    between.misbehave = lambda *_: False


def mended(warehouse: Warehouse, expected: Reference) -> None:
    """The next run has all of what landed."""
    expected.load(warehouse.landed)
    compare(expected, warehouse, warehouse.build())


def hooked(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, before: Callable[[], None]) -> None:
    """Has something happen right before the first call of a method."""
    method, calls = getattr(owner, name), []

    def call(*arguments, **options):
        if not calls:
            calls.append(1)
            before()
        return method(*arguments, **options)

    monkeypatch.setattr(owner, name, call)


def test_what_a_killed_full_refresh_has_left_untyped_comes_back(warehouse: Warehouse) -> None:
    """On Snowflake a table is made anew and its landings wait to be typed before all of them are, in a transaction."""
    expected, later = Reference(), DAY + timedelta(days=1)
    changed = row(f"bad-{DAY}-0", later, quantity="7")
    warehouse.land({PATH: file(DAY), path_of(later): file(later, changed)})
    mended(warehouse, expected)
    with duckdb.connect(warehouse.folder / DATABASE) as connection:
        connection.execute("delete from staging.typed_sales where landing_id = 1")
        connection.execute("update staging.landed_files set is_typed = false where landing_id = 1")
    warehouse.land({PATH: file(DAY), path_of(later): file(later)})
    expected.load(warehouse.landed)
    compare(expected, warehouse, warehouse.build(run_date=later))


@pytest.mark.parametrize(
    ("zone", "moment"),
    [
        ("folder", "open"),
        ("bucket", "unchanged"),
        pytest.param("folder", "unchanged", marks=pytest.mark.long),
        pytest.param("bucket", "open", marks=pytest.mark.long),
    ],
)
def test_a_file_that_changes_while_it_is_read_is_read_again(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, zone: str, moment: str
) -> None:
    """Before its first byte is read, or after its last."""
    warehouse = request.getfixturevalue("warehouse") if zone == "folder" else request.getfixturevalue("lake")[0]
    kind = FolderZone if zone == "folder" else S3Zone
    whole = content(*good(DAY, 40))
    beside = path_of(DAY, "beside.csv")
    warehouse.land({PATH: whole[: len(whole) // 2], beside: content(*good(DAY, prefix="beside"))})
    hooked(monkeypatch, kind, moment, lambda: warehouse.land({PATH: whole, beside: warehouse.landed[beside]}))
    # The first file that is asked for is the one beside: it comes first by its name.
    built = warehouse.build()
    assert built.red
    assert warehouse.query("select source_file, reason from staging.files_to_mend") == [(PATH, CHANGED)]
    assert any(f"REFUSED {PATH}: {CHANGED}" in warning for warning in built.warnings)
    assert warehouse.query("select source_file from prod.load_ledger") == [(beside,)]
    mended(warehouse, Reference())


def test_a_file_that_goes_while_it_is_read(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = path_of(DAY, "beside.csv")
    files = {beside: content(*good(DAY, prefix="beside"))}
    warehouse.land(files | {PATH: content(*good(DAY))})
    hooked(monkeypatch, Loader, "_insert", lambda: warehouse.land(files))
    assert warehouse.build().red
    assert warehouse.query("select source_file, reason from staging.files_to_mend") == [(PATH, CHANGED)]
    mended(warehouse, Reference())


def denied(handler, *_) -> bool:
    body = b"<Error><Code>InvalidAccessKeyId</Code><Message>The key does not exist in our records.</Message></Error>"
    send(handler, 403, {"Content-Type": "application/xml", "Content-Length": str(len(body))}, body)
    return True


def overloaded(handler, *_) -> bool:
    if is_object(handler):
        send(handler, 503, {"Content-Length": "0"}, b"")
    return is_object(handler)


# A listing, then either reader: DuckDB asks for the size of a file, the file, and whether it is still the same.
MOST_REQUESTS = 1 + 3 * settings.S3_ATTEMPTS
AGAIN = "Once S3 answers, run this again: no file was taken in part."


@pytest.mark.parametrize(
    ("misbehave", "says"),
    [
        (cut, ("total bytes expected", AGAIN)),
        pytest.param(of_duckdb(cut), ("partial file", AGAIN), marks=pytest.mark.long),
        (hang, ("Read timeout", AGAIN)),
        pytest.param(
            denied, ("The key does not exist in our records", "the connection aws_default"), marks=pytest.mark.long
        ),
        (of_duckdb(denied), ("403 Forbidden", "the connection aws_default")),
        pytest.param(of_duckdb(hang), ("Timeout was reached", AGAIN), marks=pytest.mark.long),
        pytest.param(overloaded, ("503", AGAIN), marks=pytest.mark.long),
        pytest.param(of_duckdb(overloaded), ("503", AGAIN), marks=pytest.mark.long),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_s3_that_fails_in_the_middle(lake, misbehave: Callable[..., bool], says: tuple[str, str]) -> None:
    """Whichever of the two readers it fails, the run ends after few requests, and the next mends it."""
    warehouse, between = lake
    files = {PATH: content(*good(DAY, 3000))}
    warehouse.land(files)
    between.misbehave = misbehave
    between.requests.clear()
    built = warehouse.build_until("raw_sales")
    assert len(between.requests) <= MOST_REQUESTS, between.requests
    message = built.broken["raw_sales"]
    assert "S3 did not give " in message
    assert "raw/sales/" in message
    assert BUCKET in message
    assert all(part in message for part in says), message
    gc.collect()  # the error holds on to what read the file
    assert warehouse.query(
        "select count(*) from staging.raw_sales union all from (select count(*) from staging.refused_files)"
    ) == [(0,), (0,)]
    between.misbehave = lambda *_: False
    assert not warehouse.build_until("raw_sales").broken
    assert warehouse.query("select count(*) from staging.raw_sales") == [(3000,)]


def answers(status: int, code: str) -> Callable[..., bool]:
    """A file is refused with this status and code; how it is is told only to who asks with a body."""

    def answer(handler, *_) -> bool:
        body = f"<Error><Code>{code}</Code><Message>What it says.</Message></Error>".encode()
        send(handler, status, {"Content-Type": "application/xml", "Content-Length": str(len(body))}, body)
        return True

    return answer


# What S3 answers, by the file, and what is said of it.
REFUSES = {
    "AccessDenied": (answers(403, "AccessDenied"), "S3 answers 403 AccessDenied: What it says"),
    "NoSuchKey": (answers(404, "NoSuchKey"), "it has gone since it was listed"),
    "later": (of_duckdb(answers(403, "AccessDenied")), "S3 answers 403 to DuckDB"),
} | {
    code: (answers(status, code), f"S3 answers {status} {code}: What it says")
    for code, status in {
        "InvalidObjectState": 403,
        "InvalidRequest": 400,
        "KMS.DisabledException": 400,
        "MethodNotAllowed": 405,
        "PreconditionFailed": 412,
        "InvalidRange": 416,
        "Unknown": 451,
    }.items()
}


def test_objects_that_s3_refuses(lake) -> None:
    """The others go on, before them and behind them, and the next run reads them again."""
    warehouse, between = lake
    beside = {path_of(DAY, f"{name}.csv"): content(*good(DAY, prefix=name)) for name in ("A first", "the last")}
    refused = {path_of(DAY, f"m {name}.csv"): content(*good(DAY, prefix=name)) for name in REFUSES}
    warehouse.land(beside | refused)

    def refuse(handler, *answer) -> bool:
        name = unquote(handler.path).partition("?")[0].rpartition("/m ")[2].removesuffix(".csv")
        return name in REFUSES and REFUSES[name][0](handler, *answer)

    between.misbehave = refuse
    for _ in range(2):
        assert warehouse.build().red
        gc.collect()  # the error holds on to what read the file
        assert dict(warehouse.query("select source_file, reason from staging.files_to_mend")) == {
            path_of(DAY, f"m {name}.csv"): f"it cannot be read: {says}" for name, (_, says) in REFUSES.items()
        }
        assert warehouse.query("select source_file from prod.load_ledger order by 1") == [(one,) for one in beside]
    between.misbehave = lambda *_: False
    mended(warehouse, Reference())


def test_what_in_a_folder_cannot_be_read(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that leads nowhere or in a circle, a folder and a pipe that are called like files, a file that may not be
    read: a permission that is given leaves the listing as it was."""
    beside, secret = path_of(DAY, "the last.csv"), path_of(DAY, "secret.csv")
    warehouse.land({beside: content(*good(DAY)), secret: content(*good(DAY, prefix="secret"))})
    opened = FolderZone.open

    def denied(zone: FolderZone, file, *options):
        if "secret" in str(file):
            raise PermissionError(13, "Permission denied")
        return opened(zone, file, *options)

    monkeypatch.setattr(FolderZone, "open", denied)
    folder = warehouse.root / path_of(DAY, "")
    (folder / "circle.csv").symlink_to(folder / "circle.csv")
    (folder / "folder.csv").mkdir()
    (folder / "nowhere.csv").symlink_to(warehouse.folder / "nowhere")
    (folder / "round.csv").symlink_to(folder)
    os.mkfifo(folder / "pipe.csv")
    reasons = {
        "circle.csv": "Too many levels of symbolic links",
        "folder.csv": "it is no regular file",
        "nowhere.csv": "No such file or directory",
        "pipe.csv": "it is no regular file",
        "round.csv": "it is no regular file",
        "secret.csv": "Permission denied",
    }
    for _ in range(2):
        assert warehouse.build().red
        assert warehouse.query("select source_file, reason from staging.files_to_mend order by 1") == [
            (path_of(DAY, name), f"it cannot be read: {reason}") for name, reason in reasons.items()
        ]
        assert warehouse.query("select source_file from prod.load_ledger") == [(beside,)]
    monkeypatch.setattr(FolderZone, "open", opened)
    (warehouse.folder / "nowhere").write_bytes(content(*good(DAY, prefix="nowhere")))
    for name in ("circle.csv", "pipe.csv", "round.csv"):
        (folder / name).unlink()
    (folder / "folder.csv").rmdir()
    assert not warehouse.build().red
    assert warehouse.query("select count(*) from prod.load_ledger") == [(3,)]


def test_s3_that_is_not_there(lake) -> None:
    warehouse, _ = lake
    warehouse.bucket = "nowhere"
    message = warehouse.build_until("raw_sales").broken["raw_sales"]
    assert "s3://nowhere" in message
    assert "Set LANDING_ROOT, in Airflow PIPELINES_BUCKET, to a bucket that is there." in message
    warehouse.bucket, warehouse.endpoint = BUCKET, "http://127.0.0.1:9"
    message = warehouse.build_until("raw_sales").broken["raw_sales"]
    assert "Could not connect" in message
    assert AGAIN in message


def damaged(path: Path) -> None:
    path.write_text("this is not a warehouse, but a text that stands in its place\n" * 100)


def without_folder(path: Path) -> None:
    path.parent.rmdir()


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (damaged, "not a valid DuckDB"),
        (without_folder, "No such file or directory"),
        (a_folder, "directory"),
    ],
)
def test_a_warehouse_that_cannot_be_opened(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], says: str
) -> None:
    """At once, and not after the minutes that a warehouse in use is waited for."""
    monkeypatch.setattr(Warehouse, "root", warehouse.folder.parent / "landing")
    (warehouse.folder / "landing").rename(warehouse.root)
    make(warehouse.folder / DATABASE)
    cannot_be_opened(warehouse, says)


def cannot_be_opened(warehouse: Warehouse, says: str) -> None:
    begun = time.monotonic()
    [message] = warehouse.build().broken.values()
    assert time.monotonic() - begun < 15
    assert str(warehouse.folder / DATABASE) in message
    assert says in message
    assert "WAREHOUSE_PATH must be a DuckDB file that may be written" in message
    assert "Traceback" not in message


def test_a_warehouse_that_is_read_only(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Root may write what is read-only, so it opens the file as somebody else."""
    path, connect = warehouse.folder / DATABASE, duckdb.connect
    connect(path).close()
    path.chmod(0o444)
    for folder in (warehouse.folder, tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)

    def as_nobody(*arguments, **options):
        user = os.geteuid()
        os.seteuid(NOBODY if user == 0 else user)
        try:
            return connect(*arguments, **options)
        finally:
            os.seteuid(user)

    monkeypatch.setattr(duckdb, "connect", as_nobody)
    cannot_be_opened(warehouse, "Permission denied")


@contextmanager
def held(warehouse: Warehouse, seconds: float) -> Iterator[int]:
    """Another process has the warehouse open for so long, or until it is no longer asked for; yields its number."""
    hold = "import duckdb, sys, time; held = duckdb.connect(sys.argv[1]); print(flush=True); time.sleep({})"
    command = [sys.executable, "-c", hold.format(seconds), str(warehouse.folder / DATABASE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        try:
            yield other.pid
        finally:
            if seconds > 60:
                other.kill()


def test_a_warehouse_in_use_is_waited_for(warehouse: Warehouse) -> None:
    """The file and the process that holds it are named, again with each try; long enough for two, on a busy machine."""
    warehouse.land({PATH: content(*good(DAY))})
    assert warehouse.project.manifest
    with held(warehouse, 8) as other:
        built = warehouse.build()
    expected = Reference()
    expected.load(warehouse.landed)
    compare(expected, warehouse, built)
    [warning] = [warning for warning in built.warnings if "Another process holds the warehouse" in warning]
    assert str(warehouse.folder / DATABASE) in warning
    assert f"PID {other}" in warning
    assert "the next try of 7 is in 1 s" in warning
    assert any("Still waiting for the warehouse: the next try of 6 is in 2 s" in warning for warning in built.warnings)


def test_nothing_is_waited_for_after_the_last_try(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is told is who holds the warehouse at that try, and not before; and the next run waits anew."""
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    for _ in range(2):
        with held(warehouse, 1000) as other:
            [message] = warehouse.build().broken.values()
        assert slept == [1, 2, 4, 8, 16, 32, 64]
        assert f"The warehouse {warehouse.folder / DATABASE} cannot be opened: " in message
        assert f"(PID {other}). End that process or let it finish" in message
        assert "See also" not in message and "Traceback" not in message
        slept.clear()


def test_a_warehouse_that_changes_hands_while_it_is_waited_for(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has let it go is not blamed."""
    holders = []
    with ExitStack() as stack:

        def sleep(_: float) -> None:
            stack.close()
            holders.append(stack.enter_context(held(warehouse, 1000)))

        sleep(0)
        monkeypatch.setattr(time, "sleep", sleep)
        built = warehouse.build()
    [message] = built.broken.values()
    assert len(holders) == 8
    assert f"PID {holders[-1]})" in message
    told = [warning for warning in built.warnings if "waiting for" in warning]
    assert [f"PID {one})" in warning for one, warning in zip(holders[:-1], told, strict=True)] == [True] * 7


def test_nobody_takes_a_warehouse_between_the_wait_and_dbt(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process tries to, right after the file was free."""
    update = Plugin.update_connection_config
    taken = []

    def and_then(self, creds, config) -> None:
        update(self, creds, config)
        take = [sys.executable, "-c", "import duckdb, sys; duckdb.connect(sys.argv[1])", creds.path]
        taken.append(subprocess.run(take, capture_output=True, text=True).stderr)

    monkeypatch.setattr(Plugin, "update_connection_config", and_then)
    warehouse.land({PATH: content(*good(DAY))})
    mended(warehouse, Reference())
    assert taken and all(f"(PID {os.getpid()})" in text for text in taken)


@pytest.mark.parametrize("room", [*(pytest.param(n, marks=pytest.mark.long) for n in (50_000, 2_500_000)), 800_000])
def test_a_full_disk_leaves_production_as_it_was(warehouse: Warehouse, room: int) -> None:
    """A limit on the size of files stands in for a disk that is full."""
    expected = Reference()
    warehouse.land({PATH: content(*good(DAY, 100))})
    mended(warehouse, expected)
    before = warehouse.tables()
    many = [one | {"customer_id": hashlib.sha256(one["sale_id"].encode()).hexdigest()} for one in good(DAY, 20_000)]
    warehouse.land({PATH: content(*many)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = (warehouse.folder / DATABASE).stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, limits[1]))
    try:
        built = warehouse.build()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    gc.collect()
    assert built.broken
    assert any("File too large" in message for message in built.broken.values()), built.broken
    assert warehouse.tables()["prod.daily_sales"] == before["prod.daily_sales"]
    mended(warehouse, Reference())


def many_files(warehouse: Warehouse, number: int) -> Built:
    files = {path_of(DAY, f"{place:06}.csv"): content(*good(DAY, 1, f"{place}")) for place in range(number)}
    warehouse.land(files)
    built = warehouse.build()
    expected = Reference()
    expected.load(files)
    compare(expected, warehouse, built)
    return built


def test_many_tiny_files_in_one_load(warehouse: Warehouse) -> None:
    built = many_files(warehouse, 450)
    assert sum("[450/450]" in message for message in built.messages) == 1


@pytest.mark.long
def test_a_hundred_thousand_tiny_files_in_one_load(warehouse: Warehouse) -> None:
    many_files(warehouse, 100_000)
