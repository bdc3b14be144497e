"""What is sent: a name, a value and its tags."""

from __future__ import annotations

from dataclasses import dataclass

# Kinds, as DogStatsD calls its messages.
COUNT, GAUGE, TIMING = "count", "gauge", "timing"
# Units, as CloudWatch calls them.
NUMBER, SECONDS, MILLISECONDS, RATIO = "Count", "Seconds", "Milliseconds", "None"


@dataclass(frozen=True)
class Metric:
    """One value: of how often something has happened, of how much there is, or of how long something took."""

    kind: str
    name: str
    value: float
    unit: str
    tags: dict[str, str]


def count(name: str, value: int = 1, **tags: object) -> Metric:
    """How often something has happened."""
    return Metric(COUNT, name, value, NUMBER, _texts(tags))


def gauge(name: str, value: float, unit: str = NUMBER, **tags: object) -> Metric:
    """How much there is of something now."""
    return Metric(GAUGE, name, value, unit, _texts(tags))


def timing(name: str, seconds: float, **tags: object) -> Metric:
    """How long something took; it is sent in milliseconds, as Airflow's own timings are."""
    return Metric(TIMING, name, seconds * 1000, MILLISECONDS, _texts(tags))


def _texts(tags: dict[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in tags.items()}
