"""`make new-table`: writes the models of a new table, with a contract guessed from a sample of its files.

What it cannot know it marks with `# check:`. It never overwrites anything.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import duckdb
import jinja2
import yaml

from orchestration.contracts.reading import read
from orchestration.contracts.words import LINEAGE, MODELS, MODELS_OF_A_TABLE, NAME, reserved_words, typing_macros
from orchestration.landing.inspection import inspect
from orchestration.landing.listing import Feed
from orchestration.landing.records import uneven_record
from orchestration.landing.sql import CSV_OPTIONS, literal, pattern

TEMPLATE = Path(__file__).with_name("new_table.yml.jinja")
# In the order of what takes less.
TYPES = ("boolean", "integer", "decimal(18,2)", "timestamp")
WIDE = "decimal(38,9)"
KNOWN = {
    "updated_at": "Time of this version, UTC; the newest version wins.",
    "is_deleted": "Whether this version says that the key is deleted; a file may lack the column.",
}
NOT_LATER = (
    "{required: true, rule: \"updated_at < file_date + interval '2 days'\", "
    "says: is later than the day after the file's date}"
)
IS_DELETED = "{optional: true, default: false}"
# Of a text with so few different values, each this often, they are told to the person.
FEW_VALUES = 6


class Refused(Exception):
    """Why there is no new table, in plain words."""


@dataclass
class Column:
    """A column of the sample and what is guessed of it."""

    name: str
    values: int = 0
    different: int = 0
    leading_zeros: int = 0
    # By type: how many values are of it, and the first record whose value is not.
    fits: dict[str, int] = field(default_factory=dict)
    misfit: dict[str, int | None] = field(default_factory=dict)
    data_type: str = "varchar"
    description: str = ""
    meta: str = ""
    comments: list[str] = field(default_factory=list)


@dataclass
class Sample:
    """The sample as DuckDB holds it: a table `sample`, every column text, null where it is empty."""

    database: duckdb.DuckDBPyConnection
    columns: dict[str, Column]
    rows: int

    def number(self, query: str) -> int:
        return self.database.execute(query).fetchone()[0]


def new_table(root: Path, name: str, file: Path) -> list[Path]:
    """Writes the models of a table below `root`; returns the files."""
    _check_name(root, name)
    macros = typing_macros(root)

    def typed(value: str, data_type: str) -> str:
        return macros.typed(value, data_type).strip()

    sample = read_sample(file, typed)
    key = guess(name, sample, typed)
    files = {f"{name}.yml": _properties(name, sample, key)}
    for prefix, macro in (MODELS | MODELS_OF_A_TABLE).items():
        files[f"{prefix}_{name}.sql" if prefix else f"{name}.sql"] = f"{{{{ {macro}('{name}') }}}}\n"
    folder = root / "models" / "tables" / name
    folder.mkdir(parents=True)
    for path, text in files.items():
        (folder / path).write_text(text, encoding="utf-8")
    return [folder / path for path in files]


def _check_name(root: Path, name: str) -> None:
    if not name:
        raise Refused("Which table? make new-table NAME=support_tickets SAMPLE=path/to/a_file.csv")
    if not NAME.fullmatch(name):
        raise Refused(
            f"{name!r} cannot be the name of a table. Use lower-case letters, digits and _, a letter first, "
            "50 characters at most."
        )
    if name in reserved_words():
        raise Refused(f"{name} is a word of SQL. Choose another name, for example {name}_rows.")
    project = read(root)
    taken = {*project.models, *project.described, *project.seeds}
    for wanted in (name, *(f"{prefix}_{name}" for prefix in (*MODELS, "newest"))):
        if wanted in taken:
            raise Refused(f"There is a model or seed {wanted} already. Choose another name; nothing was written.")
    if name in project.feeds:
        raise Refused(f"There is a feed {name} already. Choose another name; nothing was written.")
    if (root / "models" / "tables" / name).exists():
        raise Refused(f"models/tables/{name} is there already. Choose another name, or remove it; nothing was written.")


def read_sample(file: Path, typed: Callable[[str, str], str]) -> Sample:
    """Reads a sample as strictly as a landed file, and counts what a guess needs."""
    if not file.is_file():
        raise Refused(f"The sample {file} is not there, or is no file. SAMPLE is the path of a .csv or .csv.gz file.")
    if not file.name.endswith((".csv", ".csv.gz")):
        raise Refused(f"The sample {file} is no CSV by its name. It must end in .csv or .csv.gz.")
    zipped = file.name.endswith(".gz")
    try:
        seen = inspect(lambda: file.open("rb"), zipped, Feed("sample", ()))
    except OSError as error:
        raise Refused(f"The sample {file} cannot be read: {error.strerror or error}.") from error
    if seen.problem:
        where = f", record {seen.record}" if seen.record else ""
        raise Refused(f"The sample {file} cannot be used{where}: {seen.problem}.")
    _check_columns(seen.columns)
    database = duckdb.connect()
    declared = ", ".join(f"'{name}': 'varchar'" for name in seen.columns)
    values = ", ".join(f"nullif({name}, '') as {name}" for name in seen.columns)
    try:
        database.execute(
            f'create table sample as select row_number() over () + 1 as "record number", {values} '
            f"from read_csv({literal(pattern(str(file)))}, {CSV_OPTIONS}, "
            f"strict_mode = {literal(not seen.mixed)}, columns = {{{declared}}})"
        )
    except duckdb.Error as error:
        problem, record = uneven_record(lambda: file.open("rb"), zipped)
        where = f", record {record}" if record else ""
        problem = problem or "DuckDB does not read it; write it anew, without gzip, under a plain name"
        raise Refused(f"The sample {file} is no well-formed CSV{where}: {problem}.") from error
    sample = Sample(database, {name: Column(name) for name in seen.columns}, 0)
    sample.rows = sample.number("select count(*) from sample")
    if not sample.rows:
        raise Refused(f"The sample {file} has a header and no row. Take one with some dozens of real rows.")
    _count(sample, typed)
    return sample


def _check_columns(names: Sequence[str]) -> None:
    reserved = reserved_words()
    for name in names:
        if not NAME.fullmatch(name):
            plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:40] or "column"
            plain = plain if plain[0].isalpha() else f"c_{plain}"
            raise Refused(
                f"The column {name!r} is no plain name. Have the sender rename it, for example to {plain}: "
                "lower-case letters, digits and _, a letter first, 50 characters at most."
            )
        if name in reserved:
            raise Refused(
                f"The column {name} is a word of SQL. Have the sender rename it, for example to {name}_value."
            )
        if name in LINEAGE or (name.startswith("raw_") and name[4:] in names):
            raise Refused(f"The column {name} is one of the pipeline's own. Have the sender rename it.")
    if "updated_at" not in names:
        raise Refused(
            "The sample has no column updated_at. A feed needs it: the time at which the sender last changed the row, "
            "by which the newest version wins."
        )


def _count(sample: Sample, typed: Callable[[str, str], str]) -> None:
    for column in sample.columns.values():
        name = column.name
        measures = [
            f"count({name})",
            f"count(distinct {name})",
            f"count(case when {name} similar to '0[0-9]+' then 1 end)",
        ]
        for data_type in (*TYPES, WIDE):
            value = typed(name, data_type)
            measures += [
                f"count({value})",
                f'min(case when {name} is not null and {value} is null then "record number" end)',
            ]
        row = sample.database.execute(f"select {', '.join(measures)} from sample").fetchone()
        column.values, column.different, column.leading_zeros, *rest = row
        column.fits = dict(zip((*TYPES, WIDE), rest[::2], strict=True))
        column.misfit = dict(zip((*TYPES, WIDE), rest[1::2], strict=True))


def guess(table: str, sample: Sample, typed: Callable[[str, str], str]) -> list[str]:
    """Guesses each column's type and whether it is required; returns the key."""
    updated_at, is_deleted = sample.columns["updated_at"], sample.columns.get("is_deleted")
    if updated_at.values < sample.rows:
        empty = sample.number('select min("record number") from sample where updated_at is null')
        raise Refused(f"updated_at is empty in record {empty} of the sample. Every row needs it.")
    for column, data_type, example in (
        (updated_at, "timestamp", "2024-01-05T10:00:00Z"),
        (is_deleted, "boolean", "true or false"),
    ):
        if column and column.fits[data_type] < column.values:
            raise Refused(
                f"{column.name} of record {column.misfit[data_type]} of the sample is no {data_type}. "
                f"Have the sender write it like this: {example}."
            )
    for column in sample.columns.values():
        _guess_column(sample, column)
    key = _guess_key(table, sample, typed)
    for name in key:
        column = sample.columns[name]
        column.data_type, column.meta = "varchar", "{required: true}"
        column.comments = ["say what it means."]
    sample.columns.setdefault("is_deleted", Column("is_deleted", description=json.dumps(KNOWN["is_deleted"])))
    updated_at.data_type, updated_at.meta, updated_at.comments = "timestamp", NOT_LATER, []
    is_deleted = sample.columns["is_deleted"]
    is_deleted.data_type, is_deleted.meta, is_deleted.comments = "boolean", IS_DELETED, []
    return key


