"""`make release`: lets a file through that the gate holds, and records who did so, when and why."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from datetime import UTC, datetime

import yaml
from dbt.cli.main import dbtRunner

from orchestration import report


def release(file: str, reason: str, released_by: str) -> bool:
    """Releases the held content of a file; whether it was. Prints what came of it.

    The macro `release_file` does it.
    """
    said: list[str] = []
    problems: list[str] = []

    def listen(event) -> None:
        if event.info.name == "JinjaLogInfo":
            said.append(event.data.msg)
        elif event.info.level == "error":
            problems.append(event.info.msg)

    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    facts = {"file": file, "reason": reason, "released_by": released_by, "released_at": now.isoformat(" ")}
    done = dbtRunner(callbacks=[listen, report.tell_waiting]).invoke(
        ["--log-level", "none", "run-operation", "release_file", "--args", yaml.safe_dump(facts)]
    )
    if done.exception:
        problems.append(str(done.exception))
    print("\n".join(said or problems), file=sys.stdout if done.success else sys.stderr)
    return done.success


def main() -> int:
    """The command; 0 if the file is released."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("--file", default="", help="path of the file below the landing root")
    parser.add_argument("--reason", default="", help="why it is let through")
    parser.add_argument("--by", default="", help="who lets it through; by default the user of this machine")
    options = parser.parse_args()
    try:
        released_by = options.by.strip() or getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number that no user has
        parser.exit(
            1, f"Who lets it through? This machine has no name for the user {os.getuid()}. Write BY=your-name.\n"
        )
    return 0 if release(options.file, options.reason, released_by) else 1


if __name__ == "__main__":
    sys.exit(main())
