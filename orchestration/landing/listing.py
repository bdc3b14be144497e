"""Which files of a feed are in a landing zone."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from orchestration.landing.zones import FILE_OF_A_DAY, LandedFile, Zone

MUST_HOLD_RAW = (
    "LANDING_ROOT must be the folder or bucket that holds raw/; in Airflow PIPELINES_BUCKET and PIPELINES_PREFIX say "
    "which one it is."
)

FILE_OF_AN_HOUR = re.compile(r"([01][0-9]|2[0-3])/[^/]+\.csv(\.gz)?")


@dataclass(frozen=True)
class Feed:
    """One kind of file: the contract's columns in their order, those of them that a file may lack, and whether its
    files come by the hour."""

    name: str
    columns: Sequence[str]
    optional: Collection[str] = ()
    hourly: bool = False


def landed_files(zone: Zone, feed: Feed, run_date: date | None) -> tuple[list[LandedFile], list[str]]:
    """Lists the files of a feed, of one day or of all, in the order of their paths.

    Returns the `.csv` and `.csv.gz` files that stand directly in `raw/<feed>/<date>/`, of an hourly feed in
    `raw/<feed>/<date>/<hour>/`, and the paths of anything else there.
    """
    base = f"raw/{feed.name}/"
    in_day = FILE_OF_AN_HOUR if feed.hourly else FILE_OF_A_DAY
    found, others = [], []
    for path, url, fingerprint in zone.entries(f"{base}{run_date}/" if run_date else base, 4 if feed.hourly else 3):
        if (name := path.encode(errors="replace").decode()) != path:
            others.append(name)
            continue
        day, _, name = path.removeprefix(base).partition("/")
        try:
            file_date = date.fromisoformat(day) if re.fullmatch(r"\d{4}-\d{2}-\d{2}", day) else None
        except ValueError:
            file_date = None
        if file_date and in_day.fullmatch(name):
            found.append(LandedFile(path, url, file_date, fingerprint))
        elif not path.endswith("/"):
            others.append(path)
    return sorted(found, key=lambda file: file.path), sorted(others)


def none_ever(zone_root: object, feed: Feed, run_date: date | None) -> str:
    """What to say where no file of a feed is and none was before: most often it is looked for in the wrong place."""
    folder = f"raw/{feed.name}/{run_date or '<YYYY-MM-DD>'}/{'<HH>/' if feed.hourly else ''}"
    return (
        f"Nothing to do: there is no {str(zone_root).rstrip('/')}/{folder}*.csv or *.csv.gz, and no file of "
        f"{feed.name} was ever found; if there should be, {MUST_HOLD_RAW}"
    )
