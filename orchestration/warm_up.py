"""Load what dbt tasks need once, in the process that tasks are forks of, so that the tasks need not.

That is Airflow's scheduler with the LocalExecutor, and a Celery worker with the CeleryExecutor. A dbt task spends most
of its time not on its model but on imports and on caches that each new process builds again; a parent that has parsed
the project once hands them all down, and a dbt task costs a third.

To use it, put this into `$AIRFLOW_HOME/config/airflow_local_settings.py`, everywhere alike:

    from orchestration.warm_up import warm_up_scheduler

    warm_up_scheduler()

It opens no connection to the warehouse: DuckDB's threads do not survive a fork, and every task would hang. Whatever
goes wrong in it is logged, and its process starts all the same. Where each task is a process of its own, as on
Kubernetes, it does nothing.
"""

import gc
import logging
import shutil
import sys
import threading
from importlib import import_module
from pathlib import Path

log = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parents[1]
PARSED = "partial_parse.msgpack"

# What tasks import only once they run; the rest comes with the DAG files.
NEEDED = (
    "airflow.providers.amazon.aws.hooks.s3",
    "dbt_common.clients.agate_helper",
    "openlineage.client.facet_v2",
    "openlineage.common.provider.dbt.processor",
    "orchestration.events.text",
    "orchestration.landing.plugin",
)

QUIETLY = ("--quiet", "--no-write-json", "--no-version-check", "--log-level-file", "none", "--no-use-colors")


def warm_up_scheduler() -> None:
    """Warm up if tasks are forks of this process; never raises."""
    if sys.argv[1:2] != ["scheduler"] and sys.argv[1:3] != ["celery", "worker"]:
        return
    threads = threading.active_count()
    try:
        _warm_up()
    except BaseException as problem:  # dbt may leave by SystemExit; only a slower start of tasks is at stake
        if isinstance(problem, KeyboardInterrupt):
            raise
        log.warning("dbt was not loaded ahead of the tasks, which will each start slower: %r", problem)
    if threading.active_count() > threads:
        log.warning("Loading dbt has left threads behind, which forked tasks will not have: %s", threading.enumerate())


def _warm_up() -> None:
    from orchestration.metrics.sending import modules as of_metrics

    for module in (*NEEDED, *of_metrics()):
        import_module(module)
    from airflow.dag_processing.dagbag import DagBag
    from cosmos import settings
    from cosmos.dbt.project import environ
    from dbt.adapters.factory import reset_adapters
    from dbt.cli.main import dbtRunner

    from orchestration.project import PROFILE, warehouse_environment

    # As Cosmos calls dbt: other options, and dbt would parse anew.
    target = settings.cache_dir / "warm_up"
    options = {"--target-path": target, "--project-dir": PROJECT, "--profiles-dir": PROJECT}
    options |= {"--profile": PROFILE.profile_name, "--target": PROFILE.target_name}
    # What dbt has parsed counts for one profile. Its values stay here no longer than that takes.
    with environ(warehouse_environment()):
        result = dbtRunner().invoke(["parse", *QUIETLY, *(str(part) for option in options.items() for part in option)])
    if result.exception:
        raise result.exception
    reset_adapters()

    # Cosmos keeps what dbt has parsed for each task group; the first task of each would parse for itself.
    dags = DagBag(PROJECT / "orchestration" / "dags").dags.values()
    for folder in {task.cache_dir for dag in dags for task in dag.tasks if getattr(task, "cache_dir", None)}:
        kept = folder / "target" / PARSED
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(target / PARSED, kept.with_suffix(".new")).replace(kept)
    gc.collect()
