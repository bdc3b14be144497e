"""How `table_sync` builds and checks its tables: those that have something to do by one dbt, the rest by their tasks.

dbt reads the whole project whatever it builds: forty starts for forty tables would read sixteen hundred tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow.providers.standard.utils.skipmixin import SkipMixin
from airflow.sdk.exceptions import AirflowSkipException
from cosmos import DbtBuildLocalOperator, DbtTestLocalOperator

from orchestration import alerts
from orchestration.tables import CHECK_OF_SALES, Table

# The task that builds and checks them together, and what it says of them: which tasks have nothing left to do.
TOGETHER, DONE = "sync_and_validate_together", "done"
# Of dbt's statuses.
ENDED_WELL = ("success", "pass", "warn", "no-op")


class Together(DbtBuildLocalOperator, SkipMixin):
    """Builds and checks all tables that have something to do, and skips the tasks of the others.

    It does not fail for what dbt finds: a table's own task does that again and tells of it, for that table alone.
    `tables` are the configured ones.
    """

    def __init__(self, *, tables: Iterable[Table], **kwargs: Any):
        super().__init__(exclude=CHECK_OF_SALES, **kwargs)
        self.configured = {table.name: table for table in tables}
        self.done: list[str] = []

    def execute(self, context: Any, **kwargs: Any) -> None:
        """Builds and checks, and says which tasks have nothing left to do."""
        ti = context["ti"]
        news = ti.xcom_pull(task_ids=alerts.FINDER, key=alerts.NEWS)
        self.select = together([self.configured[name] for name in news])
        super().execute(context, **kwargs)
        self.log.info("Nothing is left to do for: %s.", ", ".join(self.done) or "none")
        ti.xcom_push(key=DONE, value=self.done)
        self.skip_all_except(ti, [f"sync_{name}" for name in news])

    def handle_exception_dbt_runner(self, result: Any) -> None:
        """Cosmos would fail the task here if anything has failed."""
        if result.exception:
            self.log.warning("dbt has not come to its end: %s", result.exception)
        self.done = done(getattr(result.result, "results", ()))


def together(tables: Iterable[Table]) -> str:
    """The nodes that load and check some tables."""
    return " ".join(sorted({part for table in tables for part in [*table.select.split(), table.checks]}))


def done(results: Iterable[Any]) -> list[str]:
    """The tasks that have nothing left to do after a build, given dbt's results.

    That is a table's sync if all its nodes have ended well, and all that belong to no table, for these are in the sync
    of each; and its validation if besides no check has so much as warned, which is told by its own task.
    """
    built: dict[str | None, bool] = {}
    checked: dict[str | None, bool] = {}
    for one in results:
        (_, *folders, _), status = one.node.fqn, str(one.status)
        table = folders[1] if folders[:1] == ["tables"] and len(folders) > 1 else None
        if f"{table}_quality_checks" in one.node.tags:
            checked[table] = checked.get(table, True) and status == "pass"
        else:
            built[table] = built.get(table, True) and status in ENDED_WELL
    shared = built.pop(None, False)
    syncs = [table for table, well in built.items() if well and shared]
    validations = [table for table in syncs if checked.get(table, True)]
    return sorted([f"sync_{table}" for table in syncs] + [f"validate_{table}" for table in validations])


class _Rest:
    """A task that leaves out what has just been done together. A retry, and a task that a person clears, leave out
    nothing."""

    def execute(self, context: Any, **kwargs: Any) -> None:
        """Does what is left."""
        ti = context["ti"]
        if ti.try_number == 1 and ti.task_id in (ti.xcom_pull(task_ids=TOGETHER, key=DONE) or ()):
            self.log.info("Done by %s, in whose log it stands.", TOGETHER)
            return
        # Killed, it has skipped nothing.
        if ti.task_id.partition("_")[2] not in ti.xcom_pull(task_ids=alerts.FINDER, key=alerts.NEWS):
            raise AirflowSkipException("no file of the table is new")
        super().execute(context, **kwargs)


class Sync(_Rest, DbtBuildLocalOperator):
    """Builds one table."""


class Validate(_Rest, DbtTestLocalOperator):
    """Checks one table in production."""
