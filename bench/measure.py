"""Runs a command and tells what it cost."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """CPU seconds, user and system, and peak memory in MB."""

    cpu: float
    memory: float

    @staticmethod
    def best(costs: Sequence[Cost]) -> Cost:
        """The least of several runs: what a busy machine adds is not the command's."""
        return Cost(min(cost.cpu for cost in costs), min(cost.memory for cost in costs))


def run(command: Sequence[str], env: Mapping[str, str], cwd: Path) -> Cost:
    """Runs a command to its end; raises RuntimeError with what it printed if it fails."""
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, cwd=cwd, env={**os.environ, **env}, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(command)} ended with {child.returncode}:\n{output.read().decode()[-3000:]}")
    # Linux counts in kB, macOS in bytes.
    unit = 1 << 10 if os.uname().sysname == "Linux" else 1 << 20
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)
