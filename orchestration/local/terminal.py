"""How the local commands talk, and how they end."""

import os
import signal
import sys
import traceback
from collections.abc import Callable

from rich.console import Console

from orchestration.local.errors import LocalError
from orchestration.local.services import STATE

STOP_SECONDS = 15


def console() -> Console:
    """Colours and the window's width on a terminal, plain wide text elsewhere."""
    sys.stdout.reconfigure(errors="replace")
    return Console(
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
        width=None if sys.stdout.isatty() else 160,
    )


def command(name: str, work: Callable[[], int]) -> int:
    """Run a command to its exit code: problems in one sentence, Ctrl-C and SIGTERM without a traceback."""
    received: list[int] = []

    def interrupted(number: int, _: object) -> None:
        received.append(number)
        if len(received) > 1:  # asked again, or not done in time: the supervisors end what is left
            os._exit(128 + received[0])
        signal.setitimer(signal.ITIMER_REAL, STOP_SECONDS)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, interrupted)
    try:
        return work()
    except KeyboardInterrupt:
        print(f"\n{name}: stopped; nothing is left running.", file=sys.stderr)
        return 128 + (received or [signal.SIGINT])[0]
    except LocalError as problem:
        print(f"\n{name}: {problem}", file=sys.stderr)
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
