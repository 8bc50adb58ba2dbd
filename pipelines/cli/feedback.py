"""`simsight feedback`: false alarms of the anomaly detector."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from ml.enums import AnomalyKind
from pipelines.cli.common import ICCID, console, runtime_of
from resources.settings import SettingsError, load_settings

feedback = typer.Typer(
    help="Acknowledge false alarms of the anomaly detector, list them, take them back.", no_args_is_help=True
)


@feedback.command("add")
def add_feedback(
    iccid: Annotated[str | None, typer.Option(**ICCID, help="It is about this SIM.")] = None,
    label: Annotated[str | None, typer.Option(help="It is about SIMs whose label begins so.")] = None,
    kind: Annotated[AnomalyKind | None, typer.Option(help="It is about this kind of anomaly.")] = None,
    note: Annotated[str, typer.Option(help="Why it was a false alarm.")] = "",
) -> None:
    """Acknowledge a false alarm: what it is about must be ten times rarer from now on to be raised again."""
    if iccid is None and label is None and kind is None:
        raise SettingsError("give --iccid, --label or --kind: what the false alarm was about")
    if iccid is not None and label is not None:
        raise SettingsError("--iccid and --label: give one of them")
    about = {"iccid": iccid, "label": label, "kind": kind, "note": note, "by": getpass.getuser()}
    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        made = runtime.database.row("add_feedback", about | {"now": runtime.clock()})
    if made is None:
        raise SettingsError(f"--iccid {iccid}: no such SIM is stored")
    console.print(f"feedback {made['feedback_id']} holds from the next evaluation on")


@feedback.command("list")
def list_feedback() -> None:
    """List acknowledged false alarms, those taken back too."""
    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        rows = runtime.database.rows("list_feedback")
        if not rows:
            console.print("no false alarm was acknowledged yet")
        for row in rows:
            about = ", ".join(f"{name} {row[name]}" for name in ("iccid", "label", "kind") if row[name] is not None)
            state = f"taken back by {row['undone_by']} {row['undone_at']:%Y-%m-%d}" if row["undone_at"] else "holds"
            said = f"{row['said_by']} {row['said_at']:%Y-%m-%d}"
            console.print(
                f"{row['feedback_id']}: {about}; {said}; {state}{'; ' + row['note'] if row['note'] else ''}",
                markup=False,
            )


@feedback.command("undo")
def undo_feedback(feedback_id: Annotated[int, typer.Argument(help="Its number in the list.")]) -> None:
    """Take an acknowledged false alarm back."""
    with runtime_of(load_settings()) as runtime:
        runtime.check_schema()
        what = {"feedback_id": feedback_id, "by": getpass.getuser(), "now": runtime.clock()}
        with runtime.database.transaction() as transaction:
            done = transaction.execute("undo_feedback", what)
    if not done:
        raise SettingsError(f"feedback {feedback_id}: there is none that holds")
    console.print(f"feedback {feedback_id} is taken back")
