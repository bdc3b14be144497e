"""dbt's way into this package: the plugin that the materialization `load_files` calls."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import TargetConfig
from dbt.adapters.events.logging import AdapterLogger
from dbt_common.exceptions import DbtRuntimeError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from orchestration.landing.listing import Feed
from orchestration.landing.load import Loader, Tables
from orchestration.landing.messages import MessageLoader
from orchestration.landing.zones import LandingError, zone_at

log = AdapterLogger("landing")


def _is_locked(error: BaseException) -> bool:
    """Whether another process holds the file; DuckDB says so in its message alone."""
    return isinstance(error, duckdb.IOException) and "Could not set lock on file" in str(error)


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0].partition(". See also ")[0].rstrip(".!")


class Plugin(BasePlugin):
    """dbt-duckdb's way to hand work to Python: `adapter.store_relation('landing', ...)`."""

    # Ours, until dbt has opened the file for itself: nobody comes in between.
    first: duckdb.DuckDBPyConnection | None = None
    waited = False

    def update_connection_config(self, creds: DuckDBCredentials, config: dict[str, object]) -> None:
        """Right before dbt connects: waits while another process holds the warehouse, and says so.

        dbt-duckdb would wait in silence, and once more after its last try.
        """
        for other in creds.attach or ():
            if other.type or "://" in other.path:
                continue
            if not Path(other.path).is_file():
                raise DbtRuntimeError(
                    f"There is no warehouse {other.path} to read from. WAREHOUSE_PATH must name production's."
                )
            if creds.path_derived_database_name(other.path).lower() == creds.database.lower():
                raise DbtRuntimeError(
                    f"The file {creds.path} must have another name than {other.path}, for DuckDB takes no two of one "
                    "name. CI_WAREHOUSE_PATH names it."
                )

        def wait(state: RetryCallState) -> None:
            holder, seconds = _reason(state.outcome.exception()), state.next_action.sleep
            left = f"the next try of {tries - state.attempt_number} is in {seconds:.0f} s"
            if state.attempt_number == 1:
                log.warning(f"Another process holds the warehouse {creds.path}; waiting for it: {left}. {holder}.")
            else:
                log.warning(f"Still waiting for the warehouse: {left}. {holder}.")

        # dbt asks a second time when it has failed, as it cleans up: by then, nothing is left to be waited for.
        tries = 1 if self.waited or not creds.retries else creds.retries.connect_attempts
        self.waited = True
        retrying = Retrying(
            retry=retry_if_exception(_is_locked),
            stop=stop_after_attempt(tries),
            wait=wait_exponential(),
            before_sleep=wait,
            reraise=True,
        )
        try:
            self.first = retrying(duckdb.connect, creds.path, config=config)
        except duckdb.Error as error:
            advice = (
                "End that process or let it finish, then run this again: one process at a time may have the file open."
                if _is_locked(error)
                else "WAREHOUSE_PATH must be a DuckDB file that may be written, or none yet, in a folder that is "
                "there, on a disk with space."
            )
            raise DbtRuntimeError(f"The warehouse {creds.path} cannot be opened: {_reason(error)}. {advice}") from error
        self.waited = False

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Right after dbt has connected."""
        self.connection = conn
        if self.first:
            self.first.close()
            self.first = None

    def store(self, target_config: TargetConfig) -> None:
        """Loads a feed. `config` holds its name as `feed`, the layout of its `files`, its `optional` columns,
        `run_date` (ISO date or none), and the relations `landed`, `refused` and, of messages, `generations`."""
        options, root = target_config.config, target_config.location.path
        day = options["run_date"]
        cursor = self.connection.cursor()
        try:
            tables = Tables(
                raw=target_config.relation.render(),
                landed=options["landed"].render(),
                refused=options["refused"].render(),
            )
            if options["files"] == "topics":
                # Messages are of no day, and a run of one takes none.
                if not day:
                    generations = options["generations"].render()
                    MessageLoader(cursor, root, options["feed"], tables, generations, log).load()
                return
            columns = tuple(column.name for column in target_config.column_list)
            feed = Feed(options["feed"], columns, frozenset(options["optional"]), options["files"] == "hourly")
            Loader(cursor, zone_at(root, cursor), feed, tables, log).load(date.fromisoformat(day) if day else None)
        except LandingError as error:
            raise DbtRuntimeError(str(error)) from error
        finally:
            cursor.close()
