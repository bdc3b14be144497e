"""When a task that failed is tried again."""

from __future__ import annotations

from typing import Any

from airflow.sdk import RetryDecision, RetryPolicy

from orchestration import report
from orchestration.alerts import facts


class RetryUnlessToMend(RetryPolicy):
    """No retry mends a file: where that is all that failed, the alert goes out at once."""

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """Ends the task's tries if a test that asks to mend a file, and nothing else, failed."""
        failed = report.failures_behind(exception)
        if failed and all(facts.asks_to_mend(node) for node, _ in failed):
            return RetryDecision.fail(reason="a file is to be mended")
        return RetryDecision.default()
