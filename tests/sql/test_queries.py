"""The named queries: one statement a file, found by name in any folder."""

from collections import Counter
from pathlib import Path

import pytest

import sql

FILES = sorted(Path(sql.__file__).parent.glob("queries/**/*.sql"))


def test_a_query_is_found_by_its_name_whatever_its_folder() -> None:
    for file in FILES:
        assert sql.query(file.stem) == file.read_text(), file


def test_a_name_stands_once() -> None:
    assert [name for name, files in Counter(file.stem for file in FILES).items() if files > 1] == []


def test_every_query_is_in_a_folder_of_its_domain() -> None:
    assert [file.name for file in FILES if file.parent.name == "queries"] == []


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError, match="no_such_query"):
        sql.query("no_such_query")
