"""Run one command for exactly as long as its owner lives.

Started as a script of its own: `supervisor.py SIGNAL USER COMMAND...`. Its standard input is a pipe whose
other end only the owner holds. However the owner ends, a kill -9 included, the operating system closes that
end, and the supervisor ends the command and everything that it has started. Works wherever there are pipes.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import psutil

GRACE_SECONDS = 5


def _family(pid: int) -> list[psutil.Process]:
    """The process and all that descend from it, whatever groups they have moved to."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _kill(pid: int, family: list[psutil.Process]) -> None:
    """Kill what is left of the family and of the group that it started in."""
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    with suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
        os.killpg(pid, signal.SIGKILL)


def main(stop_signal: str, user: str, command: list[str]) -> int:
    """Run `command` until it ends or standard input does; return its exit code."""
    for harmless in (signal.SIGINT, signal.SIGHUP):  # ends with its owner, not with its owner's terminal
        signal.signal(harmless, signal.SIG_IGN)
    child = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, start_new_session=True, user=user or None, restore_signals=True
    )
    ended = threading.Event()
    family: list[psutil.Process] = []

    def stop_with_owner() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        family.extend(_family(child.pid))
        # SIGTERM means the same to all; what PostgreSQL takes SIGINT for is only its first process's to know.
        for process in family if stop_signal == "SIGTERM" else family[:1]:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.Signals[stop_signal])
        if not ended.wait(GRACE_SECONDS):
            _kill(child.pid, family + _family(child.pid))

    threading.Thread(target=stop_with_owner, daemon=True).start()
    code = child.wait()
    ended.set()
    _kill(child.pid, family)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
