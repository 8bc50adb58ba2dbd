"""`simsight actions`: actions at 1NCE, which spend money or cut devices off."""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import typer

from ml.enums import ActionKind, ActionState
from pipelines.cli.audit import verify
from pipelines.cli.common import ICCID, AsJson, console, opened, print_rows

actions = typer.Typer(
    help="Request, approve, send and check actions at 1NCE; each kind is off until SIMSIGHT_ACTIONS names it.",
    no_args_is_help=True,
)
ActionId = Annotated[int, typer.Argument(help="Its number in the list.")]


def _me() -> str:
    return f"user {getpass.getuser()}"


@actions.command("request")
def request(
    kind: Annotated[ActionKind, typer.Argument(help="What is to be done.")],
    iccid: Annotated[str | None, typer.Option("--sim", **ICCID, help="The SIM; none for limits.")] = None,
    key: Annotated[
        str, typer.Option(help="Idempotency key: the same again is the same request. Default: made up.")
    ] = "",
    payment_method: Annotated[
        str | None, typer.Option(help="top_up: banktransfer, creditcard, monthlyinvoice or boleto.")
    ] = None,
    enabled: Annotated[bool | None, typer.Option("--on/--off", help="auto_top_up: switch it on or off.")] = None,
    data_limit_id: Annotated[int | None, typer.Option(help="limits: 1NCE's id of the data limit.")] = None,
    sms_mt_limit_id: Annotated[int | None, typer.Option(help="limits: that of SMS to SIMs.")] = None,
    sms_mo_limit_id: Annotated[int | None, typer.Option(help="limits: that of SMS from SIMs.")] = None,
    recommendation: Annotated[int | None, typer.Option(help="Number of the recommendation that it follows.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Record the request; else only show it.")] = False,
) -> None:
    """Show what would be sent and what it may cost; with --yes record it, and `simsight actions send` sends it."""
    from uuid import uuid4

    from services.actions.requests import request_action

    given: dict[str, Any] = {
        "payment_method": payment_method,
        "enabled": enabled,
        "data_limit_id": data_limit_id,
        "sms_mt_limit_id": sms_mt_limit_id,
        "sms_mo_limit_id": sms_mo_limit_id,
    }
    with opened() as runtime:
        planned = request_action(
            runtime.database,
            runtime.settings,
            kind,
            iccid,
            {name: value for name, value in given.items() if value is not None},
            by=_me(),
            now=runtime.clock(),
            idempotency_key=key or str(uuid4()),
            recommendation_id=recommendation,
            dry_run=not yes,
        )
        approval = kind in runtime.settings.actions_to_approve
    act = planned.act
    query = "?" + "&".join(f"{name}={value}" for name, value in act.query.items()) if act.query else ""
    console.print(f"{act.method} {act.path}{query} {act.body or ''}".rstrip(), markup=False)
    console.print(f"may cost {planned.cost_minor / 100:.2f} {planned.currency or ''}".rstrip(), markup=False)
    if planned.action_id is None:
        console.print("dry run: nothing is recorded; --yes records the request")
    else:
        rest = "another key or person must approve it" if approval else "`simsight actions send` sends it"
        known = "" if planned.new else " was requested before"
        console.print(f"action {planned.action_id}{known}: {rest}", markup=False)


@actions.command("list")
def list_actions(
    state: Annotated[ActionState | None, typer.Option(help="Only actions in this state.")] = None,
    rows: Annotated[int, typer.Option(min=1, max=100_000, help="Actions at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List actions, the newest first, with what became of each."""
    from services.actions.requests import list_actions as found

    with opened() as runtime:
        listed = found(runtime.database, state=state, rows=rows)
    columns = ("action_id", "kind", "iccid", "state", "cost_minor", "requested_by", "decided_by", "sent_at", "message")
    print_rows(listed, columns, as_json=as_json, none="no action")


@actions.command("approve")
def approve(action_id: ActionId) -> None:
    """Let an action that somebody else requested be sent."""
    _decide(action_id, approve=True)


@actions.command("refuse")
def refuse(action_id: ActionId) -> None:
    """Take an action that waits back: it is never sent."""
    _decide(action_id, approve=False)


def _decide(action_id: int, *, approve: bool) -> None:
    from services.actions.requests import decide

    with opened() as runtime:
        decide(runtime.database, action_id, approve=approve, by=_me(), now=runtime.clock())
    console.print(f"action {action_id} is {'approved' if approve else 'refused'}")


@actions.command("send")
def send_now() -> None:
    """Look for actions whose answer was lost, then send what is switched on, approved and within the caps."""
    from services.actions.sending import send

    with opened() as runtime:
        done = send(runtime.database, runtime.acting, runtime.settings, runtime.clock)
    console.print(", ".join(f"{name}: {count}" for name, count in done.items()) or "nothing was to be sent")


@actions.command("settle")
def settle(
    action_id: ActionId,
    done: Annotated[bool, typer.Option("--done/--failed", help="Whether 1NCE did it.")],
    note: Annotated[str, typer.Option(help="How you know.")] = "",
) -> None:
    """Say what became of an unclear action, after looking in 1NCE's portal."""
    from services.actions.requests import settle as say

    with opened() as runtime:
        say(runtime.database, action_id, done=done, by=_me(), note=note, now=runtime.clock())
    console.print(f"action {action_id} is {'done' if done else 'failed'}")


@actions.command("stop")
def stop() -> None:
    """Set the kill switch: no action is sent by anybody until `simsight actions start`."""
    _switch(stopped=True)


@actions.command("start")
def start() -> None:
    """Let the kill switch go."""
    _switch(stopped=False)


def _switch(*, stopped: bool) -> None:
    from services.actions.requests import switch

    with opened() as runtime:
        switch(runtime.database, stopped=stopped, by=_me(), now=runtime.clock())
    console.print("actions are stopped" if stopped else "actions may be sent again")


actions.command("verify")(verify)
