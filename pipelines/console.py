"""The terminal that commands and runs print to, and tables on it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ml.plain_text import printable


class PlainConsole(Console):
    """A console whose texts cannot steer the terminal: escape sequences in a label are shown, not obeyed.

    Markup such as [red] in foreign text stays the caller's matter: markup=False, or rich.markup.escape.
    """

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(printable(text), **how)


def print_table(
    console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]], title: str | None = None
) -> None:
    """Print a table; where the terminal is too narrow for its words, each row as lines of `heading: cell`.

    Cells are Rich markup. Output that is no terminal has no width, unless COLUMNS gives one.
    """
    table = Table(box=SIMPLE, title=title, title_justify="left")
    for place, heading in enumerate(headings):
        words = " ".join([heading, *(row[place] for row in rows)]).split()
        table.add_column(heading, overflow="fold", min_width=max(map(len, words), default=1))
    for row in rows:
        table.add_row(*row)
    endless = not console.is_terminal and "COLUMNS" not in os.environ
    needed = Measurement.get(console, console.options.update(width=10_000), table)
    if endless or needed.minimum <= console.width:
        width = needed.maximum if endless else min(needed.maximum, console.width)
        PlainConsole(file=console.file, highlight=False, width=width).print(table)
        return
    if title:
        console.print(title, style="italic")
    for row in rows:
        for heading, cell in zip(headings, row, strict=True):
            console.print(f"{heading}: {cell}")
        console.print()
