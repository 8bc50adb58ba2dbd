"""`simsight recommendations`: what to do about SIMs' quotas, and decisions on that."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import typer

from ml.enums import QuotaAction
from ml.words import money
from pipelines.cli.common import DAY, AsJson, By, console, opened, print_rows
from resources.errors import UsageError

recommendations = typer.Typer(
    help="List what to do about SIMs' quotas, and accept or dismiss it.", no_args_is_help=True
)
Number = Annotated[int, typer.Argument(help="Its number, as the list gives it.")]
Reason = Annotated[str, typer.Option(help="Why.")]


@recommendations.command("list")
def list_recommendations(
    action: Annotated[QuotaAction | None, typer.Option(help="Only this action; default: all but nothing.")] = None,
    decision: Annotated[
        Literal["open", "accepted", "dismissed"] | None, typer.Option(help="Only with this decision.")
    ] = None,
    as_of: Annotated[datetime | None, typer.Option(**DAY, help="As-of day; default: the latest there is.")] = None,
    rows: Annotated[int, typer.Option(min=1, max=100_000, help="Recommendations at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List recommendations, the highest saving first. As JSON, amounts are minor units of the currency."""
    chosen = {"action": action, "decision": decision, "as_of": as_of.date() if as_of else None, "rows": rows}
    with opened() as runtime:
        found = runtime.database.rows("recommendations_list", chosen)
    shown = [row | {"saving": money(row["saving_minor"], row["currency"])} for row in found]
    columns = (
        "recommendation_id",
        "iccid",
        "label",
        "action",
        "month",
        "saving",
        "outage_p",
        "valid_until",
        "decision",
    )
    print_rows(found if as_json else shown, columns, as_json=as_json, none="no recommendation")


@recommendations.command("accept")
def accept(number: Number, reason: Reason = "", by: By = None) -> None:
    """Say that a recommendation is or will be done. Nothing is ordered by that."""
    _decide(number, "accepted", reason, by)


@recommendations.command("dismiss")
def dismiss(number: Number, reason: Reason = "", by: By = None) -> None:
    """Dismiss a recommendation: it does not come back for 30 days, unless its saving doubles."""
    _decide(number, "dismissed", reason, by)


def _decide(number: int, decision: str, reason: str, by: str | None) -> None:
    import getpass

    said = {"recommendation_id": number, "decision": decision, "reason": reason, "by": by or getpass.getuser()}
    with opened() as runtime:
        made = runtime.database.row("decide_recommendation", said | {"now": runtime.clock()})
    if made is None:
        raise UsageError(f"there is no recommendation {number}: `simsight recommendations list` shows those there are")
    console.print(f"recommendation {number} is {decision}")
