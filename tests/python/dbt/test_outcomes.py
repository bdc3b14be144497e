"""Whether a run is red or green, for each row of the table in docs/how-it-works.md: each by itself.

`test_files.py` has what comes of the file; there all of them stand in one load, which is red by any of them.
"""

from datetime import date

import pytest

from support.marks import often
from support.sales_files import CASES, DATES, file, paths
from support.warehouse import Built, Project, Warehouse

# They share a warehouse.
pytestmark = pytest.mark.xdist_group("outcomes")

RED = {name for name, case in CASES.items() if case.fate in ("refused", "held")}
# One of each way to be red; the others are in `make test-long`.
OFTEN = {"unclosed quote", "0 bytes", "header only"}
# All that is green comes on one day, which nothing else of this file has.
GREEN_DAY = date(2023, 6, 1)
# The load of a day as far as it goes to say whether it is red.
SHARE = ("--select", "+no_file_to_mend", "--indirect-selection", "empty")


@pytest.fixture(scope="module")
def warehouse(project: Project, tmp_path_factory) -> Warehouse:
    """Each bad file has landed on a day of its own, beside a good one; all others on one day."""
    one = Warehouse(project, tmp_path_factory.mktemp("outcomes") / "warehouse")
    files = {f"raw/sales/{GREEN_DAY}/sales_export.csv": file(GREEN_DAY, prefix="good")}
    for number, (name, case) in enumerate(CASES.items()):
        path, good = paths(name)
        if name in RED:
            files |= {path: case.content(DATES[name]), good: file(DATES[name], prefix="good")}
        else:
            files[f"raw/sales/{GREEN_DAY}/{number} {case.name}"] = case.content(GREEN_DAY)
    one.land(files)
    return one


def run_of(warehouse: Warehouse, day: date, *options: str) -> Built:
    """The run of a day, which takes that day's folder and no other."""
    built = warehouse.build(*options, run_date=day)
    assert not built.broken, built.broken
    assert built.succeeded != built.red
    return built


@pytest.mark.parametrize("name", often(sorted(RED), OFTEN))
def test_a_run_is_red_by_each_bad_file_alone(warehouse: Warehouse, name: str) -> None:
    built = run_of(warehouse, DATES[name], *SHARE)
    assert built.red
    [said] = [line for line in built.said if line.startswith("no_file_to_mend has found: ")]
    path, _ = paths(name)
    case = CASES[name]
    assert f"state={case.fate}, source_file={path}, " in said
    assert (f", source_record={case.record}, " in said) == (case.record is not None)
    assert case.says in said
    assert said.endswith(f"release_it_by=make release FILE='{path}' REASON=\"...\"") == (case.fate == "held")


def test_a_run_is_green_by_all_the_others(warehouse: Warehouse) -> None:
    built = run_of(warehouse, GREEN_DAY)
    assert not built.red
    accepted = [name for name, case in CASES.items() if case.fate == "accepted"]
    rows = f"select count(*) from prod.load_ledger where file_date = '{GREEN_DAY}' and verdict = 'passed'"
    assert warehouse.query(rows) == [(len(accepted) + 1,)]
    # What is only unusual is said, and a second run has nothing to do.
    assert sum("note" in warning for warning in built.warnings) == 1
    assert sum("Left alone" in warning for warning in built.warnings) == 1
    again = run_of(warehouse, GREEN_DAY)
    assert not again.red
    assert any("Nothing to do" in message for message in again.messages)


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(RED))
def test_a_whole_run_is_red_by_each_bad_file_alone(warehouse: Warehouse, name: str) -> None:
    assert run_of(warehouse, DATES[name]).red
