"""`make audit`: computes production anew from the raw tables, beside it, and compares row for row."""

from __future__ import annotations

import sys
from typing import Any

import duckdb
from dbt.cli.main import dbtRunner
from dbt_common.exceptions import DbtBaseException

from orchestration import report

# Snapshots are of their time.
COMPUTED = ["--select", "path:models", "--exclude", "config.materialized:load_files", "tag:churn"]
OPTIONS = ["--vars", "{audit: true}", "--target-path", ".local/audit"]


def audit() -> bool:
    """Rebuilds all that is computed, compares it with `prod` and drops the copy; whether production is right.

    The copy is built in full: one window over all versions of a sale, where the daily load compares what arrives
    with what is there. dbt prints what differs. A feed that was never loaded has nothing to compare and is passed over.
    """
    waiting = [report.tell_waiting]
    if not dbtRunner(callbacks=waiting).invoke(["--quiet", "run-operation", "audit_ready"]).success:
        return False
    parsed = dbtRunner().invoke(["--quiet", "parse", *OPTIONS])
    if not parsed.success:
        return False
    runner = dbtRunner(manifest=parsed.result, callbacks=waiting)

    def dbt(*command: str) -> bool:
        return runner.invoke([*command, *OPTIONS]).success

    try:
        absent = never_loaded(parsed.result)
    except (DbtBaseException, duckdb.Error) as error:
        print(f"The warehouse does not answer, so nothing was audited: {error}", file=sys.stderr)
        return False
    if absent:
        print(f"Never loaded, so that there is nothing to audit: {', '.join(absent)}.")
    print("Computing production anew from the raw tables ...", flush=True)
    try:
        return (
            dbt("--quiet", "run-operation", "audit_registers")
            and dbt("--quiet", "run", "--full-refresh", *COMPUTED, *(f"tag:{feed}+" for feed in absent))
            and dbt("run-operation", "audit_compare")
        )
    finally:
        dbt("--quiet", "run-operation", "audit_drop")


def never_loaded(manifest: Any) -> list[str]:
    """The feeds of which no file was ever taken and whose table was never made."""
    merged = {
        node.config.meta["loads"]: node.alias
        for node in manifest.nodes.values()
        if node.resource_type == "model" and node.config.materialized == "newest_version"
    }
    taken = report.ask(
        "select split_part(source_file, '/', 2) as feed from staging.landed_files "
        "union select split_part(source_file, '/', 2) from prod.load_ledger"
    )
    there = report.ask(
        "select table_name from information_schema.tables where lower(table_schema) in ('staging', 'prod')"
    )
    feeds, tables = {row["feed"] for row in taken}, {row["table_name"].lower() for row in there}
    return sorted(feed for feed, table in merged.items() if feed not in feeds and table not in tables)


if __name__ == "__main__":
    equal = audit()
    print("Production is what the raw tables say." if equal else "The audit failed: see above.")
    sys.exit(0 if equal else 1)
