"""What `make new-table` guesses from a sample, and what it refuses."""

from __future__ import annotations

import csv
import gzip
import io
import shutil
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration import contracts
from orchestration.commands import new_table
from orchestration.contracts.words import LINEAGE
from support.reference import PROJECT
from support.tables import remove_table
from support.warehouse import Project, Warehouse

DAY = "2024-01-05"
AT = f"{DAY}T10:00:00Z"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    shutil.copytree(PROJECT / "macros", tmp_path / "macros")
    shutil.copytree(PROJECT / "models", tmp_path / "models")
    shutil.copytree(PROJECT / "seeds", tmp_path / "seeds")
    return tmp_path


def write(root: Path, *lines: str, name: str = "sample.csv") -> Path:
    path = root / name
    data = "\n".join([*lines, ""]).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def made(root: Path, *lines: str, name: str = "things") -> dict[str, dict]:
    """The columns of the contract that a sample leads to, and the feed under the name None."""
    files = new_table.new_table(root, name, write(root, *lines))
    model = yaml.safe_load(files[0].read_text())["models"][0]
    columns = {column["name"]: column for column in model["columns"] if column["name"] not in LINEAGE}
    return columns | {None: model["config"]["meta"]["feed"]}


def text(root: Path) -> str:
    return (root / "models/feeds/things/things.yml").read_text()


@pytest.mark.fast
@pytest.mark.parametrize(
    ("values", "data_type"),
    [
        (["1", "-2", "+3"], "integer"),
        (["1", "3000000000"], "decimal(18,2)"),
        (["1", "2.50"], "decimal(18,2)"),
        (["1", "2.505"], "varchar"),
        (["1", "1_000"], "varchar"),
        (["1e3", "2"], "varchar"),
        (["007", "12"], "varchar"),
        (["true", "FALSE"], "boolean"),
        (["t", "f"], "varchar"),
        (["2024-01-05T10:00:00+02:00", "2024-01-05 10:00:00.5"], "timestamp"),
        (["2024-01-05", "2024-01-06"], "varchar"),
        (["2024-02-30T10:00:00Z", AT], "varchar"),
        (["one", "two"], "varchar"),
    ],
)
def test_a_type_is_as_strict_as_the_load(root: Path, values: list[str], data_type: str) -> None:
    rows = [f"T{number},{value},{AT}" for number, value in enumerate(values)]
    assert made(root, "thing_id,value,updated_at", *rows)["value"]["data_type"] == data_type


@pytest.mark.fast
def test_what_a_person_is_to_check(root: Path) -> None:
    rows = [f"T{n:02},{n if n else 'x'},,{n}.125,{'ab'[n % 2]},{'' if n else 'y'},{AT}" for n in range(20)]
    columns = made(root, "thing_id,nearly,empty,precise,letter,rare,updated_at", *rows)
    assert {name: columns[name].get("config") for name in ("nearly", "empty", "rare")} == {
        "nearly": {"meta": {"required": True}},
        "empty": None,
        "rare": None,
    }
    assert columns["updated_at"]["config"]["meta"]["required"] is True
    assert columns["is_deleted"]["config"]["meta"] == {"optional": True, "default": False}
    for said in (
        "# check: the key. thing_id took 20 values in 20 rows.",
        "# check: all but 1 of 20 values are integer; that of record 2 is not.",
        "# check: without any value its type is unknown.",
        "# check: numbers, but not of decimal(18,2). Should it be decimal(38,9), or one between?",
        '# check: only "a", "b" in the sample. A rule would take nothing else.',
        "# check: say what it means. May it be empty? In the sample it is in 19 of 20 rows.",
    ):
        assert said in text(root)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("key", "lines"),
    [
        # Two versions of one thing.
        (
            ["thing_id"],
            ["owner_id,thing_id,n,updated_at", f"O1,T1,1,{AT}", f"O1,T1,2,{DAY}T11:00:00Z", f"O2,T2,1,{AT}"],
        ),
        # The same row twice.
        (["thing_id"], ["thing_id,n,updated_at", f"T1,1,{AT}", f"T1,1,{AT}", f"T2,1,{AT}"]),
        # Neither alone.
        (["a_id", "b_id"], ["a_id,b_id,n,updated_at", f"A,B,1,{AT}", f"A,C,2,{AT}", f"D,B,3,{AT}"]),
        # A number that happens to differ everywhere is no name.
        (["a_id", "b_id"], ["n,a_id,b_id,updated_at", f"1,A,B,{AT}", f"2,A,C,{AT}", f"3,D,B,{AT}"]),
        # Empty in one row.
        (["b_id"], ["a_id,b_id,updated_at", f",B,{AT}", f"A,C,{AT}", f"B,D,{AT}"]),
        # Without such names.
        (["code"], ["price,code,updated_at", f"1.5,1,{AT}", f"2.5,2,{AT}"]),
        (["region", "code"], ["region,code,n,updated_at", f"A,x,1,{AT}", f"A,y,1,{AT}", f"B,x,1,{AT}"]),
    ],
)
def test_the_key(root: Path, key: list[str], lines: list[str]) -> None:
    columns = made(root, *lines)
    assert columns[None]["key"] == key
    for name in key:
        assert (columns[name]["data_type"], columns[name]["config"]) == ("varchar", {"meta": {"required": True}})
    assert contracts.faults(root) == []


