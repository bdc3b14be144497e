"""What Airflow has to know of the pipelines beside their DAG files: its `[core] plugins_folder` is this folder."""

from typing import ClassVar

from airflow.sdk.plugins_manager import AirflowPlugin

from orchestration.deadlines import RunQueued


class ReferencePipeline(AirflowPlugin):
    """Without it Airflow takes no DAG that counts a deadline by `RunQueued`."""

    name = "reference_pipeline"
    deadline_references: ClassVar = [RunQueued]
