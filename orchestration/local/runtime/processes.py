"""Start processes that cannot outlive this one, and find ports for them."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestration.local.errors import LocalError

_SUPERVISOR = Path(__file__).with_name("supervisor.py")


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Supervised:
    """A command under a supervisor: it ends with `stop`, or with this process, however that ends."""

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-I", str(_SUPERVISOR), stop_signal.name, user or "", *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process that everything of the command descends from."""
        return self._supervisor.pid

    @property
    def running(self) -> bool:
        """Whether the command is still at work."""
        return self._supervisor.poll() is None

    def wait(self) -> int:
        """Wait for the command to end by itself; return its exit code."""
        return self._supervisor.wait()

    def check(self) -> None:
        """Raise if the command has ended."""
        if not self.running:
            raise LocalError(f"{self.name} has ended unexpectedly. Its log, {self.log}, ends with:\n{tail(self.log)}")

    def begin_stop(self) -> None:
        """Ask the command to end, without waiting."""
        if self._supervisor.stdin and not self._supervisor.stdin.closed:
            self._supervisor.stdin.close()

    def stop(self) -> None:
        """End the command and wait until it is gone."""
        self.begin_stop()
        self._supervisor.wait()


def stop_all(processes: Iterable[Supervised]) -> None:
    """End several commands at the same time."""
    processes = list(processes)
    for process in processes:
        process.begin_stop()
    for process in processes:
        process.stop()


def tail(path: Path, lines: int = 5) -> str:
    """The last lines of a log, for a message."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 8192))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
