"""`make audit`: computes production anew from the raw tables, beside it, and compares row for row."""

from __future__ import annotations

import sys

from dbt.cli.main import dbtRunner

from orchestration import report

COMPUTED = ["--select", "path:models", "--exclude", "config.materialized:load_files"]
OPTIONS = ["--vars", "{audit: true}", "--target-path", ".local/audit"]


def audit() -> bool:
    """Rebuilds all that is computed, compares it with `prod` and drops the copy; whether production is right.

    The copy is built in full: one window over all versions of a sale, where the daily load compares what arrives
    with what is there. dbt prints what differs.
    """
    runner = dbtRunner(callbacks=[report.tell_waiting])

    def dbt(*command: str) -> bool:
        return runner.invoke([*command, *OPTIONS]).success

    if not runner.invoke(["--quiet", "run-operation", "audit_ready"]).success:
        return False
    print("Computing production anew from the raw tables ...", flush=True)
    try:
        return (
            dbt("--quiet", "run-operation", "audit_registers")
            and dbt("--quiet", "run", "--full-refresh", *COMPUTED)
            and dbt("run-operation", "audit_compare")
        )
    finally:
        dbt("--quiet", "run-operation", "audit_drop")


if __name__ == "__main__":
    equal = audit()
    print("Production is what the raw tables say." if equal else "The audit failed: see above.")
    sys.exit(0 if equal else 1)
