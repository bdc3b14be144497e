"""`make changed`: builds and tests what differs from production, beside it, and only reads production.

Production is a manifest. dbt's `state:modified` compares with it what stands in a model, a seed or a test, and the
macros that those name when they are read. What it leaves out is compared here: contracts, macros that are called only
at work (by a hook, a materialization, a strategy), and vars.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dbt.cli.main import dbtRunner

LOCAL = Path(".local")
# What is called has a bracket behind its name; what is dispatched or named in a hook stands in quotes, as vars do.
NAMED = re.compile(r"""\b(\w+)\s*\(|['"](\w+)['"]""")
# `duckdb__apply_changes` is one `apply_changes`.
OF_ADAPTER = re.compile(r"^(default|duckdb|snowflake)__")
# What dbt calls by itself for each node of a type.
CALLED_BY_DBT = {"model": ["generate_schema_name"], "seed": ["generate_schema_name"], "test": ["get_where_subquery"]}

Manifest = Mapping[str, Any]


class CannotCompareError(Exception):
    """Says what is missing, for whoever called the command."""


def names_in(text: str) -> set[str]:
    """What a text of SQL and Jinja calls, dispatches or names in quotes."""
    return {OF_ADAPTER.sub("", called or quoted) for called, quoted in NAMED.findall(text)}


def contracts(manifest: Manifest) -> dict[str, tuple[dict, dict]]:
    """Of each feed its words, and of each column in the order of the contract its type and words."""
    found = {}
    for node in manifest["nodes"].values():
        feed = node["config"].get("meta", {}).get("feed") if node["resource_type"] == "model" else None
        if feed:
            columns = {name: (one["data_type"], one["config"]["meta"]) for name, one in node["columns"].items()}
            found[feed["name"]] = (feed, columns)
    return found


def changed_contracts(old: Manifest, new: Manifest) -> dict[str, str]:
    """The model from which on another contract matters, by its feed: the raw one if files are read otherwise."""

    def of_files(feed: dict, columns: dict) -> tuple:
        return feed.get("files"), {name: meta.get("optional") for name, (_, meta) in columns.items()}

    before, changed = contracts(old), {}
    for name, (feed, columns) in contracts(new).items():
        there = before.get(name)
        if there and (there[0] != feed or list(there[1].items()) != list(columns.items())):
            changed[name] = f"{'typed' if of_files(*there) == of_files(feed, columns) else 'raw'}_{name}"
    return changed


def changed_macros(old: Manifest, new: Manifest) -> set[str]:
    """The macros that are new, gone or written otherwise."""
    before, after = ({key: macro["macro_sql"] for key, macro in one["macros"].items()} for one in (old, new))
    differing = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    return {OF_ADAPTER.sub("", key.rpartition(".")[2]) for key in differing}


def changed_vars(old: Path, new: Path) -> set[str]:
    """The vars that two projects set otherwise."""
    before, after = (
        (yaml.safe_load(file.read_text()).get("vars") or {}) if file.exists() else None for file in (old, new)
    )
    if before is None:
        return set()
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def users_of(names: Iterable[str], manifest: Manifest) -> dict[str, set[str]]:
    """Of some macros and vars the nodes that come to use each of them, by whatever way of macros."""
    callers: dict[str, set[str]] = {}
    for macro in manifest["macros"].values():
        for named in names_in(macro["macro_sql"]):
            callers.setdefault(named, set()).add(OF_ADAPTER.sub("", macro["name"]))
    used: dict[str, set[str]] = {}
    for key, node in (manifest["nodes"] | manifest["unit_tests"]).items():
        for named in names_in(_text(node)):
            used.setdefault(named, set()).add(key)
    found = {}
    for name in names:
        reached, waiting = {name}, [name]
        while waiting:
            more = callers.get(waiting.pop(), set()) - reached
            reached |= more
            waiting += more
        found[name] = set().union(*(used.get(one, set()) for one in reached))
    return found


def _text(node: Mapping[str, Any]) -> str:
    """All that a node calls by some name: in its text, its hooks, and by how it is materialized."""
    config = node["config"]
    hooks = [hook["sql"] for when in ("pre-hook", "post-hook") for hook in config.get(when) or []]
    called = [
        *(f"materialization_{config.get('materialized')}_{of}" for of in ("default", "duckdb", "snowflake")),
        f"get_incremental_{config.get('incremental_strategy')}_sql",
        *CALLED_BY_DBT.get(node["resource_type"], []),
    ]
    return "\n".join([node.get("raw_code") or "", *hooks, *(f"{name}()" for name in called)])


def registers(manifest: Manifest) -> set[str]:
    """What a build beside production has for itself, whatever differs: the registers, and the views on them."""
    return {key for key, node in manifest["nodes"].items() if node["fqn"][1:2] == ["registers"] and _is_built(node)}


def touched(roots: set[str], shared: set[str], manifest: Manifest) -> set[str]:
    """What is to be built and tested: some nodes and what descends from them, and the tests that read one of these.

    Tests that read nothing else of that than what all tables share are of another table.
    """
    nodes = manifest["nodes"] | manifest["unit_tests"]
    found, waiting = set(), [key for key in roots if _is_built(nodes[key])]
    while waiting:
        key = waiting.pop()
        if key not in found and key in nodes and _is_built(nodes[key]):
            found.add(key)
            waiting += manifest["child_map"].get(key, [])
    tests = set()
    for key, node in nodes.items():
        parents = _parents(node) & manifest["nodes"].keys()
        if not _is_built(node) and (
            key in roots or (parents - shared) & found or (parents & found and parents <= found | shared)
        ):
            tests.add(key)
    return found | tests


def without_ground(wanted: set[str], missing: set[str], manifest: Manifest) -> tuple[set[str], set[str]]:
    """What of the wanted cannot be built, as it reads what is neither wanted nor in production; and what that is.

    `missing` is what production does not have: a feed that nobody has loaded there yet.
    """
    nodes = manifest["nodes"] | manifest["unit_tests"]
    left_out: set[str] = set()
    while more := {
        key for key in wanted - left_out if _parents(nodes[key]) & (missing - (wanted - left_out) | left_out)
    }:
        left_out |= more
    return left_out, set().union(*(_parents(nodes[key]) for key in left_out)) & missing - left_out


def _parents(node: Mapping[str, Any]) -> set[str]:
    return set(node["depends_on"].get("nodes", ()))


def _is_built(node: Mapping[str, Any]) -> bool:
    return node["resource_type"] in ("model", "seed", "snapshot")


def _git(*command: str) -> bytes:
    try:
        return subprocess.run(["git", *command], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"").decode().strip().removeprefix("fatal: ") or error
        raise CannotCompareError(
            f"git does not know what production is ({said}). Name a commit by BASE=..., or by STATE=... the folder of "
            "production's manifest.json (docs/to-production.md)."
        ) from error


def base_commit(base: str) -> str:
    """The commit that a person names; without one that at which this branch left the main one."""
    if base:
        return _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}").decode().strip()
    known = _git("for-each-ref", "--format=%(refname)").decode().split()
    for branch in ("refs/remotes/origin/HEAD", "refs/heads/main", "refs/remotes/origin/main", "refs/heads/master"):
        if branch in known:
            return _git("merge-base", "HEAD", branch).decode().strip()
    return _git("rev-parse", "HEAD").decode().strip()


