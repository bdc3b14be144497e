"""A held file is let through by a person: that very content, with a record of who, when and why."""

import shlex
import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import pytest

from orchestration.alerts import text as messages
from support.reference import Reference
from support.sales_files import CASES, file, row
from support.warehouse import DATABASE, PROJECT, Project, Warehouse, compare, environment

DAY = date(2024, 1, 5)
PATH = f"raw/sales/{DAY}/sales_export.csv"
OTHER = f"raw/sales/{DAY}/another.csv"
HELD = {name: case.content(DAY) for name, case in CASES.items() if case.fate == "held"}
REFUSED = CASES["unclosed quote"].content(DAY)
RATE, STALE, EMPTY = HELD["more rejected rows than the rate"], HELD["no fresh sale"], HELD["header only"]
# A name that is code to make, the shell, SQL, Jinja and YAML.
HOSTILE = f'raw/sales/{DAY}/it\'s $(touch x) $$HOME `x` "{{{{ y }}}}" ;--: # é 🎉.csv'


class Story:
    """A warehouse and what it must hold."""

    def __init__(self, project: Project, folder: Path):
        self.warehouse, self.expected = Warehouse(project, folder), Reference()

    def load(self, files: dict[str, bytes], *options: str, run_date: date | None = None) -> None:
        self.warehouse.land(self.warehouse.landed | files)
        self.expected.load(self.warehouse.landed, run_date)
        compare(self.expected, self.warehouse, self.warehouse.build(*options, run_date=run_date), run_date)

    def release(self, path: str) -> None:
        self.expected.release(path)
        assert not self.warehouse.release(path).broken

    def verdicts(self) -> list[tuple[str, ...]]:
        return self.warehouse.query("select source_file, verdict from prod.load_ledger order by all")


@pytest.fixture
def story(project: Project, tmp_path: Path) -> Story:
    return Story(project, tmp_path / "warehouse")


def typed(warehouse: Warehouse, **variables: str) -> subprocess.CompletedProcess:
    """`make release` as a person types it."""
    command = ["make", "release", *(f"{name}={value}" for name, value in variables.items())]
    with environment(WAREHOUSE_PATH=str(warehouse.folder / DATABASE), LANDING_ROOT=str(warehouse.root)):
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


def said(warehouse: Warehouse, path: str) -> str:
    """Why a file cannot be released."""
    built = warehouse.release(path)
    assert built.broken
    return built.said[0]


def test_released_files_are_merged_and_recorded(story: Story) -> None:
    files = {f"raw/sales/{DAY}/{name}.csv": content for name, content in HELD.items()}
    story.load({PATH: file(DAY, prefix="other")} | files)
    for path in files:
        story.release(path)
    story.load({}, run_date=DAY)
    assert [verdict for _, verdict in story.verdicts()] == ["released"] * 3 + ["passed"]
    story.load({}, "--full-refresh")
    records = story.warehouse.query("select * exclude content_hash from staging.released_files order by all")
    assert [tuple(map(str, record)) for record in records] == [
        (f"raw/sales/{DAY}/{name}.csv", str(DAY), CASES[name].says, "tests", "2024-02-01 12:00:00", "agreed")
        for name in sorted(HELD)
    ]


def test_a_release_is_of_one_content(story: Story) -> None:
    before = file(DAY, row("k", DAY), prefix="before")
    story.load({PATH: before})
    # It takes the place of what was in force; restated badly it is held, and what was released stays.
    story.load({PATH: RATE})
    story.release(PATH)
    story.load({})
    story.load({PATH: STALE})
    assert story.verdicts() == [(PATH, "held"), (PATH, "released")]
    # Restated well it passes by itself; the content that was released may come back.
    story.load({PATH: file(DAY, prefix="after")})
    assert story.verdicts() == [(PATH, "passed")]
    story.load({PATH: RATE})
    assert story.verdicts() == [(PATH, "released")]
    # Its rows are overtaken and come back as those of any file. The same content elsewhere is another file.
    story.load({OTHER: file(DAY, row(f"bad-{DAY}-0", DAY, updated_at=f"{DAY}T12:00:00Z"), prefix="other")})
    story.load({OTHER: RATE})
    assert story.verdicts() == [(OTHER, "held"), (OTHER, "passed"), (PATH, "released")]
    story.load({PATH: REFUSED})


def test_what_is_released_waits_for_the_load_of_its_day(story: Story) -> None:
    """Also if the file is restated in between: badly, then what was released is merged; or well."""
    story.load({PATH: RATE, OTHER: STALE})
    story.release(PATH)
    story.release(OTHER)
    story.load({}, run_date=DAY + timedelta(days=1))
    assert story.verdicts() == [(OTHER, "held"), (PATH, "held")]
    story.load({PATH: EMPTY, OTHER: file(DAY)}, run_date=DAY)
    assert story.verdicts() == [(OTHER, "passed"), (PATH, "held"), (PATH, "released")]


