"""The documented views and their columns, read from the database: a new view is known as soon as it is there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from sql import query

TYPED = {
    *("smallint", "integer", "bigint", "numeric", "real", "double precision", "boolean", "date"),
    *("timestamp with time zone", "timestamp without time zone"),
}
HIDDEN = "organization_id"  # the same in every row, and a number of this database only


@dataclass(frozen=True)
class Column:
    """A column of an export: its name and its PostgreSQL type as SQL."""

    name: str
    type: str

    @property
    def base(self) -> str:
        """The type without its length or precision."""
        return re.sub(r"\([0-9, ]*\)", "", self.type)

    @property
    def is_text(self) -> bool:
        """Whether it is written as text: everything but numbers, truth, days and times."""
        return self.base not in TYPED


@dataclass(frozen=True)
class View:
    """A documented view: `name` is short, without the version, `columns` are by name, in order."""

    name: str
    schema: str
    relation: str
    columns: dict[str, Column]

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.relation)


def views(connection: psycopg.Connection[Any]) -> dict[str, View]:
    """Every view that the session may export, by its full name and, for the newest version, by its short one."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(query("export_columns").encode()).fetchall()
    found: dict[str, View] = {}
    for row in rows:
        relation = row["relation"]
        short = re.sub(r"_v[0-9]+$", "", relation)
        view = found.setdefault(relation, View(short, row["schema"], relation, {}))
        view.columns[row["name"]] = Column(row["name"], row["type"])
        found[short] = view  # versions come in order: the newest stays
    return found
