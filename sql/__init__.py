"""Numbered migrations, the views of today and named queries: the only place with SQL of any size.

Views: sql/views/<schema>/<view>.sql holds what a view is today, with its comments and grants. `simsight migrate`
applies a file after the numbered migrations when the file has changed or its view is missing. The definitions in
migrations 0007 to 0020 are history. Columns are a contract: a file may add some at the end, another change needs a new
view `_v2`.

A migration that changes a column under a view (ALTER TABLE ... ALTER TYPE, DROP COLUMN) first drops the view and those
that read it, such as DROP VIEW IF EXISTS predictions.alert_history_v1, predictions.alerts_v1. The files make them
again. IF EXISTS, since in a new database a view that no migration made is not there yet. Grants that an administrator
gave on a dropped view by hand are lost.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from importlib import resources
from importlib.resources.abc import Traversable


@dataclass(frozen=True)
class Migration:
    """One numbered file of sql/migrations."""

    version: int
    name: str
    statements: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.statements.encode()).hexdigest()


@dataclass(frozen=True)
class ViewDefinition:
    """One file of sql/views; `name` is the view's name with its schema."""

    name: str
    statements: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.statements.encode()).hexdigest()


@cache
def _queries() -> dict[str, Traversable]:
    """The files below sql/queries by name; a name stands once, whatever its folder."""
    found: dict[str, Traversable] = {}
    folders = [resources.files(__name__) / "queries"]
    for folder in folders:
        for entry in folder.iterdir():
            if entry.is_dir():
                folders.append(entry)
            elif entry.name.endswith(".sql") and found.setdefault(entry.name.removesuffix(".sql"), entry) is not entry:
                raise ValueError(f"sql/queries holds {entry.name} twice: names are unique over all folders")
    return found


@cache
def query(name: str) -> str:
    """The text of <name>.sql in any folder of sql/queries; of `name[part]` with <part>.sql where it says {part}.

    Raises KeyError when there is no such file.
    """
    name, _, part = name.removesuffix("]").partition("[")
    text = _queries()[name].read_text(encoding="utf-8")
    return text.replace("{part}", query(part).rstrip().removesuffix(";")) if part else text


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations in the order of their numbers."""
    files = (resources.files(__name__) / "migrations").iterdir()
    found = [
        Migration(int(file.name[:4]), file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in files
        if file.name.endswith(".sql")
    ]
    return tuple(sorted(found, key=lambda migration: migration.version))


@cache
def view_definitions() -> tuple[ViewDefinition, ...]:
    """All views, each after those that its statements name."""
    schemas = [folder for folder in (resources.files(__name__) / "views").iterdir() if folder.is_dir()]
    return in_order_of_use(
        ViewDefinition(f"{schema.name}.{file.name.removesuffix('.sql')}", file.read_text(encoding="utf-8"))
        for schema in schemas
        for file in schema.iterdir()
        if file.name.endswith(".sql")
    )


def in_order_of_use(views: Iterable[ViewDefinition]) -> tuple[ViewDefinition, ...]:
    """The views by name, but a view that another one uses before it.

    Raises graphlib.CycleError when views use each other in a circle.
    """
    by_name = {view.name: view for view in sorted(views, key=lambda view: view.name)}
    used = {
        name: [word for word in re.findall(r"\w+\.\w+", view.statements) if word in by_name and word != name]
        for name, view in by_name.items()
    }
    return tuple(by_name[name] for name in TopologicalSorter(used).static_order())
