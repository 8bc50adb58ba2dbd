"""What a Question comes to in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class Compiled:
    """A statement with named placeholders, its parameters, the unit of its column `value`, and the rows it may give."""

    sql: str
    parameters: dict[str, Any]
    unit: str | None
    rows: int
