"""What the warehouse says of sales after the runs, for a person."""

from collections import Counter

from rich import box
from rich.console import Console
from rich.table import Table

from orchestration.alerts.text import release_command
from orchestration.local.warehouses import Warehouse

RECEIVED = """
select
    ledger.source_file, ledger.received_rows, ledger.current_rows, ledger.superseded_rows, ledger.rejected_rows,
    ledger.held_rows, verdicts.verdict, verdicts.failed_checks
from prod.load_ledger as ledger
left join staging.file_verdicts as verdicts
    on verdicts.source_file = ledger.source_file and verdicts.content_hash = ledger.content_hash
order by ledger.source_file, ledger.held_rows
"""
REJECTED = "select source_file, reject_reasons, count(*) from staging.rejected_sales group by 1, 2 order by 1, 2"
HELD = "select source_file from staging.files_to_mend where state = 'held' order by source_file"
REFUSED = "select source_file, source_record, reason from staging.refused_files order by source_file"


def show_result(console: Console, warehouse: Warehouse) -> None:
    """Print, for each file, where its rows are, and why some of them are not in production."""
    table = Table(title="Where each row is now", title_justify="left", title_style="bold", box=box.SIMPLE)
    table.add_column("file")
    for column in ("received", "current", "superseded", "rejected", "held"):
        table.add_column(column, justify="right")
    table.add_column("checks")
    for file, *counts, verdict, failed in warehouse.query(RECEIVED):
        table.add_row(file, *(f"{count:,}" for count in counts), f"{verdict}: {failed}" if failed else verdict)
    for file, record, reason in warehouse.query(REFUSED):
        where = "" if record is None else f" (record {record})"
        table.add_row(file, *"-----", f"refused: {reason}{where}")
    console.print()
    console.print(table)
    for (file,) in warehouse.query(HELD):
        if command := release_command(file):
            console.print(f"If {file} is right as it is: {command}")

    show_reasons(console, warehouse.query(REJECTED))


def show_reasons(console: Console, rejected: list[tuple]) -> None:
    """Print how often each reason rejected a row, over all files."""
    if not rejected:
        return
    reasons: Counter = Counter()
    for _, joined, count in rejected:
        reasons.update({reason: count for reason in joined.split("; ")})
    files = len({file for file, _, _ in rejected})
    table = Table(
        title=f"Rejected: {sum(count for *_, count in rejected):,} rows of {files} file{'s' if files > 1 else ''}, in "
        "staging.rejected_sales",
        title_justify="left", title_style="bold", box=box.SIMPLE,
    )  # fmt: skip
    table.add_column("reason (a row may have several)")
    table.add_column("rows", justify="right")
    for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(reason, f"{count:,}")
    console.print(table)
