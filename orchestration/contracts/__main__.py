"""`python -m orchestration.contracts`: prints the faults of the project in this folder."""

import sys
from pathlib import Path

from orchestration.contracts import faults


def main() -> int:
    """The command; 0 if no contract has a fault."""
    found = faults(Path.cwd())
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
