"""The data dictionary: every table, view and column of the database, as their comments in it say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from resources.database.session import Database

COMMAND = "simsight data-dictionary"
HEAD = f"""\
# Data dictionary

Made by `{COMMAND}` from the comments in the database: to change it, change a comment (of a view in
`sql/views`, of a table by a migration). [data.md](data.md) explains what belongs together, [models.md](models.md) what
predicted numbers mean.

Read the published views: their columns are a contract. Tables may change with each version. Wherever there is a column
`organization_id`, a session sees the rows of its own organization only. Names say units: `_minor` is cents and the
like, `_at` a time, `_on` and `day` a UTC day. A volume is in bytes, millionths of a MB, unless `_mb` says MB.

Who may read: `pipeline` is a login with the role `simsight_pipeline`, `service` one with `simsight_api`, `downstream`
one that `simsight downstream create` made. The owner (`simsight_owner`) reads all.
"""
SCHEMAS = {
    "core": "What 1NCE, files and the Data Streamer told",
    "predictions": "What models and rules made of it, and what people decided",
    "ops": "What the program needs to run: keys, runs, messages, logs",
    "raw": "Answers as they came",
}
READERS = {"simsight_pipeline": "pipeline", "simsight_api": "service", "simsight_downstream": "downstream"}
PUBLISHED = re.compile(r"_v[0-9]+$")

Columns = Sequence[dict[str, Any]]


def data_dictionary(database: Database) -> str:
    """The dictionary of a migrated database as Markdown: published views first, then all else by schema."""
    with database.transaction() as transaction:
        rows = transaction.rows("data_dictionary")
    relations = [list(columns) for _, columns in groupby(rows, lambda row: (row["schema"], row["relation"]))]
    published = [columns for columns in relations if _is_published(columns[0])]
    rest = [columns for columns in relations if not _is_published(columns[0])]
    lines = [HEAD, "## Published views\n", _links(published)]
    for columns in published:
        lines += _section(columns)
    for schema, meaning in SCHEMAS.items():
        of_schema = [columns for columns in rest if columns[0]["schema"] == schema]
        tables = [columns for columns in of_schema if not columns[0]["is_view"] or _is_described(columns)]
        lines += [f"## Schema {schema}\n", f"{meaning}.\n", _links(tables)]
        helpers = [columns[0] for columns in of_schema if columns not in tables]
        if helpers:
            lines.append("Views for the program's own queries:\n")
            lines += [f"- `{_name(view)}`: {_cell(view['relation_comment'])}" for view in helpers] + [""]
        for columns in tables:
            lines += _section(columns)
    return "\n".join(lines).rstrip() + "\n"


def _is_published(first: dict[str, Any]) -> bool:
    return first["is_view"] and PUBLISHED.search(first["relation"]) is not None


def _is_described(columns: Columns) -> bool:
    """Whether columns have comments: those of views that only our own queries use have none."""
    return any(column["comment"] for column in columns)


def _name(row: dict[str, Any]) -> str:
    return f"{row['schema']}.{row['relation']}"


def _links(relations: Sequence[Columns]) -> str:
    """The contents of a part, in one paragraph."""
    names = [_name(columns[0]) for columns in relations]
    return ",\n".join(f"[`{name}`](#{name.replace('.', '')})" for name in names) + "\n"


def _section(columns: Columns) -> Iterator[str]:
    first = columns[0]
    readers = ", ".join(READERS[role] for role in first["readers"]) or "the owner only"
    yield f"### {_name(first)}\n"
    yield f"{_cell(first['relation_comment'])}. Read by: {readers}.\n"
    if first["is_view"]:
        yield "| column | type | meaning |"
        yield "| --- | --- | --- |"
        for column in columns:
            yield f"| `{column['name']}` | {column['type']} | {_cell(column['comment'])} |"
    else:
        yield "| column | type | null | key | meaning |"
        yield "| --- | --- | --- | --- | --- |"
        for column in columns:
            name, kind, meaning = f"`{column['name']}`", column["type"], _cell(column["comment"])
            key = [f"key {column['keyed']}"] if column["keyed"] else []
            key += [f"of `{column['refers']}`"] if column["refers"] else []
            null = "" if column["not_null"] else "yes"
            yield f"| {name} | {kind} | {null} | {', '.join(key)} | {meaning} |"
    yield ""


def _cell(text: str | None) -> str:
    """Text that neither ends its cell nor is taken for HTML."""
    return (text or "").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