def test_what_cannot_be_released_says_why(story: Story) -> None:
    warehouse = story.warehouse
    story.load({PATH: file(DAY)})
    assert said(warehouse, "raw/sales/x.csv") == "No file raw/sales/x.csv has landed. No file is held now."
    assert said(warehouse, PATH) == f"{PATH} passed the gate: it needs no release."
    story.load({PATH: RATE, OTHER: REFUSED})
    assert said(warehouse, "x") == f"No file x has landed. Held now: {PATH}."
    assert said(warehouse, OTHER) == (
        f"{OTHER} is refused, not held (record 21: an unclosed quote): no row of it was taken. Land it mended."
    )
    story.release(PATH)
    again = f"{PATH} is released already, by tests at 2024-02-01 12:00:00 UTC (agreed)."
    following = f"Next: `dbt build` loads it; in Airflow, clear the run of {DAY}, all of its tasks."
    assert said(warehouse, PATH) == f"{again} {following}"
    story.load({})
    assert said(warehouse, PATH) == again
    # Held, and since refused.
    story.load({PATH: EMPTY})
    story.load({PATH: REFUSED})
    assert "is refused, not held" in said(warehouse, PATH)
    assert said(warehouse, "x") == "No file x has landed. No file is held now."
    warehouse.land(warehouse.landed | {f"{PATH}.gz": b"", OTHER: RATE})
    warehouse.build_until("raw_sales")
    assert said(warehouse, OTHER) == f"{OTHER} has landed and is not judged yet. Run `dbt build` first."
    assert warehouse.query("select count(*) from staging.released_files") == [(1,)]


def test_the_command_takes_any_name_and_says_what_comes_next(story: Story) -> None:
    story.load({HOSTILE: RATE})
    reason = 'It\'s "agreed" by $HOME; drop table {{ x }} \\ 🎉'
    no_reason = typed(story.warehouse, FILE=HOSTILE, REASON="  ")
    assert no_reason.returncode == 2
    assert no_reason.stderr.startswith('Why? Write REASON="...": it is kept with the release.\n')
    done = typed(story.warehouse, FILE=HOSTILE, REASON=reason, BY="Zoë")
    assert (done.returncode, done.stderr) == (0, "")
    # What `make setup` may have to do first is said before.
    assert done.stdout.endswith(
        f"Released {HOSTILE}, which had failed reject_rate; recorded in staging.released_files. "
        f"Next: `dbt build` loads it; in Airflow, clear the run of {DAY}, all of its tasks.\n"
    )
    story.expected.release(HOSTILE)
    story.load({})
    assert story.verdicts() == [(HOSTILE, "released")]
    records = story.warehouse.query("select source_file, released_by, reason from staging.released_files")
    assert records == [(HOSTILE, "Zoë", reason)]


def test_a_user_without_a_name_is_asked_for_one() -> None:
    """As in a container that runs under any number."""
    nameless = (
        "import getpass, sys; getpass.getuser = lambda: {}['a number']; from orchestration.commands import release; "
    )
    command = [sys.executable, "-c", nameless + "sys.exit(release.main())", "--file", PATH, "--reason", "agreed"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Who lets it through?")
    assert done.stderr.endswith("Write BY=your-name.\n")


# What bash makes of a command is told instead of done.
TELL = "make() { printf '%s\\0' \"$@\"; }; "


def test_the_commands_that_are_shown_work(story: Story) -> None:
    """Those of the alert and of dbt's own output, copied into a shell."""
    names = [
        HOSTILE,
        f"raw/sales/{DAY}/two  blanks.csv",
        f"raw/sales/{DAY}/me@home.csv",
        f"raw/sales/{DAY}/two\nlines.csv",
    ]
    story.warehouse.land(dict.fromkeys(names, RATE))
    built = story.warehouse.build()
    shown = [line.partition("release_it_by=")[2] for line in built.said if "no_file_to_mend has found: " in line]
    shown = dict(zip(sorted(names), shown, strict=True))
    assert shown.pop(names.pop()) == ""
    for name in names:
        for command in (messages.release_command(name), shown[name]):
            told = subprocess.run(["bash", "-c", TELL + command], capture_output=True, text=True, check=True).stdout
            assert told.split("\0") == ["release", f"FILE={name}", "REASON=...", ""]
    dbt, *rows = shlex.split(messages.rows_command("no_file_to_mend"))
    assert (PROJECT / dbt).is_file()
    found = "".join(story.warehouse.dbt(*rows).messages)
    assert '"source_file": "raw/sales/2024-01-05/two\\nlines.csv"' in found


def test_nothing_can_be_released_before_the_first_load(story: Story) -> None:
    assert said(story.warehouse, PATH) == "Nothing has been loaded yet. Run `dbt build` first."
