"""Limits on JSON that others send, looked at before and after it is built in memory."""

from __future__ import annotations

import re
from typing import Any

# to the end of the body where a quote is not closed: each byte is looked at once
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)', re.DOTALL)


def at_most(body: bytes, values: int) -> bool:
    """Whether JSON text holds at most so many values (numbers, texts, lists, objects). Builds nothing of it.

    A text that is no JSON is counted somehow.
    """
    if _separators(body) <= values:  # an upper limit, since commas in texts are counted: mostly enough
        return True
    return _separators(_STRINGS.sub(b"", body)) <= values


def _separators(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def size_within(document: Any, depth: int) -> int | None:
    """How many values a document holds, itself not counted; None where it is nested deeper than `depth`."""
    level, values = [document], 0
    for _ in range(depth + 1):
        below: list[Any] = []
        for node in level:
            inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
            values += len(inside)
            below += [value for value in inside if isinstance(value, dict | list)]
        if not below:
            return values
        level = below
    return None
