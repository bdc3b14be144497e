"""Lands the demo: three good days of sales, the tables' first hour. `make setup` runs it."""

import argparse
from pathlib import Path

from orchestration.local.demos import sales_files, table_files
from orchestration.local.stand_ins.s3 import write_whole


def write_demo(root: Path) -> list[Path]:
    """Lands the demo's files that are not there yet; returns the paths of all of them."""
    files = {sales_files.landing_key(day): sales_files.day_file(day) for day in sales_files.GOOD_DAYS}
    files |= table_files.first_hour()
    for path, content in files.items():
        # One that is there may have been restated since.
        if not (root / path).exists():
            write_whole(root / path, content)
    return [root / path for path in files]


def main() -> None:
    """Lands the demo files."""
    parser = argparse.ArgumentParser(description="Land the demo files.")
    parser.add_argument("root", nargs="?", type=Path, default=Path("demo/landing"), help="landing root [%(default)s]")
    for path in write_demo(parser.parse_args().root):
        print(path)


if __name__ == "__main__":
    main()