@pytest.mark.fast
def test_the_form_is_that_of_customers(tmp_path: Path) -> None:
    """Written from a sample of customers, the file says what that of customers says, but for what only persons know."""
    shutil.copytree(PROJECT / "macros", tmp_path / "macros")
    header = "customer_id,name,email,country,signed_up_at,cancelled_at,updated_at,is_deleted"
    rows = [f"C{n},N{n},{n}@example.com,DE,{AT},{AT if n else ''},{AT},true" for n in range(3)]
    file, *models = new_table.new_table(tmp_path, "customers", write(tmp_path, header, *rows))
    *models, properties = models
    for model in models:
        assert model.read_text() == (PROJECT / model.relative_to(tmp_path)).read_text()
    ours = {
        *(PROJECT / "models/feeds/customers").glob("*.sql"),
        *(PROJECT / "models/marts/tables").glob("customers*.sql"),
    }
    assert {model.stem for model in models} == {path.stem for path in ours} - {
        "customers_history",
        "versions_customers",
    }

    def shape(path: Path) -> list[dict]:
        found = yaml.safe_load(path.read_text())["models"]
        for model in found:
            del model["description"]
            for column in model["columns"]:
                column.pop("description", None)
                meta = column.get("config", {}).get("meta", {})
                if column["name"] in ("country", "cancelled_at"):
                    meta.pop("rule", None), meta.pop("says", None)
                if not meta:
                    column.pop("config", None)
        return [model for model in found if model["name"] not in ("customers_history", "versions_customers")]

    for one in (file, properties):
        expected, written = shape(PROJECT / one.relative_to(tmp_path)), shape(one)
        for model in expected:  # what production is asked besides is for persons too
            model["data_tests"] = model.get("data_tests", [])[:2]
        for model in written:
            model.setdefault("data_tests", [])
        assert written == expected


@pytest.mark.fast
@pytest.mark.parametrize("header", ["yes,no,updated_at", "y,n,updated_at", "key,null_id,updated_at"])
def test_names_that_yaml_reads_as_something_else(root: Path, header: str) -> None:
    columns = made(root, header, f"a,b,{AT}", f"c,d,{AT}")
    assert [name for name in columns if name][:3] == header.split(",")
    assert contracts.faults(root) == []


@pytest.mark.fast
@pytest.mark.parametrize("name", ["off", "true_", "nan", "things"])
def test_a_table_of_any_name(root: Path, name: str) -> None:
    made(root, "thing_id,updated_at", f"a,{AT}", name=name)
    assert contracts.faults(root) == []


