"""What the columns of a table are, as its migrations say: for those who show them without a database at hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from sql import migrations

_CREATED = re.compile(r"^CREATE TABLE (?:IF NOT EXISTS )?([\w.]+) \((.*?)^\)", re.MULTILINE | re.DOTALL)
_ALTERED = re.compile(r"^ALTER TABLE ([\w.]+)\s(.*?);", re.MULTILINE | re.DOTALL)
_ADDED = re.compile(r"ADD COLUMN (\w+) ([a-z]+(?: precision)?(?:\[\])?)")
_RETYPED = re.compile(r'ALTER COLUMN (\w+) TYPE ("?[a-z]+"?(?: precision)?)')
_COLUMN = re.compile(r'^ {4}([a-z_0-9]+) ("?[a-z]+"?(?: precision)?(?:\([0-9, ]+\))?(?:\[\])?)', re.MULTILINE)
_DROPPED = re.compile(r"DROP COLUMN (\w+)")
_COMMENT = re.compile(r"^COMMENT ON COLUMN ([\w.]+)\.(\w+) IS\s+((?:'(?:[^']|'')*'\s*)+);", re.MULTILINE)
NO_COLUMN = {"primary", "unique", "check", "foreign", "constraint", "exclude", "like"}


@dataclass(frozen=True)
class TableColumn:
    """A column: its name, its type as the migration writes it, and its comment."""

    name: str
    type: str
    comment: str


def table_columns(table: str) -> list[TableColumn]:
    """The columns of a table (with its schema), in order; none of a table that no migration makes."""
    comments = _comments()
    return [
        TableColumn(name, kind, comments.get((table, name), "")) for name, kind in _columns().get(table, {}).items()
    ]


@cache
def _columns() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for migration in migrations():
        for table, body in _CREATED.findall(migration.statements):
            columns = {name: kind for name, kind in _COLUMN.findall(body) if name.lower() not in NO_COLUMN}
            found[table] = columns
        for table, body in _ALTERED.findall(migration.statements):
            columns = found.setdefault(table, {})
            columns |= dict(_ADDED.findall(body)) | {
                name: kind for name, kind in _RETYPED.findall(body) if name in columns
            }
            for name in _DROPPED.findall(body):
                columns.pop(name, None)
    return found


@cache
def _comments() -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for migration in migrations():
        for table, column, text in _COMMENT.findall(migration.statements):
            found[table, column] = "".join(re.findall(r"'((?:[^']|'')*)'", text)).replace("''", "'")
    return found
