"""Checks the contracts of all feeds, and says of each fault in which file and line it stands. `make lint` runs it.

dbt finds most of these faults only when the first file lands, and some never.
"""

from __future__ import annotations

from pathlib import Path

from orchestration.contracts import columns, feeds, models
from orchestration.contracts.contract import Contract
from orchestration.contracts.reading import Fault, read
from orchestration.contracts.words import PROJECT


def faults(root: Path = PROJECT) -> list[Fault]:
    """All faults of a project's contracts, in the order of their places."""
    project = read(root)
    for name, (file, model) in project.described.items():
        if name not in project.models:
            what = f"The model {name} has no file: {Path(file).parent.as_posix()}/{name}.sql is missing."
            project.fault(file, model.line, what)
    for name, contract in project.feeds.items():
        one = Contract(project, name, contract)
        for part in (feeds, columns, models):
            part.check(one)
    return sorted(set(project.faults))