@pytest.mark.fast
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "Which table?"),
        ("Things", "'Things' cannot be the name of a table"),
        ("../things", "cannot be the name of a table"),
        ("1things", "cannot be the name of a table"),
        ("x" * 51, "cannot be the name of a table"),
        ("select", "select is a word of SQL"),
        ("sample", "sample is a word of SQL"),
        ("customers", "There is a model or seed customers already"),
        ("currencies", "There is a model or seed currencies already"),
        ("sales", "There is a model or seed raw_sales already"),
        ("load_ledger", "There is a model or seed load_ledger already"),
    ],
)
def test_a_name_that_is_refused(root: Path, name: str, reason: str) -> None:
    refused(root, name, write(root, "thing_id,updated_at", f"a,{AT}"), reason)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("file", "data", "reason"),
    [
        ("none.csv", None, "is not there, or is no file"),
        ("a.txt", b"a,updated_at\n", "is no CSV by its name"),
        ("a.csv", b"", "0 bytes: not even a header"),
        ("a.csv", b"a,updated_at\n", "has a header and no row"),
        ("a.csv", b"a,updated_at\n\xff,b\n", "record 2: not UTF-8: byte 0xff"),
        ("a.csv", b"a,updated_at\n\0,b\n", "record 2: a NUL byte"),
        ("a.csv", b'a,updated_at\n"x,y\n', "record 2: an unclosed quote"),
        ("a.csv", b"a,updated_at\nx,y,z\n", "record 2: 3 fields, but the header has 2"),
        ("a.csv", b"a,updated_at\nx\n", "record 2: 1 fields, but the header has 2"),
        ("a.csv.gz", b"a,updated_at\nx,y\n", "broken gzip"),
        ("a.csv", b"a,a,updated_at\n", "column a stands more than once in the header"),
        ("a.csv", b"a,A,updated_at\n", "column A, a stands more than once in the header"),
        (
            "a.csv",
            b"a b,updated_at\nx,y\n",
            "The column 'a b' is no plain name. Have the sender rename it, for example to a_b",
        ),
        ("a.csv", b"Name,updated_at\nx,y\n", "for example to name:"),
        ("a.csv", b'"x\'); drop",updated_at\nx,y\n', "for example to x_drop:"),
        ("a.csv", b"order,updated_at\nx,y\n", "The column order is a word of SQL"),
        ("a.csv", b"file_date,updated_at\nx,y\n", "The column file_date is one of the pipeline's own"),
        ("a.csv", b"raw_a,a,updated_at\nx,x,y\n", "The column raw_a is one of the pipeline's own"),
        ("a.csv", b"a,b\nx,y\n", "has no column updated_at. A feed needs it"),
        ("a.csv", b"a,updated_at\nx,\n", "updated_at is empty in record 2"),
        ("a.csv", b"a,updated_at\nx,2024-01-05\n", "updated_at of record 2 of the sample is no timestamp"),
        (
            "a.csv",
            f"a_id,updated_at,is_deleted\nx,{AT},1\n".encode(),
            "is_deleted of record 2 of the sample is no boolean",
        ),
        ("a.csv", f"a_id,n,updated_at\nx,1,{AT}\nx,1.5,{AT}\n".encode(), "can be the key"),
    ],
)
def test_a_sample_that_is_refused(root: Path, file: str, data: bytes | None, reason: str) -> None:
    if data is not None:
        (root / file).write_bytes(data)
    refused(root, "things", root / file, reason)


def refused(root: Path, name: str, sample: Path, reason: str) -> None:
    before = sorted(root.rglob("*"))
    with pytest.raises(new_table.Refused) as refusal:
        new_table.new_table(root, name, sample)
    assert reason in str(refusal.value)
    assert sorted(root.rglob("*")) == before


@pytest.mark.fast
def test_nothing_is_overwritten(root: Path) -> None:
    (root / "models/feeds/things").mkdir()
    refused(root, "things", write(root, "thing_id,updated_at", f"a,{AT}"), "models/feeds/things is there already")


