"""The data dictionary: docs/data-dictionary.md is what the comments of a migrated database say today."""

from __future__ import annotations

from pathlib import Path

from resources.database.session import Database
from services.data_dictionary import data_dictionary

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data-dictionary.md"


def test_the_committed_page_says_what_the_database_says(database: Database) -> None:
    made = data_dictionary(database)
    lines, there = made.splitlines(), PAGE.read_text().splitlines()
    # lines, and not the whole text: the first that differ say what changed
    changed = [line for line in lines if line not in set(there)], [line for line in there if line not in set(lines)]
    anew = f"simsight migrate && simsight data-dictionary > docs/{PAGE.name}"
    assert made == PAGE.read_text(), (
        f"the first new and old lines: {changed[0][:3]}, {changed[1][:3]}; to make the page anew, with .venv/bin in "
        f"PATH: SIMSIGHT_HOME=$(mktemp -d) sh -c '{anew}'"
    )
    # keys, references, readers and what could break a table's cell are shown
    assert "| `organization_id` | smallint |  | key 1, of `core.organizations` | Organization |" in lines
    assert "### ops.organization_secrets" in lines
    assert "for it; only the owner may read it. Read by: the owner only." in made
    assert ">, >=, &lt; or &lt;=" in made
