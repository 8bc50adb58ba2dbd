"""Questions people ask, against answers computed by SQL of our own over the tables."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from tests.services.questions.conftest import Fleet

FILES = (
    "golden_first.toml",
    "golden_second.toml",
    "golden_held_out.toml",
    "golden_a.toml",
    "golden_b.toml",
    "golden_c.toml",
    "golden_blind.toml",
)
NEEDED = 0.95


def meanings(kind: str = "meaning") -> list[dict[str, Any]]:
    folder = Path(__file__).parent
    return [
        meaning
        for name in FILES
        if (folder / name).exists()
        for meaning in tomllib.loads((folder / name).read_text()).get(kind, [])
    ]


def _same(found: list[dict[str, Any]], right: list[dict[str, Any]], *, ordered: bool) -> bool:
    """Whether the right columns are those found, in any order of rows unless it is asked for."""

    def shaped(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
        columns = list(right[0])
        made = [
            tuple(f"{float(row[c]):.4f}" if c in ("value", "before") else str(row.get(c)) for c in columns)
            for row in rows
        ]
        return made if ordered else sorted(made)

    if not right:
        return not found
    return all(column in row for row in found for column in right[0]) and shaped(found) == shaped(right)


def test_golden_questions_have_their_right_answers(fleet: Fleet) -> None:
    wrong, asked, german = [], 0, 0
    for meaning in meanings():
        right = fleet.rows(meaning["sql"])
        assert right, f"a right answer without rows shows little: {meaning['sql']}"
        for language in ("en", "de"):
            for text in meaning.get(language, []):
                answer = fleet.ask(text)
                asked, german = asked + 1, german + (language == "de")
                if not answer.understood or not _same(answer.rows, right, ordered=meaning.get("ordered", False)):
                    wrong.append(f"{text}\n    {answer.sentence[:150]}\n    {answer.rows[:4]}\n    right: {right[:4]}")
    assert asked >= 200
    assert german >= 60
    assert len(wrong) <= (1 - NEEDED) * asked, f"{len(wrong)} of {asked}\n" + "\n".join(wrong)


def test_questions_that_cannot_be_answered_are_refused(fleet: Fleet) -> None:
    for text in (text for one in meanings("refusal") for language in ("en", "de") for text in one[language]):
        answer = fleet.ask(text)
        assert not answer.understood, (text, answer.sentence)
        assert answer.rows == [], text
    assert "alarm, meter, tracker" in fleet.ask("show me all cameras").sentence
