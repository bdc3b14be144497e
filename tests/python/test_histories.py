"""The promises, on random histories: production is what the reference says, whatever landed in whatever order."""

from __future__ import annotations

import random

import pytest
from histories import Step, shared_histories
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reference import Reference
from warehouse import Warehouse, differences, failed

# Up to eight histories an example, four and a half on average.
EXAMPLES, LONG_EXAMPLES = 6, 230
SETTINGS = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "phases": [Phase.explicit, Phase.generate, Phase.shrink],
    "derandomize": True,
    "database": None,
}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory) -> Warehouse:
    return Warehouse(tmp_path_factory.mktemp("histories"))


def check(warehouse: Warehouse, steps: list[Step], order: int = 0) -> None:
    """Loads the steps of shared histories and compares production with the reference after each load."""
    warehouse.empty()
    zone: dict[str, bytes] = {}
    reference = Reference()
    for number, step in enumerate(steps):
        warehouse.land(step.files)
        zone = {path: data for path, data in (zone | step.files).items() if data is not None}
        for day in step.days:
            result = warehouse.build(day=day)
            reference.load(zone, day)
            assert set(failed(result)) <= {"no_file_to_mend"}, [one.message for one in result.result]
            told = differences(reference.tables(), warehouse.tables())
            assert not told, f"after step {number}, load of {day or 'all'}:\n{told}"
    assert (failed(result) == []) == reference.green
    refresh(warehouse, reference)
    reorder(warehouse, reference, order)


def refresh(warehouse: Warehouse, reference: Reference) -> None:
    """A full refresh ends the same."""
    warehouse.build("--full-refresh")
    told = differences(reference.tables(), warehouse.tables())
    assert not told, f"after a full refresh:\n{told}"


def reorder(warehouse: Warehouse, reference: Reference, order: int) -> None:
    """The files in force, in another order and in other groups, make the same production."""
    expected = reference.tables()
    # A content in force that is no longer there to land again: it was restated badly, or has gone.
    if reference.refused or any(
        reference.newest[path] is not content or not (warehouse.landing / path).exists()
        for path, content in reference.in_force.items()
    ):
        return
    files = {path: (warehouse.landing / path).read_bytes() for path in reference.in_force}
    warehouse.empty()
    paths, shuffled = sorted(files), random.Random(order)
    shuffled.shuffle(paths)
    while paths:
        size = shuffled.randint(1, len(paths))
        group, paths = paths[:size], paths[size:]
        warehouse.land({path: files[path] for path in group})
        warehouse.build()
    if files:
        found = warehouse.tables()
        told = differences({name: expected[name] for name in ("prod.daily_sales", "prod.sales_by_day")}, found)
        assert not told, f"in another order:\n{told}"


@given(steps=shared_histories(), order=st.integers(0, 999))
@settings(max_examples=EXAMPLES, **SETTINGS)
def test_production_is_what_the_files_say(warehouse, steps, order):
    check(warehouse, steps, order)


@pytest.mark.long
@given(steps=shared_histories(), order=st.integers(0, 999))
@settings(max_examples=LONG_EXAMPLES, **(SETTINGS | {"derandomize": False}))
def test_a_thousand_histories(warehouse, steps, order):
    check(warehouse, steps, order)
