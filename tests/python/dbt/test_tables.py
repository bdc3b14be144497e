"""What tables promise beyond sales: deletions, keys of two columns, extracts. Each guard, taken out, is missed."""

from pathlib import Path

import pytest

from support.marks import often
from support.table_stories import HISTORIES, tell
from support.warehouse import Project

# The history that shows it, the macro, and old and new text.
SABOTAGES: dict[str, tuple[str, str, dict[str, str]]] = {
    "deletions forgotten": (
        "an older version comes after a deletion",
        "models/marts/tables/customers.sql",
        {"where not is_deleted": ""},
    ),
    "keys that an extract lacks stay": (
        "a key is gone from the next extract",
        "collect_extract",
        {"    true as leaves\n": "    winners.source_file is not null as leaves\n"},
    ),
    "the volume check off": (
        "an extract loses half, and the next one more",
        "judge_landing",
        {"when judged.has_shrunk then": "when false then"},
    ),
    "a key by its first column": (
        "one of two keys that begin alike changes",
        "same_key",
        {"for column in key -%}{%- do conditions": "for column in key[:1] -%}{%- do conditions"},
    ),
}
MORE_SABOTAGES = {
    "the last to come is the newest extract": (
        "an older extract comes later",
        "newest_extract",
        {" ~ ')' if plan.replaced != 'null' }}": " ~ ')' }}"},
    ),
    "extracts judged anew": (
        "an extract would shrink by now",
        "has_shrunk",
        {"and judged_before.valid is not null": "and false"},
    ),
    "an extract by what passed, not by what is in force": (
        "a released extract waits for its day",
        "newest_extract",
        {
            "or landing_id in ({{ landings_in_force(ref('load_ledger'), feed.name) }})": (
                "or landing_id in ("
                "select landing_id from ({{ passed_landings(ref('file_verdicts'), feed.name) }}) as passed)"
            )
        },
    ),
    "history of what is deleted": (
        "what was deleted comes again",
        "models/marts/tables/customers_history.sql",
        {"where not is_deleted": ""},
    ),
}


# Told in `make test`: what shows a sabotage there. Two more are told on Snowflake then.
OFTEN = {history for history, *_ in SABOTAGES.values()}


@pytest.mark.parametrize("name", often(HISTORIES, OFTEN))
def test_the_project_at_hand_tells_each_history_right(project_with_prices: Project, tmp_path: Path, name: str) -> None:
    tell(project_with_prices, tmp_path / "warehouse", name)


@pytest.mark.parametrize("name", often(SABOTAGES | MORE_SABOTAGES, SABOTAGES))
def test_sabotage_shows(project_with_prices: Project, tmp_path: Path, name: str) -> None:
    history, place, changes = (SABOTAGES | MORE_SABOTAGES)[name]
    project, macros = project_with_prices, {}
    if "/" in place:
        project = project_with_prices.copy(tmp_path / "project")
        project.patch(place, changes)
        project = Project(project.root, project.target)
    else:
        macros = {place: changes}
    with project.with_macros(macros), pytest.raises(AssertionError) as found:
        tell(project, tmp_path / "warehouse", history)
    assert "has changed" not in str(found.value)
    assert "missing:" in str(found.value) or "surplus:" in str(found.value)
