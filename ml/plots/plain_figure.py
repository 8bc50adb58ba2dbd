"""A figure whose texts are plain, and which never fails what it is a picture of."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text

from ml.plain_text import printable

FAILED = "This picture could not be drawn."


class PlainFigure(Figure):
    """A figure that shows every text as it is written: `$x_{$` in a label is no mathematics.

    A picture that cannot be drawn is a warning in the log and a picture that says so.
    """

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        FigureCanvasAgg(self)

    def draw(self, renderer: Any) -> None:
        # here, where all texts are known: ticks and legends make theirs late
        for text in self.findobj(Text):
            assert isinstance(text, Text)
            text.set_parse_math(False)
            if not (written := text.get_text()).isprintable():
                text.set_text(printable(written).replace("\t", " "))
        super().draw(renderer)

    def savefig(self, fname: Any, **how: Any) -> None:
        """Write the picture to a file, or to one opened for bytes, as `format` or the name says: png or svg.

        dpi        dots an inch of a PNG; the figure's own by default
        metadata   kept in the file, as Matplotlib's savefig does
        """
        kind = how.pop("format", None) or Path(fname).suffix.removeprefix(".")
        drawn = io.BytesIO()
        try:
            self._print(drawn, kind, **how)
        except Exception as error:  # of whatever kind: numbers and labels are foreign
            logging.getLogger(__name__).warning("a picture could not be drawn: %s: %s", type(error).__name__, error)
            self.say_failed()
            drawn = io.BytesIO()
            self._print(drawn, kind, **how)
        if hasattr(fname, "write"):
            fname.write(drawn.getvalue())
        else:
            Path(fname).write_bytes(drawn.getvalue())

    def _print(self, file: io.BytesIO, kind: str, dpi: float | None = None, metadata: Any = None) -> None:
        # Matplotlib's own savefig draws all twice, the first time for boxes that nobody asks for here
        before = self.get_dpi()
        canvas: Any = FigureCanvasSVG(self) if kind == "svg" else FigureCanvasAgg(self)
        try:
            self.set_dpi(dpi or before)
            (canvas.print_svg if kind == "svg" else canvas.print_png)(file, metadata=metadata)
        finally:
            self.set_dpi(before)

    def say_failed(self) -> None:
        """Show nothing but that the picture could not be drawn."""
        self.clear()
        self.text(0.5, 0.5, FAILED, ha="center", va="center")
