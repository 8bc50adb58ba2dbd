"""Actions at 1NCE: requested and approved here, sent by a job. Off by default."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from api.answers import page
from api.dependencies import DIGITS, ActionCaller, Asking, Limit, RowId, link
from api.errors import PROBLEMS, ProblemError, problems
from api.kept import ASKED_EACH_TIME
from api.schemas.actions import Action, ActionPage, ActionRequest, PlannedAction
from ml.enums import ActionState
from resources.errors import UsageError
from services.access.api_keys import lacks
from services.actions.kinds import (
    Acting,
    ActionError,
    check_switched_on,
    checked,
    may_cost,
    refused,
    undecided,
    would_send,
)

router = APIRouter(tags=["actions"])
MAY_NOT_ACT = lacks("actions")


@router.get("/v1/actions", summary="Actions at 1NCE", response_model=ActionPage, responses=PROBLEMS)
async def list_actions(
    request: Request,
    asking: Asking,
    limit: Limit = 100,
    after: Annotated[RowId | None, DIGITS, Query(description="`next` of the page before")] = None,
    state: Annotated[ActionState | None, Query(description="Only actions in this state")] = None,
) -> Response:
    """The newest first, with what became of each."""
    found = await asking.rows("api_actions", {"before": after, "state": state, "rows": limit + 1})
    items = found[:limit]
    following = items[-1]["action_id"] if len(found) > limit else None
    return page(Action, items, following, link(request, following), kept=ASKED_EACH_TIME)


@router.post(
    "/v1/actions",
    summary="Request an action at 1NCE",
    responses=problems(400, 401, 403, 404, 409, 413, 422, 503),
)
def request_action(request: Request, caller: ActionCaller, wanted: ActionRequest) -> PlannedAction:
    """Say what would be sent and what it may cost, and with `dry_run: false` record the request. A job sends it later,
    once, when its kind is switched on and approved where that is set, within the caps."""
    acting: Acting = request.app.state.acting
    try:
        parameters = checked(wanted.kind, wanted.parameters)
        act = would_send(wanted.kind, acting.api, wanted.iccid, parameters)
    except UsageError as error:
        raise ProblemError(422, str(error)) from None
    if not wanted.dry_run:
        try:
            check_switched_on(wanted.kind, acting.switched_on)
        except ActionError as error:
            raise ProblemError(409, str(error)) from None
    found = caller.writers.request_action(
        caller.key,
        {
            "kind": wanted.kind,
            "iccid": wanted.iccid,
            "parameters": json.dumps(parameters),
            "idempotency_key": wanted.idempotency_key,
            "recommendation_id": wanted.recommendation_id,
            "may_cost": may_cost(wanted.kind, parameters),
            "else_minor": acting.top_up_minor,
            "dry_run": wanted.dry_run,
            "now": caller.now,
        },
    )
    if found["outcome"] == "may-not-act":
        raise ProblemError(403, MAY_NOT_ACT)
    if refusal := refused(found["outcome"], wanted.iccid, wanted.idempotency_key):
        raise ProblemError({"unknown-sim": 404, "taken": 409}.get(found["outcome"], 422), refusal)
    return PlannedAction(
        action_id=found["action_id"],
        dry_run=wanted.dry_run,
        method=act.method,
        path=act.path,
        query=act.query,
        body=act.body,
        cost_minor=found["cost_minor"],
        currency=found["currency"],
        switched_on=wanted.kind in acting.switched_on,
        needs_approval=wanted.kind in acting.to_approve,
    )


@router.post(
    "/v1/actions/{action_id}/approve",
    summary="Approve an action",
    responses=problems(401, 403, 404, 409, 422, 503),
)
def approve(caller: ActionCaller, action_id: Annotated[RowId, Path(examples=[1])]) -> Action:
    """Let an action that another key or person requested be sent."""
    outcome = caller.writers.outcome("api_approve_action", caller.key, {"action_id": action_id, "now": caller.now})
    if outcome == "may-not-act":
        raise ProblemError(403, MAY_NOT_ACT)
    if problem := undecided(outcome, action_id):
        raise ProblemError({"unknown": 404, "own": 403}.get(outcome, 409), problem)
    with caller.store.session(caller.key) as session:
        found = session.row("api_actions", {"before": action_id + 1, "state": None, "rows": 1})
        return Action.model_validate(found)
