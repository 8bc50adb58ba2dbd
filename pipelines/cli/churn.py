"""`simsight churn`: which SIMs are likely to leave."""

from __future__ import annotations

from typing import Annotated

import typer

from ml.enums import ChurnCause, ChurnLevel
from ml.words import STARTER_CHURN
from pipelines.cli.common import AsJson, console, opened, print_rows

churn = typer.Typer(help="List SIMs that are likely to leave, and what could be done.", no_args_is_help=True)


@churn.callback()
def _group() -> None:
    """A single command would stand for the group."""


@churn.command("list")
def list_risks(
    level: Annotated[ChurnLevel | None, typer.Option(help="Only SIMs at this level of risk.")] = None,
    cause: Annotated[ChurnCause | None, typer.Option(help="Only SIMs whose likeliest cause is this.")] = None,
    rows: Annotated[int, typer.Option(min=1, max=100_000, help="SIMs at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the risks of the latest day, those first of which an action is worth most."""
    with opened() as runtime:
        found = runtime.database.rows("churn_first", {"as_of": None, "level": level, "cause": cause, "rows": rows})
    columns = ("iccid", "label", "risk_level", "cause", "p_30", "p_90", "value_minor", "currency", "reasons", "action")
    print_rows(
        found,
        columns,
        as_json=as_json,
        none="no risk: too few SIMs have left to learn from; the asset churn_model says how many",
    )
    if found and found[0]["learnt_from"] != "the fleet" and not as_json:
        console.print(STARTER_CHURN)
