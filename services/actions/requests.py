"""Requests for actions: made, decided, settled and listed; the kill switch, and the check of the log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from resources.database.session import Database, Row
from resources.once.acts import Act
from resources.settings import Settings
from services.actions.kinds import ActionError, check_switched_on, checked, may_cost, refused, undecided, would_send


@dataclass(frozen=True)
class Planned:
    """What a request would send or will send, and what it may cost (minor units).

    action_id  None: a dry run
    new        whether it was not requested before, with the same idempotency key
    """

    act: Act
    cost_minor: int
    currency: str | None
    action_id: int | None = None
    new: bool = False


def request_action(
    database: Database,
    settings: Settings,
    kind: str,
    iccid: str | None,
    parameters: dict[str, Any],
    *,
    by: str,
    now: datetime,
    idempotency_key: str = "",
    recommendation_id: int | None = None,
    dry_run: bool = True,
) -> Planned:
    """Record a request for an action, which a sender sends later; nothing is sent here. Raises ActionError.

    dry_run  record nothing, and say what would be sent and what it may cost
    """
    values = checked(kind, parameters)
    act = would_send(kind, settings.once_api, iccid, values)
    if not dry_run:
        check_switched_on(kind, settings.actions_on)
    found = database.row(
        "request_action",
        {
            "by": by,
            "kind": kind,
            "iccid": iccid,
            "parameters": json.dumps(values),
            "idempotency_key": idempotency_key,
            "recommendation_id": recommendation_id,
            "may_cost": may_cost(kind, values),
            "else_minor": settings.top_up_minor,
            "dry_run": dry_run,
            "now": now,
        },
    )
    assert found is not None
    if refusal := refused(found["outcome"], iccid, idempotency_key):
        raise ActionError(refusal)
    return Planned(act, found["cost_minor"], found["currency"], found["action_id"], found["outcome"] == "new")


def decide(database: Database, action_id: int, *, approve: bool, by: str, now: datetime) -> None:
    """Approve or refuse a request. Raises ActionError."""
    found = database.row("decide_action", {"by": by, "action_id": action_id, "approve": approve, "now": now})
    assert found is not None
    if problem := undecided(found["outcome"], action_id):
        raise ActionError(problem)


def settle(database: Database, action_id: int, *, done: bool, by: str, note: str, now: datetime) -> None:
    """Say what became of an unclear action, which a person looked for. Raises ActionError."""
    said = {"action_id": action_id, "state": "done" if done else "failed", "by": by, "note": note, "now": now}
    with database.transaction() as transaction:
        if not transaction.execute("settle_action", said):
            raise ActionError(f"there is no unclear action {action_id}")
        transaction.execute("watch_actions", {"now": now})


def switch(database: Database, *, stopped: bool, by: str, now: datetime) -> None:
    """Set the kill switch, which every sender looks at before every call, or let it go."""
    with database.transaction() as transaction:
        transaction.execute("switch_actions", {"stopped": stopped, "by": by, "now": now})


def list_actions(
    database: Database, *, state: str | None = None, before: int | None = None, rows: int = 50
) -> list[Row]:
    """Actions, the newest first."""
    return database.rows("actions_list", {"before": before, "state": state, "rows": rows})


def verify_log(database: Database, head: str | None = None) -> tuple[list[str], int, str | None]:
    """Check the log of writes; returns what is wrong, how many rows it has, and the hash of the last (hexadecimal).

    The first broken row comes first.

    head  a hash noted at an earlier check: without it rows cut from the end together with their actions go unseen
    """
    with database.transaction() as transaction:
        problems = [row["problem"] for row in transaction.rows("verify_action_log", {})]
        found = transaction.row("action_log_head") or {}
        if head is not None and not (transaction.row("action_log_has", {"head": head}) or {})["found"]:
            problems.append("the hash noted earlier is not in the log")
    return problems, found["rows"], found["head"]
