"""Foreign text cannot steer a terminal or a Markdown table."""

import io
from datetime import date

import pytest
from rich.table import Table

from ml.plain_text import markdown_cell, one_line, printable
from pipelines.cli.common import _shown
from pipelines.console import PlainConsole
from pipelines.demo import _print_first_to_end

HOSTILE = "a\x1b[2Jb\x07 [red]c[/red] \u202ed"


def test_escape_sequences_and_markup_are_shown_not_obeyed() -> None:
    out = io.StringIO()
    console = PlainConsole(file=out, force_terminal=True, width=200)
    console.print(f"pump {HOSTILE}", markup=False, highlight=False)
    table = Table("label")
    table.add_row(_shown(HOSTILE))
    console.print(table)
    said = out.getvalue()
    assert "\x1b[2J" not in said
    assert "\x07" not in said
    assert "\u202e" not in said
    assert said.count("[red]c[/red]") == 2


def test_a_line_is_one_line_and_a_cell_one_cell() -> None:
    assert printable("one\n\ttwo") == "one\n\ttwo"
    assert one_line("a\r\nBcc: eve  x") == "a Bcc: eve x"
    assert one_line("x" * 50, 10) == "x" * 9 + "…"
    assert markdown_cell("a|b\n<img> [c](d)") == r"a\|b &lt;img&gt; \[c\](d)"


@pytest.mark.parametrize("label", ["pump 7 of the waterworks beside the bridge, second cellar", "pump-" * 20])
def test_who_runs_out_first_is_read_whole_at_80_columns(monkeypatch: pytest.MonkeyPatch, label: str) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = io.StringIO()
    row = {"iccid": "8988280666000000001", "label": label, "cause": "volume", "p_14": 0.62}
    _print_first_to_end(PlainConsole(file=out, soft_wrap=True), [row | {"p50_date": date(2026, 6, 30)}])
    lines = out.getvalue().splitlines()
    assert max(len(line) for line in lines if "pump-pump" not in line) <= 80
    said = " ".join(out.getvalue().split())
    for cell in ("Who runs out first", "8988280666000000001", "volume", "62 %", "2026-06-30"):
        assert cell in said
    assert [word for word in label.split() if word not in said] == []
