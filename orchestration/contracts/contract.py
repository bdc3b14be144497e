"""One feed's contract, as its checks see it."""

from __future__ import annotations

from collections.abc import Iterator

from orchestration.contracts.reading import Map, Project
from orchestration.contracts.words import LINEAGE


class Contract:
    """The words of a feed, its columns without and with those that the pipeline adds, and where to tell a fault."""

    def __init__(self, project: Project, name: str, model: str):
        self.project, self.name = project, name
        self.file, self.model = project.described[model]
        self.feed = self.model["config"]["meta"]["feed"]
        self.all_columns = {column["name"]: column for column in self.listed(self.file, self.model)}
        self.columns = {name: column for name, column in self.all_columns.items() if name not in LINEAGE}

    @property
    def is_of_messages(self) -> bool:
        """Whether the feed is of messages, whose values are JSON, and not of files."""
        return self.feed.get("files") == "topics"

    def fault(self, line: int, says: str) -> None:
        """Tells a fault of the contract's own file."""
        self.project.fault(self.file, line, says)

    def listed(self, file: str, model: Map) -> Iterator[Map]:
        """The columns that a model lists; one without a name, or with that of another, is a fault."""
        seen = set()
        for column in model.get("columns") or []:
            line = getattr(column, "line", model.line)
            if not isinstance(column, dict) or not isinstance(column.get("name"), str):
                self.project.fault(file, line, f"A column of {model['name']} has no name. Give it `name:`, as text.")
            elif column["name"] in seen:
                self.project.fault(
                    file, line, f"{model['name']} has the column {column['name']} twice. Remove one of the two."
                )
            else:
                seen.add(column["name"])
                yield column

    def line(self, word: str) -> int:
        """Where a word of the feed stands."""
        return self.feed.lines.get(word, self.feed.line)

    def type(self, name: str) -> str:
        """The type of a column."""
        return str(self.columns[name].get("data_type", "")).lower()