def _guess_column(sample: Sample, column: Column) -> None:
    name, values = column.name, column.values
    column.description = json.dumps(KNOWN.get(name, f"{name}, as the sender has it."))
    if values == sample.rows:
        column.meta, often = "{required: true}", "never is"
    else:
        often = f"is in {sample.rows - values} of {_rows(sample.rows)}"
    column.comments = [f"say what it means. May it be empty? In the sample it {often}."]
    fitting = [data_type for data_type in TYPES if values and column.fits[data_type] == values]
    if not values:
        column.comments.append("without any value its type is unknown.")
    elif name.endswith("_id"):  # a name, whatever it is made of
        return
    elif column.leading_zeros and fitting:
        column.comments.append("digits with a leading zero, which a number would lose, so it is text.")
    elif fitting:
        column.data_type = fitting[0]
    elif column.fits[WIDE] == values:
        column.comments.append(f"numbers, but not of decimal(18,2). Should it be {WIDE}, or one between?")
    else:
        nearest = max(TYPES, key=column.fits.__getitem__)
        others = values - column.fits[nearest]
        if others * 10 <= values:
            record = column.misfit[nearest]
            column.comments.append(
                f"all but {others} of {values} values are {nearest}; that of record {record} is not."
            )
        elif column.different <= FEW_VALUES and column.different * 3 <= values:
            found = sample.database.execute(f"select distinct {name} from sample where {name} is not null order by 1")
            texts = [json.dumps(text if len(text) <= 40 else f"{text[:40]}...") for (text,) in found.fetchall()]
            column.comments.append(f"only {', '.join(texts)} in the sample. A rule would take nothing else.")