def parsed_at(commit: str, target: str) -> Path:
    """The folder of the project as it was at a commit, with its manifest as production has it."""
    folder = LOCAL / "base"
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(io.BytesIO(_git("archive", "--format=zip", commit))) as archive:
        archive.extractall(folder)
    places = ["--project-dir", str(folder), "--profiles-dir", "."]
    _dbt(None, "deps", *places)
    _dbt(None, "parse", *places, "--target", target, "--target-path", str((folder / "target").absolute()))
    return folder


def _dbt(manifest: Any, *command: str) -> Any:
    """What a dbt command comes to, which must end well; it says itself what is wrong."""
    done = dbtRunner(manifest=manifest).invoke(["--quiet", "--no-version-check", *command])
    if not done.success:
        raise CannotCompareError(f"dbt {command[0]} has failed: see above.")
    return done.result


@dataclass(frozen=True)
class Difference:
    """What differs from production, in words; the nodes to build and test; and the models that are gone."""

    said: list[str]
    wanted: set[str]
    gone: list[str]


def difference(old: Manifest, new: Manifest, modified: set[str], variables: set[str]) -> Difference:
    """Compares two manifests, given what dbt finds to be modified and which vars are set otherwise."""
    everything = new["nodes"] | new["unit_tests"]
    models = {node["name"]: key for key, node in new["nodes"].items() if node["resource_type"] == "model"}
    modified = modified & everything.keys()
    by_contract = changed_contracts(old, new)
    users = users_of(changed_macros(old, new) | variables, new)
    gone = [node for key, node in old["nodes"].items() if key not in new["nodes"] and _is_built(node)]
    shared = registers(new)
    roots = modified | {models[name] for name in by_contract.values()} | set().union(*users.values())
    wanted = touched(roots, shared, new)
    said = [
        f"{one['resource_type'].replace('_', ' ')} {one['name']}" for key, one in everything.items() if key in modified
    ]
    said += [f"contract of {feed}" for feed in by_contract]
    said += [
        f"{'var' if name in variables else 'macro'} {name}" + ("" if used else ", which no model, seed or test uses")
        for name, used in users.items()
    ]
    said += [f"{node['resource_type']} {node['name']}, which is gone" for node in gone]
    relations = [f"{node['schema']}.{node['alias']}" for node in gone if node["resource_type"] == "model"]
    return Difference(sorted(said), wanted | shared if wanted or gone else wanted, sorted(relations))


