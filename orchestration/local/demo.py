"""`python -m orchestration.local.demo [ROOT]` lands the demo: three good days of sales, the tables' first hour."""

import argparse
from pathlib import Path

from orchestration.local import demo_data, demo_tables
from orchestration.local.storage import write_whole


def write_demo(root: Path) -> list[Path]:
    """Lands the demo's files that are not there yet; returns the paths of all of them."""
    files = {f"raw/sales/{day}/sales_export.csv": demo_data.day_file(day) for day in demo_data.GOOD_DAYS}
    files |= demo_tables.first_hour()
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
