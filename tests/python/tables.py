"""A copy of the project with one table more, of a kind that none of its own is: changes of a key of two columns."""

import json
from pathlib import Path

from reference import CUSTOMERS, INVENTORY, PRICES
from warehouse import Project

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
MODELS = {
    "raw_prices": "raw_rows",
    "typed_prices": "typed_rows",
    "clean_prices": "clean_rows",
    "rejected_prices": "rejected_rows",
    "newest_prices": "newest_rows",
    "prices": "current_rows",
}


def with_prices(project: Project, root: Path) -> Project:
    """The copy; what it says of prices is JSON, which is YAML."""
    copy = project.copy(root)
    folder = root / "models" / "tables" / "prices"
    folder.mkdir()
    for model, macro in MODELS.items():
        (folder / f"{model}.sql").write_text(f"{{{{ {macro}('prices') }}}}\n")
    listed = {
        name: {"name": name, "data_type": data_type, "config": {"meta": meta}}
        for name, (data_type, meta) in (COLUMNS | LINEAGE).items()
    }
    feed = {"name": "prices", "key": list(PRICES.key), "files": "hourly"}
    models = [
        {"name": "newest_prices", "config": {"contract": {"enforced": True}, "meta": {"feed": feed}}},
        {"name": "prices"},
    ]
    to_mend = {"no_file_to_mend": {"name": "no_prices_file_to_mend", "arguments": {"feed": "prices"}}}
    models[1]["data_tests"] = [to_mend]
    models[0]["columns"] = list(listed.values())
    models[1]["columns"] = [column for name, column in listed.items() if name != "is_deleted"]
    (folder / "prices.yml").write_text(json.dumps({"models": models}))
    return copy
