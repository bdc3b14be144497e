"""How the local commands talk, and how they end."""

import signal
import sys
import traceback
from collections.abc import Callable

from rich.console import Console

from orchestration.local.errors import LocalError
from orchestration.local.services import STATE


def console() -> Console:
    """Colours and the window's width on a terminal, plain wide text elsewhere."""
    return Console(
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
        width=None if sys.stdout.isatty() else 160,
    )


def command(name: str, work: Callable[[], int]) -> int:
    """Run a command to its exit code: problems in one sentence, Ctrl-C and SIGTERM without a traceback."""

    def terminated(*_: object) -> None:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, terminated)
    try:
        return work()
    except KeyboardInterrupt:
        print(f"\n{name}: stopped; nothing is left running.", file=sys.stderr)
        return 130
    except LocalError as problem:
        print(f"\n{name}: {problem}", file=sys.stderr)
        return 1
    except Exception as problem:
        details = STATE / "logs" / "error.log"
        details.parent.mkdir(parents=True, exist_ok=True)
        details.write_text(traceback.format_exc())
        print(
            f"\n{name}: stopped by an unexpected {type(problem).__name__} ({problem}); run it again, and if it comes "
            f"back, `make clean` first. The details are in {details}.",
            file=sys.stderr,
        )
        return 1