@pytest.mark.fast
def test_the_command(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    sample = write(root, "thing_id,updated_at", f"a,{AT}", name="sample.csv.gz")
    monkeypatch.chdir(root)
    monkeypatch.setattr("sys.argv", ["new-table", "--name=things", f"--sample={sample}"])
    assert new_table.main() == 0
    said = capsys.readouterr().out
    assert "Wrote models/feeds/things/: things.yml, raw_things.sql" in said
    assert "Wrote models/marts/tables/: things.sql, things.yml" in said
    assert "models/feeds/things/things.yml" in said and "dbt build" in said
    assert new_table.main() == 1
    assert capsys.readouterr().err.startswith("There is a model or seed things already")


NAMES = ("yes", "no", "n", "value", "name", "day", "key", "type", "status", "version", "typed", "other_id", "amount")
ODD = st.text(st.characters(blacklist_characters="\0\r", blacklist_categories=("Cs",)), max_size=8)
VALUES = {
    "integers": st.integers(-(10**10), 10**10).map(str),
    "digits": st.text("0123456789+-", min_size=1, max_size=4),
    "decimals": st.decimals(-1000, 1000, places=2, allow_nan=False).map(str),
    "precise": st.decimals(-10, 10, places=3, allow_nan=False).map(str),
    "booleans": st.sampled_from(("true", "false", "True", "FALSE")),
    "times": st.datetimes(datetime(1900, 1, 1), datetime(2099, 1, 1)).map(datetime.isoformat),  # noqa: DTZ001
    "offsets": st.sampled_from((AT, f"{DAY} 23:59:59.25+14:00", f"{DAY}T10:00:00.123456")),
    "days": st.dates().map(str),
    "few": st.sampled_from(("'", '"', "{{ x }}", "# ", "a: b")),
    "odd": ODD,
    "anything": st.one_of(ODD, st.integers().map(str), st.booleans().map(str)),
}


@st.composite
def samples(draw: st.DrawFn) -> bytes:
    """A sample with columns of many kinds, some of their values empty."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    rows = draw(st.integers(1, 6))
    columns: dict[str, list[str]] = {"thing_id": [f"T{number // draw(st.integers(1, 2))}" for number in range(rows)]}
    for name in names:
        value = VALUES[draw(st.sampled_from(sorted(VALUES)))]
        value = st.one_of(value, st.just("")) if draw(st.booleans()) else value
        columns[name] = draw(st.lists(value, min_size=rows, max_size=rows))
    first = datetime.fromisoformat(AT)
    columns["updated_at"] = [(first + timedelta(seconds=number)).isoformat() for number in range(rows)]
    if draw(st.booleans()):
        columns["is_deleted"] = draw(st.lists(st.sampled_from(("true", "false", "")), min_size=rows, max_size=rows))
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([columns, *zip(*columns.values(), strict=True)])
    return out.getvalue().encode()


def test_a_guess_takes_every_row_of_its_sample(project: Project, tmp_path: Path) -> None:
    """As dbt types it, with the contract as it was written: many tables in one build."""
    copy = project.copy(tmp_path / "project")
    taken: list[bytes] = []

    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(samples())
    def collect(data: bytes) -> None:
        sample = copy.root / "sample.csv"
        sample.write_bytes(data)
        new_table.new_table(copy.root, "sampled", sample)
        remove_table(copy.root, "sampled")
        taken.append(data)

    collect()
    # The later ones are the richer ones.
    chosen = list(dict.fromkeys(sorted(taken, key=len)))[-6:]
    landed = {}
    for number, data in enumerate(chosen):
        path = f"raw/sampled_{number}/{DAY}/10/sample.csv"
        landed[path] = data
        (copy.root / "sample.csv").write_bytes(data)
        new_table.new_table(copy.root, f"sampled_{number}", copy.root / "sample.csv")
    assert contracts.faults(copy.root) == []
    warehouse = Warehouse(Project(copy.root, copy.target), tmp_path / "warehouse")
    warehouse.land(landed)
    built = warehouse.dbt("run", "--select", *(f"+typed_sampled_{number}" for number in range(len(chosen))))
    assert not built.broken
    judged = warehouse.query("select source_file, received, valid, commonest_reason from staging.landed_files")
    assert {path: (received, reason) for path, received, valid, reason in judged if received != valid} == {}
    assert {path for path, *_ in judged} == set(landed)
