"""What the pages say holds: links lead somewhere, commands, options, settings, files and functions are there, defaults
and figures are those of the code and of the benchmarks.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from pipelines.cli.app import app
from resources.settings import Settings
from resources.variables import unknown_variables
from simulator.account import SimCards
from simulator.fleet import Fleet

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "benchmarks" / "README.md"]
}
PLACES = (
    "api",
    "assets",
    "benchmarks",
    "deploy",
    "ml",
    "pipelines",
    "resources",
    "services",
    "simulator",
    "sql",
    "tests",
)
OF_TODAY = {name: text for name, text in PAGES.items() if name != "CHANGELOG.md" and "/decisions/" not in name}
# variables of other programs, or named in an example as one's own
NO_SETTING = re.compile(r"(?:SIMSIGHT|ONCE)_(?:\w*_FILE|\w+_)$")


@cache
def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", PAGES[page], re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@cache
def command_tree() -> Any:
    return typer.main.get_command(app)


def commands_shown(text: str) -> Iterator[str]:
    """Command lines of `simsight` in code, as they would be typed."""
    for line in re.findall(r"^    (.+)$", text, re.MULTILINE):
        yield from re.findall(r"(?:^|[;|(] ?|&& |\$ ?|\w=\S+ )(?:\.venv/bin/)?simsight ([^;|)]+)", line.split("  #")[0])
    for code in re.findall(r"`([^`\n]+)`", text):
        yield from re.findall(r"^(?:\.venv/bin/)?simsight (.+)$", code)


@pytest.mark.parametrize("page", sorted(PAGES))
def test_links_lead_somewhere(page: str) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", PAGES[page]):
        file, _, anchor = target.partition("#")
        if re.match(r"\w+:", target):
            continue
        path = ((ROOT / page).parent / file).resolve() if file else ROOT / page
        name = path.relative_to(ROOT).as_posix()
        if not path.exists() or (anchor and anchor not in anchors(name)):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", sorted(OF_TODAY))
def test_commands_and_options_are_there(page: str) -> None:
    wrong = []
    for shown in commands_shown(OF_TODAY[page]):
        try:
            words = shlex.split(shown.split(" # ")[0])
        except ValueError:
            words = shown.split()
        command = command_tree()
        while words and hasattr(command, "commands"):
            if words[0] in command.commands:
                command = command.commands[words.pop(0)]
            elif words[0].startswith("-") or words[0].isupper():
                break
            else:
                wrong.append(f"simsight {shown}: no command {words[0]}")
                break
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"-h", "--help"}
        wrong += [f"simsight {shown}: no option {word}" for word in words if word[:2] == "--" and word not in known]
    assert wrong == []


def test_every_command_is_listed() -> None:
    listed = PAGES["docs/command-line.md"]
    missing = [name for name in command_tree().commands if f"`simsight {name}" not in listed]
    assert missing == []


def test_options_listed_belong_to_the_commands_of_their_row() -> None:
    wrong = []
    for row in re.findall(r"^\| (`simsight .+)$", PAGES["docs/command-line.md"], re.MULTILINE):
        names, _, meaning = row.partition(" | ")
        commands = [command_tree().commands[word] for word in re.findall(r"`simsight ([\w-]+)", names)]
        commands += [child for one in commands for child in getattr(one, "commands", {}).values()]
        known = {name for one in commands for option in one.params for name in (*option.opts, *option.secondary_opts)}
        wrong += [f"{names}: {option}" for option in re.findall(r"(--[a-z][\w-]*)", meaning) if option not in known]
    assert wrong == []


@pytest.mark.parametrize("page", sorted(OF_TODAY))
def test_settings_are_there_with_the_defaults_that_are_said(page: str) -> None:
    named = re.findall(r"\b((?:SIMSIGHT|ONCE)_[A-Z0-9_]+)", OF_TODAY[page])
    assert unknown_variables([name for name in named if not NO_SETTING.match(name)]) == {}
    example = (ROOT / ".env.example").read_text()
    wrong = []
    for name, said in re.findall(r"`((?:SIMSIGHT|ONCE)_[A-Z0-9_]+)` \((?:default )?([\d.,]+)[;)]", OF_TODAY[page]):
        default = re.search(rf"^#{name}=(.*)$", example, re.MULTILINE)
        if default is None or float(default[1] or "nan") != float(said.replace(",", "")):
            wrong.append(f"{name} ({said})")
    assert wrong == []


@pytest.mark.parametrize("page", sorted(OF_TODAY))
def test_files_and_functions_are_there(page: str) -> None:
    # `services/models.py` or `services/models.py: champion_of, rollback`
    wrong = []
    for file, names in re.findall(rf"`((?:{'|'.join(PLACES)})/[\w/.<>*-]+)(?:: ([\w, .]+))?`", OF_TODAY[page]):
        path = ROOT / file
        if "<" in file or "*" in file:
            continue
        if not path.exists():
            wrong.append(file)
            continue
        wrong += [
            f"{file}: {name}"
            for name in filter(None, re.split(r"[, ]+", names))
            if not re.search(rf"\b{name.rpartition('.')[2]}\b", path.read_text())
        ]
    assert wrong == []


def test_labels_of_examples_are_those_of_the_demo() -> None:
    named = {
        prefix
        for page, text in OF_TODAY.items()
        if page != "docs/data-dictionary.md"  # comments of columns
        for prefix in re.findall(r"""(?:--label |"label_prefix": ")([\w-]+)""", text)
    }
    fleet = Fleet(seed=Settings.model_fields["seed"].default, sims=50, start=date(2026, 1, 1))
    labels = [SimCards(fleet).label(n) for n in range(fleet.sims)]
    assert named
    assert [prefix for prefix in named if not any(label.startswith(prefix) for label in labels)] == []


def test_figures_of_models_are_those_of_the_benchmarks() -> None:
    text = re.sub(r"\b(SIMSIGHT\w+|confidence\w*).{0,6}\(?\d\.\d\b", "", PAGES["docs/models.md"])
    figures = set(re.findall(r"(?<![\w.])\d+\.\d{2,}(?![\w.])|(?<![\w.])\d{1,3}(?:,\d{3})+(?!\w)", text))
    measured = PAGES["benchmarks/README.md"]
    missing = {figure for figure in figures if figure not in measured and figure.replace(",", "") not in measured}
    assert len(figures) > 60
    assert missing == set()
