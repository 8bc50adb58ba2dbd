"""What a check of `simsight doctor` comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from resources.errors import in_words
from resources.redaction import without_secrets

Level = Literal["ok", "warning", "failed"]


@dataclass(frozen=True)
class Check:
    """What was looked at, how it stands, what was found, and what to do (empty: nothing)."""

    name: str
    level: Level
    found: str
    to_do: str = ""

    def lines(self) -> list[str]:
        """The check as text: a line, and one more for what to do."""
        do = "to fix" if self.level == "failed" else "to do"
        return [f"{self.level:<8} {self.name}: {self.found}", *([f"         {do}: {self.to_do}"] if self.to_do else [])]


def ok(name: str, found: str) -> Check:
    return Check(name, "ok", found)


def warning(name: str, found: str, to_do: str) -> Check:
    return Check(name, "warning", found, to_do)


def failed(name: str, found: str, to_do: str) -> Check:
    return Check(name, "failed", found, to_do)


def looked_at(name: str, look: Callable[[], Iterable[Check]], secrets: set[str]) -> list[Check]:
    """What a look gives. One that breaks off is a failed check: the next is looked at all the same."""
    found: list[Check] = []
    try:
        found += look()
    except Exception as error:
        said = " ".join(without_secrets(in_words(error), secrets).split())
        found.append(failed(name, said, "see the message; the other checks may say why"))
    return found
