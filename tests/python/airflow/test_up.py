"""`make up` ends with all that it has started, however it ends."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from support.warehouse import PROJECT

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("up")]

UNTIL_UP, UNTIL_GONE = 240, 60


@contextmanager
def up(log: Path):
    """A `make up` of this project once it serves; yields it and all that it has started."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestration.local.up"], cwd=PROJECT, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + UNTIL_UP
        while "Ctrl-C ends all of it." not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield process, psutil.Process(process.pid).children(recursive=True)
    finally:
        process.kill()
        process.wait()


def wait_until_gone(processes: list[psutil.Process]) -> None:
    """Fails unless all of some processes end."""
    _, left = psutil.wait_procs(processes, timeout=UNTIL_GONE)
    assert left == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 128 + signal.SIGINT), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_signal_ends_all_of_it(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with up(tmp_path / "log") as (process, family):
        process.send_signal(number)
        assert process.wait(UNTIL_GONE) in (0, code)
        wait_until_gone(family)
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_component_that_crashes_ends_all_of_it_with_a_sentence(tmp_path: Path) -> None:
    with up(tmp_path / "log") as (process, family):
        for one in family:
            with suppress(psutil.NoSuchProcess):
                if one.cmdline()[1:4] == ["-m", "airflow", "triggerer"]:
                    one.kill()
        assert process.wait(UNTIL_GONE) == 1
        wait_until_gone(family)
    said = (tmp_path / "log").read_text()
    assert "make up: Airflow's triggerer has ended unexpectedly." in said
    assert "Traceback (most recent call last)" not in said.partition("Its log, ")[0]


def test_a_kill_of_itself_leaves_nothing(tmp_path: Path) -> None:
    with up(tmp_path / "log") as (process, family):
        os.kill(process.pid, signal.SIGKILL)
        process.wait(UNTIL_GONE)
        wait_until_gone(family)
