"""Sends what is measured of runs to Datadog and CloudWatch, as the setting METRICS says; docs/how-it-works.md lists it.

`listener` hears from Airflow how tasks and runs have ended; what else is measured is sent by the tasks that know it.
Without METRICS nothing is sent and no client is imported.
"""

from orchestration.metrics.metric import RATIO, SECONDS, Metric, count, gauge, timing
from orchestration.metrics.sending import send

__all__ = ["RATIO", "SECONDS", "Metric", "count", "gauge", "send", "timing"]
