"""What a run asks of the runs before it."""

from __future__ import annotations

from typing import Any


def is_first_of_day(context: Any) -> bool:
    """Whether no run of the same date has come through this task before. A run without a date is none."""
    date = context["dag_run"].logical_date
    before = context["ti"].get_previous_ti(state="success") if date else None
    return bool(date) and (before is None or before.logical_date.date() < date.date())
