"""Limits on JSON that others send, looked at before and after it is built in memory."""

from __future__ import annotations

import re
from itertools import chain, compress
from typing import Any

# to the end of the body where a quote is not closed: each byte is looked at once
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_CONTAINERS = frozenset({dict, list})


def at_most(body: bytes, values: int) -> bool:
    """Whether JSON text holds at most so many values (numbers, texts, lists, objects). Builds nothing of it.

    A text that is no JSON is counted somehow.
    """
    if _separators(body, 0, len(body)) <= values:  # an upper limit, since commas in texts are counted: mostly enough
        return True
    found = begin = 0
    for texts, text in enumerate(_STRINGS.finditer(body)):
        found += _separators(body, begin, text.start())
        if found > values or texts > 4 * values:
            return False
        begin = text.end()
    return found + _separators(body, begin, len(body)) <= values


def _separators(body: bytes, begin: int, end: int) -> int:
    return body.count(b",", begin, end) + body.count(b"[", begin, end) + body.count(b"{", begin, end)


def size_within(document: Any, depth: int) -> int | None:
    """How many values a document holds, itself not counted; None where it is nested deeper than `depth`."""
    level, values = [document] if type(document) in _CONTAINERS else [], 0
    for _ in range(depth + 1):
        if not level:
            return values
        inside = list(chain.from_iterable(node.values() if isinstance(node, dict) else node for node in level))
        values += len(inside)
        # without a loop in Python: an answer holds a million values
        level = list(compress(inside, map(_CONTAINERS.__contains__, map(type, inside))))
    return None if level else values
