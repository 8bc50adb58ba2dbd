"""The log of writes: searched, and written out line by line; each organization has its own.

sql/migrations/0043_audit.sql makes the lines; services/actions/requests.py: verify_log checks them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Literal, Protocol

LogFormat = Literal["ndjson", "csv"]
BLOCK = 1000  # lines that are read at once
COLUMNS = ("number", "at", "event", "who", "subject", "subject_id", "facts", "sha256")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "'=", "'+", "'-", "'@", "'\t", "'\r")  # a spreadsheet would run the first


class Queries(Protocol):
    """A transaction of the pipeline or of the HTTP service."""

    def rows(self, name: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]: ...


@dataclass(frozen=True)
class Wanted:
    """Which lines: all that hold together; None: any.

    first, last   UTC days, both included
    event         whole (key.made), or its first word (key)
    who           whole, with those for whom a key says it acted
    subject       its kind (key), or kind and id (key:7)
    """

    first: date | None = None
    last: date | None = None
    event: str | None = None
    who: str | None = None
    subject: str | None = None


def lines(queries: Queries, wanted: Wanted, *, before: int | None = None, rows: int) -> list[dict[str, Any]]:
    """Lines of the log, the newest first, below a number."""
    return queries.rows("audit_lines", asdict(wanted) | {"before": before, "rows": rows})


def header(format: LogFormat) -> str:
    """What stands before the lines of a file."""
    return ",".join(COLUMNS) + "\r\n" if format == "csv" else ""


def written(found: list[dict[str, Any]], format: LogFormat) -> str:
    """Lines as they stand in a file; text that a spreadsheet would run as a formula has an apostrophe before it."""
    if format == "ndjson":
        return "".join(json.dumps(row, default=_plain, ensure_ascii=False) + "\n" for row in found)
    file = io.StringIO()
    csv.writer(file).writerows([_cell(row[column]) for column in COLUMNS] for row in found)
    return file.getvalue()


def blocks(queries: Queries, wanted: Wanted, format: LogFormat) -> Iterator[str]:
    """A file of the log in pieces, the newest line first; memory does not grow with the lines."""
    yield header(format)
    before: int | None = None
    while found := lines(queries, wanted, before=before, rows=BLOCK):
        yield written(found, format)
        before = found[-1]["number"]


def _plain(value: object) -> str:
    assert isinstance(value, datetime)
    return value.isoformat().replace("+00:00", "Z")


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return _plain(value)
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(FORMULA) else text
