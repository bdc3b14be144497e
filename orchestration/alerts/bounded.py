"""What may hang is waited for, for seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any


def side_by_side(seconds: float, jobs: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """What each job returns, or the exception that it raises: TimeoutError if it takes longer than so many seconds.

    One that takes longer goes on, in a thread that its process does not wait for.
    """

    def run(name: str) -> None:
        try:
            ended[name] = jobs[name]()
        except Exception as error:
            ended[name] = error

    ended: dict[str, Any] = {}
    deadline = time.monotonic() + seconds
    threads = [threading.Thread(target=run, args=(name,), daemon=True) for name in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
    late = TimeoutError(f"no answer within {seconds:g} seconds")
    return {name: ended.get(name, late) for name in jobs}
