"""`make new-table`: writes the models of a new table, with a contract guessed from a sample of its files.

What it cannot know it marks with `# check:`. It never overwrites anything.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import jinja2
import yaml

from orchestration.commands.sample import Refused, Sample, guess, read_sample, rows_in_words
from orchestration.contracts.reading import read
from orchestration.contracts.words import MODELS, MODELS_OF_A_TABLE, NAME, reserved_words, typing_macros

# Of its contract, of what readers see, and of the properties of that.
TEMPLATES = Path(__file__).parent


def new_table(root: Path, name: str, file: Path) -> list[Path]:
    """Writes the models of a table below `root`; returns the files."""
    _check_name(root, name)
    macros = typing_macros(root)

    def typed(value: str, data_type: str) -> str:
        return macros.typed(value, data_type).strip()

    sample = read_sample(file, typed)
    key = guess(name, sample, typed)
    feed, production = root / "models" / "feeds" / name, root / "models" / "marts" / "tables"
    files = {feed / f"{name}.yml": _rendered("new_table.yml.jinja", name, sample, key)}
    for prefix, macro in (MODELS | MODELS_OF_A_TABLE).items():
        files[feed / f"{prefix}_{name}.sql"] = f"{{{{ {macro}('{name}') }}}}\n"
    files[production / f"{name}.sql"] = _rendered("new_table_in_prod.sql.jinja", name, sample, key)
    files[production / f"{name}.yml"] = _rendered("new_table_in_prod.yml.jinja", name, sample, key)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(files)


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
    if (root / "models" / "feeds" / name).exists():
        raise Refused(f"models/feeds/{name} is there already. Choose another name, or remove it; nothing was written.")


def _rendered(template: str, name: str, sample: Sample, key: Sequence[str]) -> str:
    environment = jinja2.Environment(keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    environment.filters["quoted"] = quoted
    named = list(sample.columns)
    keys = sample.number(f"select count(*) from (select distinct {', '.join(key)} from versions)")
    comment = f"the key. {' and '.join(key)} took {keys} value{'s' * (keys != 1)} in {rows_in_words(sample.rows)}"
    return environment.from_string((TEMPLATES / template).read_text(encoding="utf-8")).render(
        name=name,
        quoted=quoted,
        key=key,
        key_comment=comment + ("; the other rows are older versions." if keys < sample.rows else "."),
        rows=rows_in_words(sample.rows),
        columns=sample.columns.values(),
        contract=", ".join(f"*{column}" for column in named),
    )


def quoted(text: str) -> str:
    """A text as YAML, in quotes only where it would be something else without them."""
    return text if yaml.safe_load(text) == text else json.dumps(text)


def _said(root: Path, name: str, files: Sequence[Path]) -> Iterator[str]:
    for folder, inside in groupby(files, key=lambda file: file.parent.relative_to(root)):
        yield f"Wrote {folder}/: {', '.join(file.name for file in inside)}"
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
