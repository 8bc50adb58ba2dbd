"""A question while it is being read: what is left of its text, and what was found in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.questions.question import Filter, QuestionError


class NotUnderstoodError(QuestionError):
    """The question was not understood; `unknown` are the words that nothing is known of."""

    def __init__(self, message: str, unknown: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.unknown = list(unknown)


@dataclass
class Draft:
    """A question being read: what is left of its text, and what was found."""

    text: str  # small letters; a bar where words were taken away
    language: str
    found: list[tuple[str, Any]] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)

    def take(self, pattern: re.Pattern[str], read: Callable[[re.Match[str]], object], left: str = " | ") -> None:
        """Read and take away every match; `left` is put in its place, a bar that no phrase goes across."""

        def taken(found: re.Match[str]) -> str:
            if not found[0].strip():
                return found[0]
            read(found)
            return left

        self.text = pattern.sub(taken, self.text)

    def note(self, english: str, german: str) -> None:
        text = german if self.language == "de" else english
        if text not in self.assumed:
            self.assumed.append(text)

    def all(self, name: str) -> list[Any]:
        return list(dict.fromkeys(value for kind, value in self.found if kind == name))

    def has(self, name: str, value: Any = None) -> bool:
        return any(kind == name and (value is None or known == value) for kind, known in self.found)

    def fail(self, english: str, german: str, unknown: Sequence[str] = ()) -> NotUnderstoodError:
        return NotUnderstoodError(german if self.language == "de" else english, unknown)
