"""The terminal that commands and runs print to."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from ml.plain_text import printable


class PlainConsole(Console):
    """A console whose texts cannot steer the terminal: escape sequences in a label are shown, not obeyed.

    Markup such as [red] in foreign text stays the caller's matter: markup=False, or rich.markup.escape.
    """

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(printable(text), **how)
