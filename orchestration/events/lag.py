"""Whether the lag of a topic grows, from run to run, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

TWO_MINUTES, TWO_HOURS, TWO_DAYS = 120, 7200, 172800


@dataclass(frozen=True)
class Lag:
    """How far the landing zone was behind a topic when a run ended: in offsets, and the age of the oldest event among
    them in seconds.

    `since` is the run's end from which on it has not shrunk, as ISO 8601, None if nothing was left; `told` says whether
    a person knows.
    """

    behind: int
    age: float
    since: str | None = None
    told: bool = False


def lag_of(behind: int, age: float, earlier: Lag | None, now: datetime) -> Lag:
    """The lag after a run, given that after the run before."""
    if not behind:
        return Lag(behind, age)
    if earlier is None or earlier.since is None or behind < earlier.behind:
        return Lag(behind, age, now.isoformat(timespec="seconds"))
    return Lag(behind, age, earlier.since, earlier.told)


def is_to_be_told(lag: Lag, now: datetime, after: timedelta) -> bool:
    """Whether it has grown for so long, and nobody was told since it last shrank."""
    return lag.since is not None and not lag.told and now - datetime.fromisoformat(lag.since) >= after


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < TWO_MINUTES:
        return f"{seconds:.0f} s"
    if seconds < TWO_HOURS:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < TWO_DAYS else f"{seconds / 86400:,.0f} days"
