"""What Airflow has to know of the pipelines beside their DAG files: its `[core] plugins_folder` is this folder."""

from typing import ClassVar

from airflow.sdk.plugins_manager import AirflowPlugin

from orchestration import settings
from orchestration.deadlines import RunQueued

if settings.METRICS:
    from orchestration.metrics import listener


class ReferencePipeline(AirflowPlugin):
    """Without it Airflow takes no DAG that counts a deadline by `RunQueued`, and nobody counts how tasks end.

    It is read by every task: nothing heavy may be imported here.
    """

    name = "reference_pipeline"
    deadline_references: ClassVar = [RunQueued]
    listeners: ClassVar = [listener] if settings.METRICS else []
