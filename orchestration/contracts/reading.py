"""Reads what a project says of its models, with the lines in which it says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from orchestration.contracts.words import PROJECT


class _Lines(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """Reads YAML into plain values that know their line."""


class Map(dict):
    """A mapping, with its line and those of its keys."""

    line = 0
    lines: dict[str, int]


class List(list):
    """A list, with its line."""

    line = 0


def _map(loader: _Lines, node: yaml.MappingNode) -> Iterator[Map]:
    value = Map()
    value.line = node.start_mark.line + 1
    yield value
    value.update(loader.construct_mapping(node, deep=True))
    value.lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}


def _list(loader: _Lines, node: yaml.SequenceNode) -> Iterator[List]:
    value = List()
    value.line = node.start_mark.line + 1
    yield value
    value.extend(loader.construct_sequence(node, deep=True))


_Lines.add_constructor("tag:yaml.org,2002:map", _map)
_Lines.add_constructor("tag:yaml.org,2002:seq", _list)


@dataclass(frozen=True, order=True)
class Fault:
    """What is wrong with a contract, where, and what to do."""

    file: str
    line: int
    says: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.says}"


@dataclass
class Project:
    """What the checks need to know of a dbt project."""

    root: Path
    # Of every model in a properties file: the file and what it says.
    described: dict[str, tuple[str, Map]] = field(default_factory=dict)
    models: dict[str, Path] = field(default_factory=dict)
    seeds: dict[str, Path] = field(default_factory=dict)
    # The contract's model by the name of its feed.
    feeds: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def path(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()

    def fault(self, file: str, line: int, says: str) -> None:
        self.faults.append(Fault(file, line, says))


def read(root: Path = PROJECT) -> Project:
    """Reads the names of all models, seeds and feeds; what cannot be read, or has a name twice, is a fault."""
    project = Project(root)
    for folder, suffix, found in (("models", "sql", project.models), ("seeds", "csv", project.seeds)):
        for file in sorted((root / folder).rglob(f"*.{suffix}")):
            if first := (project.models | project.seeds).get(file.stem):
                what = f"{project.path(first)} has the name {file.stem} already. Rename one of the two."
                project.fault(project.path(file), 1, what)
            else:
                found[file.stem] = file
    for file in sorted(path for path in (root / "models").rglob("*.y*ml") if path.suffix in (".yml", ".yaml")):
        _read_properties(project, file)
    return project


def _read_properties(project: Project, file: Path) -> None:
    name = project.path(file)
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _Lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        project.fault(name, line, f"This is no YAML: {error.problem}.")
        return
    except (UnicodeDecodeError, yaml.YAMLError):
        project.fault(name, 1, "This is no YAML: it has characters that are not UTF-8 or may not stand in YAML.")
        return
    for model in (content.get("models") if isinstance(content, dict) else None) or []:
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            project.fault(name, getattr(model, "line", 1), "A model without a name. Give it `name:`, as text.")
            continue
        if model["name"] in project.described:
            other, first = project.described[model["name"]]
            what = f"The model {model['name']} is described in {other}:{first.line} already. Remove one of the two."
            project.fault(name, model.line, what)
            continue
        project.described[model["name"]] = (name, model)
        feed = within(model, "config", "meta").get("feed")
        if feed is None:
            continue
        if not isinstance(feed, dict) or not isinstance(feed.get("name"), str):
            project.fault(name, model.line, "The feed has no name. Write `feed: {name: ..., key: [...]}`.")
        elif feed["name"] in project.feeds:
            other, first = project.described[project.feeds[feed["name"]]]
            what = f"The feed {feed['name']} has its contract in {other}:{first.line} already. Rename one of the two."
            project.fault(name, feed.line, what)
        else:
            project.feeds[feed["name"]] = model["name"]


def within(value: object, *words: str) -> Map:
    """The mapping below some words; an empty one if there is none."""
    for word in words:
        value = value.get(word) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else Map()