def not_in_production(old: Manifest, new: Manifest, parsed: Any, options: list[str]) -> set[str]:
    """The models and seeds that production does not have: new ones, and those of a feed that was never loaded there."""
    query = ["--inline", "{{ relations_in_production() }}", "--limit", "-1"]
    shown = _dbt(parsed, "show", *query, *options).results[0].agate_table.rows
    there = {(schema, name) for schema, name in shown}
    return {
        key
        for key, node in new["nodes"].items()
        if _is_built(node)
        and (key not in old["nodes"] or (old["nodes"][key]["schema"], old["nodes"][key]["alias"]) not in there)
    }


def changed(state: str, base: str) -> bool:
    """Builds and tests what differs; whether all of it is well."""
    on_snowflake = os.environ.get("DBT_TARGET") == "snowflake"
    target = "snowflake_ci" if on_snowflake else "ci"
    place = LOCAL / "changed" / target
    options = ["--target", target, "--target-path", str(place)]
    if state:
        folder, project, of = Path(state), Path(state) / "dbt_project.yml", state
        if not (folder / "manifest.json").is_file():
            raise CannotCompareError(
                f"{state} has no manifest.json. STATE must be the folder of production's (docs/to-production.md)."
            )
    else:
        commit = base_commit(base)
        root = parsed_at(commit, "snowflake" if on_snowflake else "duckdb")
        folder, project, of = root / "target", root / "dbt_project.yml", f"the commit {commit[:10]}"
    parsed = _dbt(None, "parse", "--write-json", *options)
    old, new = (json.loads((one / "manifest.json").read_text()) for one in (folder, place))
    kinds = [one["metadata"]["adapter_type"] for one in (old, new)]
    if kinds[0] != kinds[1]:
        raise CannotCompareError(f"The manifest in {of} is of {kinds[0]}, and what is to be built is of {kinds[1]}.")
    compare = ["--state", str(folder.absolute()), *options]
    shown = ["--indirect-selection", "empty", "--output", "json", "--output-keys", "unique_id", "--log-level", "none"]
    listed = _dbt(parsed, "ls", "--select", "state:modified", *shown, *compare)
    found = difference(
        old, new, {json.loads(line)["unique_id"] for line in listed}, changed_vars(project, Path("dbt_project.yml"))
    )
    if not found.said:
        print(f"Nothing to do: models, contracts, seeds, macros, tests and vars are those of {of}.")
        return True
    print(f"What differs from {of}:", *found.said, sep="\n  ", flush=True)
    if not found.wanted:
        print("No model, seed or test comes to use any of that: there is nothing to build.")
        return True
    nodes = new["nodes"] | new["unit_tests"]
    left_out, lacking = without_ground(found.wanted, not_in_production(old, new, parsed, options), new)
    wanted = found.wanted - left_out
    if lacking:
        print(
            f"Production has no {', '.join(sorted(nodes[key]['name'] for key in lacking))} yet: what is made of that "
            "is left out.",
            flush=True,
        )
    raw = [nodes[key]["name"] for key in wanted if nodes[key]["config"].get("materialized") == "load_files"]
    _dbt(parsed, "run-operation", "borrow_registers", "--args", json.dumps({"raw": raw}), *options)
    select = [f"fqn:{nodes[key]['name']}" for key in sorted(wanted)]
    done = dbtRunner(manifest=parsed).invoke(
        ["--no-version-check", "build", "--select", *select, "--indirect-selection", "empty", "--defer", *compare]
    )
    if done.exception:
        raise CannotCompareError("dbt build has failed: see above.")
    if forgotten := wanted - {one.node.unique_id for one in done.result.results}:
        raise CannotCompareError(f"This differs and was not built: {', '.join(sorted(forgotten))}.")
    for relation in found.gone:
        print(f"{relation} stays in production until somebody drops it (docs/remove-a-table.md).")
    return done.success


def main() -> int:
    """The command; 0 if nothing differs, or what does is well."""
    parser = argparse.ArgumentParser(prog="make changed", description=__doc__)
    parser.add_argument("--state", default="", help="folder of production's manifest.json")
    parser.add_argument("--base", default="", help="commit that production is of, if there is no such folder")
    options = parser.parse_args()
    try:
        return 0 if changed(options.state, options.base) else 1
    except CannotCompareError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
