"""Trains a churn model on a table, says how it measures, and writes it with its card to a folder.

.venv/bin/python -m orchestration.churn.train --data FILE.parquet --id customer_id --label churned_flag --out DIR
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from orchestration.churn.errors import ChurnError, RefusedError

UNITS = (("auc", "AUC"), ("average_precision", "average precision"), ("log_loss", "log loss"), ("brier", "Brier score"))


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 if all went well, 1 with a sentence on what did not."""
    options = _options(arguments)
    try:
        lines = _run(options)
    except ChurnError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename or options.out} cannot be written: {error.strerror}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    print("\n".join(lines))
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m orchestration.churn.train",
        description="Train a churn model on a table of one row a customer. Every column of numbers or categories but "
        "the id and the label is a feature.",
    )
    parser.add_argument("--data", required=True, type=Path, metavar="FILE", help="a .parquet, .csv or .csv.gz file")
    parser.add_argument("--id", required=True, metavar="COLUMN", help="what a customer is known by")
    parser.add_argument("--label", required=True, metavar="COLUMN", help="1 for who churned, 0 for who did not")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="for the archive and the card")
    parser.add_argument("--leave-out", action="append", default=[], metavar="COLUMN", help="no feature (repeatable)")
    parser.add_argument("--hold-out", action="store_true", help="train without the tenth that compares daily models")
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace) -> list[str]:
    # They take a second, which a word too many on the command line need not wait for.
    from pyarrow import default_memory_pool

    from orchestration.churn.card import card
    from orchestration.churn.prepared import Columns, prepare
    from orchestration.churn.store import ARCHIVE, PAGE, files
    from orchestration.churn.table import column, read
    from orchestration.churn.training import train

    if options.id == options.label:
        raise RefusedError(f"The id and the label are both {options.id}: they must be two columns.")
    table = read(options.data)
    for name in options.leave_out:
        column(table, name, "to be left out")
    prepared = prepare(table, Columns(options.id, options.label, leave_out=options.leave_out))
    del table
    # Arrow keeps for itself what it has no more use for.
    default_memory_pool().release_unused()
    trained = train(prepared, options.hold_out)
    found = card(trained, options.data.name)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, content in files(trained.model, found).items():
        (options.out / name).write_bytes(content)
    return [*_said(found), f"{options.out / ARCHIVE}, and its card: {options.out / PAGE}"]


def _said(card: dict) -> Iterator[str]:
    data, measured = card["data"], card["measures"]
    yield f"{data['rows']:,} customers, {data['churners']:,} of whom churned; {len(card['features'])} features"
    for name, why in card["left_out"].items():
        yield f"  left out: {name}, {why}"
    yield f"Model AUC: {measured['model']['auc']:.4f}"
    yield f"  on {data['measured_on']:,} customers it was not trained on; beside it logistic regression and base rate:"
    for key, name in UNITS:
        values = "".join(f"{measured[which][key]:>10.4f}" for which in ("model", "logistic_regression", "base_rate"))
        yield f"  {name:<18}{values}"
    yield "  predicted and observed, by tenths:"
    for one in card["calibration"]:
        yield f"  {one['predicted']:>10.4f}{one['observed']:>10.4f}{one['rows']:>8,}"


if __name__ == "__main__":
    sys.exit(main())
