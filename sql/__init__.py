"""Numbered migrations and named queries: the only place with SQL of any size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
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