def _guess_key(table: str, sample: Sample, typed: Callable[[str, str], str]) -> list[str]:
    """The smallest set of columns, one or two, that is never empty and of which no two rows are the newest; rather
    names in _id, first that of the table itself, then the one of most values. Without such names, rows must differ
    altogether."""
    whole = [column.name for column in sample.columns.values() if column.values == sample.rows]
    whole = [name for name in whole if name not in KNOWN]
    ids = [name for name in whole if name.endswith("_id")]
    others = [name for name in whole if sample.columns[name].data_type in ("varchar", "integer")]
    names = ", ".join(sample.columns)
    sample.database.execute(
        f'create table versions as select *, {typed("updated_at", "timestamp")} as "newest version" '
        f"from (select distinct {names} from sample)"
    )
    rows = sample.number("select count(*) from versions")

    def ties(key: Sequence[str]) -> int:
        return sample.number(
            f"select count(*) from (select 1 from versions "
            f'qualify rank() over (partition by {", ".join(key)} order by "newest version" desc) = 1 '
            f'and count(*) over (partition by {", ".join(key)}, "newest version") > 1)'
        )

    def different(key: Sequence[str]) -> int:
        return sample.number(f"select count(*) from (select distinct {', '.join(key)} from versions)")

    def own(key: Sequence[str]) -> bool:
        return len(key) == 1 and table.removesuffix("s").endswith(key[0].removesuffix("_id"))

    for candidates, good in (
        (combinations(ids, 1), lambda key: not ties(key)),
        (combinations(ids, 2), lambda key: not ties(key)),
        (combinations(others, 1), lambda key: different(key) == rows),
        (combinations(others, 2), lambda key: different(key) == rows),
    ):
        if found := [key for key in candidates if good(key)]:
            # Of several that are as good, the first.
            return list(max(found, key=lambda key: (own(key), different(key))))
    raise Refused(
        "No column of the sample, and no two together, can be the key: each is empty somewhere, or has the same value "
        "in two different rows of one updated_at. Take another sample, or write the table by hand, like "
        "models/tables/inventory."
    )


def _properties(name: str, sample: Sample, key: Sequence[str]) -> str:
    environment = jinja2.Environment(keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    environment.filters["quoted"] = quoted
    named = list(sample.columns)
    keys = sample.number(f"select count(*) from (select distinct {', '.join(key)} from versions)")
    comment = f"the key. {' and '.join(key)} took {keys} value{'s' * (keys != 1)} in {_rows(sample.rows)}"
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=name,
        quoted=quoted,
        key=key,
        key_comment=comment + ("; the other rows are older versions." if keys < sample.rows else "."),
        rows=_rows(sample.rows),
        columns=sample.columns.values(),
        contract=", ".join(f"*{column}" for column in named),
        shown=", ".join(
            f"*{column}" for column in (*(one for one in named if one != "is_deleted"), "source_file", "source_record")
        ),
    )


def quoted(text: str) -> str:
    """A text as YAML, in quotes only where it would be something else without them."""
    return text if yaml.safe_load(text) == text else json.dumps(text)


def _rows(number: int) -> str:
    return f"{number:,} row{'s' * (number != 1)}"


def _said(root: Path, name: str, files: Sequence[Path]) -> Iterator[str]:
    yield f"Wrote models/tables/{name}/: {', '.join(file.name for file in files)}"
    yield "Next:"
    yield f"  1. Go through the lines with `# check:` in {files[0].relative_to(root)}."
    yield f"  2. Land files below raw/{name}/<date>/<hour>/, for example raw/{name}/2024-01-05/09/{name}.csv."
    yield "  3. .venv/bin/dbt build"


def main() -> int:
    """The command; 0 if the table is written."""
    parser = argparse.ArgumentParser(prog="make new-table", description=__doc__)
    parser.add_argument("--name", default="", help="of the table, and of its folder in the landing zone")
    parser.add_argument(
        "--sample", default="", help="a .csv or .csv.gz file such as will land, with some dozens of rows"
    )
    options = parser.parse_args()
    try:
        files = new_table(Path.cwd(), options.name, Path(options.sample))
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 1
    print("\n".join(_said(Path.cwd(), options.name, files)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
