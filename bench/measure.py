"""Runs a command and tells what it cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
    with tempfile.NamedTemporaryFile() as output:
        # A process of its own starts it: to Linux the peak memory of a child is at least what its parent had.
        starter = [sys.executable, __file__, output.name, *command]
        told = subprocess.run(starter, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=True)
        code, cpu, memory = json.loads(told.stdout)
        if code:
            raise RuntimeError(f"{' '.join(command)} ended with {code}:\n{output.read().decode()[-3000:]}")
    # Linux counts in kB, macOS in bytes.
    return Cost(cpu, memory / (1 << 10 if sys.platform == "linux" else 1 << 20))


def main() -> None:
    """Runs a command, its output to a file, and prints how it ended, its CPU seconds and its peak memory."""
    output, *command = sys.argv[1:]
    with Path(output).open("wb") as file:
        child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
    print(json.dumps([os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))


if __name__ == "__main__":
    main()
