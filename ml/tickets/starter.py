"""The starter set: synthetic tickets written for this project, so that classification works without any training."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import polars as pl


@cache
def starter_tickets() -> pl.DataFrame:
    """One row a ticket: text, category, language ("en", "de"), part ("starter"; "hard" is for tests alone, never learnt
    from), topic (tickets of one topic are worded versions of one request: never on both sides of a test), origin
    ("synthetic"), author ("first", "second": the word list of topics was written beside the tickets of the first)."""
    with (files("ml.tickets") / "starter_tickets.csv").open("rb") as file:
        return pl.read_csv(file.read(), schema_overrides=[pl.String] * 7)
