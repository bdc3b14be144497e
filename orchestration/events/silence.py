"""Whether nothing comes of a topic any more, from run to run, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Silence:
    """When a run has last landed an event of a topic, or has first looked for one, and on which day a person was last
    told that nothing comes: both as ISO 8601."""

    since: str
    told: str | None = None


def silence_of(events: int, earlier: Silence | None, now: datetime) -> Silence:
    """The silence after a run that has landed so many events, given that after the run before."""
    return earlier if earlier and not events else Silence(now.isoformat(timespec="seconds"))


def is_to_be_told(silence: Silence, now: datetime, after: timedelta) -> bool:
    """Whether it has lasted so long, and nobody was told of it today."""
    return now - datetime.fromisoformat(silence.since) >= after and silence.told != now.date().isoformat()
