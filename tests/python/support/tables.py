"""Copies of the project with a table more, of kinds that none of its own is."""

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from orchestration.contracts.words import MODELS, MODELS_OF_A_TABLE
from support.reference import CUSTOMERS, INVENTORY, PRICES
from support.warehouse import Project, Warehouse

# A feed of each kind.
KINDS = (CUSTOMERS, PRICES, INVENTORY)

TIME = "updated_at < file_date + interval '2 days'"
COLUMNS = {
    "product_id": ("varchar", {"required": True}),
    "country": ("varchar", {"required": True}),
    "unit_price": ("decimal(18,2)", {"required": True, "rule": "unit_price >= 0", "says": "is negative"}),
    "updated_at": (
        "timestamp",
        {"required": True, "rule": TIME, "says": "is later than the day after the file's date"},
    ),
    "is_deleted": ("boolean", {"optional": True, "default": False}),
}
LINEAGE = {"source_file": ("varchar", {}), "source_record": ("bigint", {})}


def with_table(
    project: Project, name: str, key: Sequence[str], columns: Mapping[str, tuple[str, dict]], lists: Sequence[str] = ()
) -> None:
    """Adds a table to a copy; what it says of it is JSON, which is YAML."""
    folder, production = project.root / "models" / "feeds" / name, project.root / "models" / "marts" / "tables"
    folder.mkdir()
    for prefix, macro in (MODELS | MODELS_OF_A_TABLE).items():
        more = f", lists={list(lists)}" if prefix == "typed" and lists else ""
        (folder / f"{prefix}_{name}.sql").write_text(f"{{{{ {macro}('{name}'{more}) }}}}\n")
    listed = {
        column: {"name": column, "data_type": data_type, "description": "-", "config": {"meta": meta}}
        for column, (data_type, meta) in (columns | LINEAGE).items()
    }
    feed = {"name": name, "key": list(key), "files": "hourly"}
    to_mend = {"no_file_to_mend": {"name": f"no_{name}_file_to_mend", "arguments": {"feed": name}}}
    contract = {"name": f"typed_{name}", "config": {"meta": {"feed": feed}}, "columns": list(listed.values())}
    newest = {
        "name": f"newest_{name}",
        "config": {"contract": {"enforced": True}},
        "columns": [{key: column[key] for key in ("name", "data_type", "description")} for column in listed.values()],
    }
    (folder / f"{name}.yml").write_text(json.dumps({"models": [contract, newest]}))
    shown = [column for column in newest["columns"] if column["name"] != "is_deleted"]
    (production / f"{name}.yml").write_text(
        json.dumps({"models": [{"name": name, "columns": shown, "data_tests": [to_mend]}]})
    )
    (production / f"{name}.sql").write_text(
        f"{{{{ config(materialized='view', tags=['{name}']) }}}}\n\nselect\n    "
        + ",\n    ".join(column["name"] for column in shown)
        + f"\nfrom {{{{ ref('newest_{name}') }}}}\n"
        + ("where not is_deleted\n" if "is_deleted" in columns else "")
    )


def add_prices(project: Project) -> None:
    """Adds changes of a key of two columns to a copy."""
    with_table(project, "prices", PRICES.key, COLUMNS)


def with_prices(project: Project, root: Path) -> Project:
    """A copy with them."""
    copy = project.copy(root)
    add_prices(copy)
    return copy


def remove_table(root: Path, name: str) -> None:
    """Removes the models of a table from a copy."""
    shutil.rmtree(root / "models" / "feeds" / name)
    for file in (root / "models" / "marts" / "tables").glob(f"{name}*"):
        file.unlink()


