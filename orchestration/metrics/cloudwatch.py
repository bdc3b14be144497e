"""CloudWatch, by Airflow's connection of AWS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from botocore.config import Config

from orchestration import settings
from orchestration.metrics.metric import Metric

# Every task would wait for a service that hangs.
SECONDS = min(2, settings.ALERT_SECONDS)
CLIENT = Config(connect_timeout=SECONDS, read_timeout=SECONDS, retries={"total_max_attempts": 1})


def send(metrics: Sequence[Metric]) -> None:
    """Sends metrics in one call; raises what AWS raises, or what its connection lacks."""
    client = AwsBaseHook(aws_conn_id=settings.AWS_CONNECTION, client_type="cloudwatch", config=CLIENT).get_conn()
    client.put_metric_data(Namespace=settings.METRICS_NAMESPACE, MetricData=[_datum(one) for one in metrics])


def _datum(metric: Metric) -> dict[str, Any]:
    return {
        "MetricName": metric.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in metric.tags.items()],
        "Value": float(metric.value),
        "Unit": metric.unit,
    }
