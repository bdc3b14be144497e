"""The real sales: files of a shop's days, where they are there."""

import subprocess
import sys
from pathlib import Path

import pytest

from support.reference import COLUMNS, PROJECT

TOOL = PROJECT.parent / "shared" / "tools" / "online_retail_to_sales.py"
DATA = TOOL.parents[1] / "data" / "online-retail" / "by-day"
Files = dict[str, bytes]
NEEDED = pytest.mark.skipif(
    not (TOOL.exists() and DATA.is_dir()), reason=f"the real sales are not there: {DATA} and {TOOL}"
)


def real_days(out: Path) -> Files:
    """The files of sales that the tool makes of the real data."""
    subprocess.run([sys.executable, str(TOOL), str(out)], check=True, capture_output=True)
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.csv"))}


def restated(data: bytes) -> bytes:
    """A day that comes again: a line in ten is gone, another comes a minute later with another quantity."""
    lines = data.decode().splitlines()
    kept = [line for number, line in enumerate(lines) if number % 10 != 3]
    for place in range(7, len(kept), 10):
        row = dict(zip(COLUMNS, kept[place].split(","), strict=True))
        row |= {"quantity": str(int(row["quantity"]) + 1 or 1), "updated_at": row["updated_at"].replace(":00Z", ":59Z")}
        kept[place] = ",".join(row.values())
    return ("\r\n".join(kept) + "\r\n").encode()
