"""Numbered migrations and named queries: the only place with SQL of any size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources


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
def query(name: str) -> str:
    """The text of sql/queries/<name>.sql; of `name[part]` with <part>.sql where it says {part}. Raises FileNotFoundError."""
    name, _, part = name.removesuffix("]").partition("[")
    text = (resources.files(__name__) / "queries" / f"{name}.sql").read_text(encoding="utf-8")
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
