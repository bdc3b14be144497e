"""Which cases of a test `make test` runs, and which `make test-long` runs."""

from collections.abc import Collection, Iterable

import pytest


def often(names: Iterable[str], short: Collection[str]) -> list:
    """The cases of a test by their names: those that are `short` in `make test`, the others in `make test-long`."""
    return [name if name in short else pytest.param(name, marks=pytest.mark.long) for name in names]