# Cells that are often taken for something else, and what none of them is.
CODES = (
    *("007", "1.0", "1e5", "true", "2024-01-01", "2024-01-01 10:00:00", "null", "NULL", "None", "n/a", "NA", "NO", "-"),
    *(
        " x ",
        "\u00e9",
        "it's",
        "back\\slash",
        "#",
        "a,b",
        'say "hi"',
        "two\nlines",
        "{{ 1 / 0 }}",
        "%s",
        "''",
        "\u00a0y",
    ),
)
NO_CODES = ("7", "1", "100000", "True", "x", " x", "e", "Null", "none", "", " ", "its", "slash", "\\", "0", "no")
# What a contract may say, however it is written: of each column its type, what is said, and its default in production.
SAID = {
    "is_text": ("varchar", {"default": "thing_id"}, "thing_id"),
    "quoted": ("text", {"default": "it's \\ '; drop table prod.things; --"}, "it's \\ '; drop table prod.things; --"),
    "whole": ("decimal(18,0)", {"default": 7, "rule": "whole > 0 -- why", "says": "isn't\nabove \\0"}, Decimal(7)),
    "fine": ("decimal(38,37)", {"default": "0.5"}, Decimal("0.5")),
    "spaced": ("DECIMAL(18, 2)", {"default": 1.5}, Decimal("1.5")),
    "zoned": ("timestamp", {"default": "2024-01-01T00:00:00+02:00"}, datetime.fromisoformat("2023-12-31 22:00:00")),
    "plain": ("Timestamp", {"default": "2024-01-01 00:00:00.25"}, datetime.fromisoformat("2024-01-01 00:00:00.250000")),
    "number": ("INTEGER", {"default": 3, "rule": "number > whole\nor number < 100", "says": "x"}, 3),
    "flag": ("boolean", {"default": "TRUE"}, True),
    # The other column is empty: it says nothing.
    "other": ("integer", {"rule": "number > other", "says": "x"}, None),
}


def with_things(project: Project, root: Path) -> Project:
    """A copy with a table whose contract says everything in odd ways; its codes are in a seed without properties."""
    copy = project.copy(root)
    columns = {
        "thing_id": ("varchar", {"required": True}),
        "code": ("varchar", {"listed_in": "codes"}),
        **{name: (data_type, meta) for name, (data_type, meta, _) in SAID.items()},
        "updated_at": ("timestamp", {"required": True}),
    }
    with_table(copy, "things", ["thing_id"], columns, lists=["codes"])
    where = {
        "arguments": {"expression": "code is not null"},
        "config": {"where": "code = 'NO' or code is null -- some"},
    }
    properties = root / "models" / "marts" / "tables" / "things.yml"
    described = json.loads(properties.read_text())
    described["models"][0]["data_tests"] = [{"dbt_expectations.expression_is_true": {"name": "things_where"} | where}]
    properties.write_text(json.dumps(described))
    (root / "seeds" / "codes.csv").write_bytes(
        csv_of(["code", "note"], [*([code, ""] for code in CODES), ["", "a"], [" "]])
    )
    return copy


def things(codes: Sequence[str]) -> bytes:
    """A file of them; what has a default is empty."""
    names = ["thing_id", "code", *SAID, "updated_at"]
    empty = [""] * len(SAID)
    rows = [[f"T{number}", code, *empty, "2024-01-05T10:00:00Z"] for number, code in enumerate(codes)]
    return csv_of(names, rows)


def csv_of(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue().encode()


def things_are_taken_as_the_contract_says(warehouse: Warehouse) -> None:
    """Of the copy with things: accepted values are those of the seed's file, defaults are those of the contract."""
    codes = [*(CODES * 20), *NO_CODES]
    warehouse.land({"raw/things/2024-01-05/10/things.csv": things(codes)})
    built = warehouse.dbt("build", "--select", "+things", "--exclude-resource-type", "test", "unit_test")
    assert not built.broken, built.broken
    found = warehouse.query(f"select distinct code, {', '.join(SAID)} from prod.things")
    defaults = tuple(default for *_, default in SAID.values())
    assert {row[1:] for row in found} == {defaults}
    assert {row[0] for row in found} == {*CODES, None}
    rejected = warehouse.query("select code, reject_reasons from staging.rejected_things")
    assert sorted(rejected) == sorted((code, "code is not listed in codes") for code in NO_CODES if code)
    # Again: a seed is filled anew with every build.
    built = warehouse.dbt("build", "--select", "codes", "things_where")
    assert built.statuses == {"codes": "success", "things_where": "fail"}
    assert built.failures["things_where"] == 1
    seeded = warehouse.query("select code, note from staging.codes")
    assert sorted(seeded, key=str) == sorted([*((code, None) for code in CODES), (None, "a")], key=str)
