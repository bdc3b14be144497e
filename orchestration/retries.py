"""When a task that failed is tried again."""

from __future__ import annotations

from typing import Any

from airflow.sdk import RetryDecision, RetryPolicy

from orchestration import report
from orchestration.alerts import facts
from orchestration.churn.errors import RefusedError
from orchestration.events.errors import LossError


class RetryUnlessToMend(RetryPolicy):
    """No retry mends a file or a snapshot, or brings back what a log has lost: where that is all, the alert goes out at
    once."""

    def evaluate(self, exception: BaseException, try_number: int, max_tries: int, context: Any = None) -> RetryDecision:
        """Ends the task's tries if events are lost, if a snapshot cannot be trained on, or if nothing failed but tests
        that ask a person for something: to mend a file, or to find out why a sender is silent."""
        if isinstance(exception, RefusedError):
            return RetryDecision.fail(reason="the snapshot cannot be trained on as it is")
        if isinstance(exception, LossError):
            return RetryDecision.fail(reason="what is lost is to be accepted")
        failed = report.failures_behind(exception)
        if failed and all(facts.asks_to_mend(node) or facts.asks_the_sender(node) for node, _ in failed):
            return RetryDecision.fail(reason="a file is to be mended, or to come")
        return RetryDecision.default()
