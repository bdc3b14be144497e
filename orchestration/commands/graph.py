"""Draws the DAGs as Mermaid, from their files alone: docs/graph.md, and in the README the steps of daily sales."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
HEADER = "# The DAGs\n\nDrawn by `make graph`."
IN_README = "daily_sales_etl_v2"
# Between these the README has the steps.
BEGIN, END = "<!-- steps: make graph -->\n", "<!-- /steps -->\n"


def pages() -> dict[Path, str]:
    """What the pages with drawings shall say, by file; leaves with Airflow's words if a DAG file cannot be read."""
    # Before Airflow is imported: it makes its home when it is, and logs what it reads.
    os.environ.setdefault("AIRFLOW_HOME", str(PROJECT / ".local" / "graph"))
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(PROJECT / "orchestration" / "dags")
    if bag.import_errors:
        sys.exit("\n".join(bag.import_errors.values()))
    lines = [HEADER]
    for dag_id, dag in sorted(bag.dags.items()):
        lines += [f"\n## {dag_id}\n", dag.description, "\n```mermaid\nflowchart LR", *_draw(dag.task_group, "  ")]
        for task in sorted(dag.tasks, key=lambda task: task.task_id):
            lines += [f"  {_id(task.task_id)} --> {_id(after)}" for after in sorted(task.downstream_task_ids)]
        lines.append("```")
    readme = PROJECT / "README.md"
    steps = "\n".join(["```mermaid", "flowchart LR", *_steps(bag.dags[IN_README]), "```\n"])
    drawn = re.sub(f"{BEGIN}.*?{END}", lambda _: BEGIN + steps + END, readme.read_text(), flags=re.DOTALL)
    return {PROJECT / "docs" / "graph.md": "\n".join(lines) + "\n", readme: drawn}


def main() -> None:
    """Writes the pages."""
    for path, text in pages().items():
        path.write_text(text)


def _steps(dag) -> Iterator[str]:
    """A DAG whose groups are nodes."""
    for name, child in dag.task_group.children.items():
        yield f'  {_id(name)}["{name}"]'
        yield from _colour(name, child, "  ")
    ways = {
        (task.task_id.split(".")[0], after.split(".")[0]) for task in dag.tasks for after in task.downstream_task_ids
    }
    yield from sorted(f"  {before} --> {after}" for before, after in ways if before != after)


def _draw(group, indent: str) -> Iterator[str]:
    # Cosmos gives the models of a group in any order.
    children = group.children.items()
    for name, child in sorted(children) if group.group_id else children:
        label = name.removeprefix(f"{group.group_id}.")
        if hasattr(child, "children"):
            yield f'{indent}subgraph {_id(name)}["{label}"]'
            yield from _draw(child, indent + "  ")
            yield f"{indent}end"
        else:
            yield f'{indent}{_id(name)}["{label}"]'
            yield from _colour(name, child, indent)


def _colour(name: str, child, indent: str) -> Iterator[str]:
    if child.ui_color != type(child).ui_color and not hasattr(child, "children"):
        yield f"{indent}style {_id(name)} fill:{child.ui_color}"


def _id(name: str) -> str:
    return name.replace(".", "__")


if __name__ == "__main__":
    main()
