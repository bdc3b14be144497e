"""What goes wrong with the churn model, in a plain sentence that says where and what to do."""

from __future__ import annotations


class ChurnError(RuntimeError):
    """Says why a model was not trained, stored, deployed or scored; its message is all that a person needs.

    `run` is the daily run that failed so (`ModelRun`), where its model had been trained: it is a row, too.
    """

    run: object = None


class RefusedError(ChurnError):
    """The table cannot be trained on, or be scored, as it is."""


class DeploymentError(ChurnError):
    """A model was not deployed. What the message does not say to have changed serves as before."""
