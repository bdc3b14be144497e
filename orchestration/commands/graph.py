"""Draws the DAGs as Mermaid, from their files alone: writes docs/graph.md."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
HEADER = "# The DAGs\n\nDrawn by `make graph`: every dbt model is a task in the group of its folder."


def main() -> None:
    """Draws all DAGs on one page."""
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
    (PROJECT / "docs" / "graph.md").write_text("\n".join(lines) + "\n")


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
            if child.ui_color != type(child).ui_color:
                yield f"{indent}style {_id(name)} fill:{child.ui_color}"


def _id(name: str) -> str:
    return name.replace(".", "__")


if __name__ == "__main__":
    main()
