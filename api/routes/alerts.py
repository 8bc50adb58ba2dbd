"""Alerts and alert rules: what there is, and what a person does about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from api.answers import answer, page, shaped
from api.connections import Row
from api.database import Session
from api.dependencies import (
    DIGITS,
    READ_ONLY,
    Asking,
    Caller,
    Limit,
    RowId,
    Trying,
    WriteAccess,
    link,
)
from api.errors import PROBLEMS, ProblemError, problems
from api.schemas.alerts import (
    Action,
    AddedRule,
    Alert,
    AlertEvent,
    AlertHistory,
    AlertPage,
    NewRule,
    Replayed,
    RuleList,
    RuleSwitch,
    RuleToAdd,
    RuleToReplay,
    Snooze,
    StoredRule,
    SwitchedRule,
)
from api.schemas.common import FieldProblem
from ml.enums import AlertKind, AlertState, Severity
from services.alerts.evaluation import Act, replay, stored_rule, validate_rule
from services.alerts.rules import Replay, Rule, RuleError, parse_threshold

router = APIRouter(tags=["alerts"])
AlertId = Annotated[int, Field(ge=1, le=2**63 - 1), DIGITS, Path(examples=[1])]
RuleId = Annotated[
    int,
    Field(ge=1, le=2**31 - 1),
    DIGITS,
    Path(description="As GET /v1/alert-rules gives it", examples=[1]),
]


CHANGES = problems(400, 401, 403, 404, 409, 413, 422, 503)


@router.get("/v1/alerts", summary="Alerts", response_model=AlertPage, responses=PROBLEMS)
async def list_alerts(
    request: Request,
    asking: Asking,
    limit: Limit = 100,
    after: Annotated[RowId, Query(description="Only alerts with a greater alert_id")] = 0,
    state: Annotated[
        Literal[AlertState, "closed", "all"],
        Query(
            description="open: all that are not over, also those that are acknowledged or snoozed, as their field "
            "`state` says; acknowledged, snoozed: only these; resolved, or closed: those that are over"
        ),
    ] = "open",
    kind: Annotated[AlertKind | None, Query(description="Only alerts of this kind")] = None,
    severity: Annotated[Severity | None, Query(description="Only alerts of this severity")] = None,
) -> Response:
    """Oldest first. To follow new alerts, pass the greatest alert_id seen so far as `after`."""
    which = {"after": after, "state": state, "kind": kind, "severity": severity, "rows": limit + 1}
    found = await asking.rows("api_alerts", which)
    items = found[:limit]
    following = items[-1]["alert_id"] if len(found) > limit else None
    return page(Alert, items, following, link(request, following), kept=None, of_moment=True)


@router.post("/v1/alerts/{alert_id}/acknowledge", summary="Acknowledge an alert", responses=CHANGES)
def acknowledge(caller: Caller, alert_id: AlertId, action: Action | None = None) -> Alert:
    """Say that somebody handles the alert, which ends its escalation. The same again keeps who did it first and
    the note, unless the body brings other ones; its history has both."""
    return _act(caller, alert_id, "acknowledge", action or Action())


@router.post("/v1/alerts/{alert_id}/snooze", summary="Put an alert aside for a while", responses=CHANGES)
def snooze(caller: Caller, alert_id: AlertId, action: Snooze) -> Alert:
    """Put the alert aside. If it still holds at the end of the snooze, it is sent again."""
    until = action.until if action.until.tzinfo else action.until.replace(tzinfo=UTC)
    if until <= caller.now:
        raise _refused({"until": f"{until.isoformat()} is past"})
    return _act(caller, alert_id, "snooze", action, until)


@router.post("/v1/alerts/{alert_id}/resolve", summary="Close an alert", responses=CHANGES)
def resolve(caller: Caller, alert_id: AlertId, action: Action | None = None) -> Alert:
    """Close the alert. A new one opens only after a day without the condition."""
    return _act(caller, alert_id, "resolve", action or Action())


@router.post("/v1/alerts/{alert_id}/reopen", summary="Take back an acknowledgement or a snooze", responses=CHANGES)
def reopen(caller: Caller, alert_id: AlertId, action: Action | None = None) -> Alert:
    """Open the alert again, as it was before."""
    return _act(caller, alert_id, "reopen", action or Action())


def _act(caller: WriteAccess, alert_id: int, what: Act, action: Action, until: datetime | None = None) -> Alert:
    values = {
        "alert_id": alert_id,
        "act": what,
        "until": until,
        "note": action.note,
        "by": action.by,
        "now": caller.now,
    }
    outcome = caller.writers.outcome("api_act_on_alert", caller.key, values)
    if outcome == "read-only":
        raise ProblemError(403, READ_ONLY)
    if outcome == "closed":
        raise ProblemError(409, f"Alert {alert_id} is resolved: there is nothing left to {what}.")
    if outcome != "done":
        raise _no_alert(alert_id)
    with caller.store.session(caller.key) as session:
        return Alert.model_validate(session.row("api_alert", {"alert_id": alert_id}))


@router.get("/v1/alerts/{alert_id}", summary="One alert", response_model=Alert, responses=problems(401, 404, 422, 503))
async def get_alert(asking: Asking, alert_id: AlertId) -> Response:
    found = await asking.rows("api_alert", {"alert_id": alert_id})
    if not found:
        raise _no_alert(alert_id)
    return answer(shaped(Alert, found)[0])


@router.get(
    "/v1/alerts/{alert_id}/history",
    summary="What became of an alert",
    response_model=AlertHistory,
    responses=problems(401, 404, 422, 503),
)
async def get_history(asking: Asking, alert_id: AlertId) -> Response:
    """Return each change: when, by whom, with what note."""
    found, events = await asking.read(
        ("api_alert", {"alert_id": alert_id}), ("api_alert_history", {"alert_id": alert_id})
    )
    if not found:
        raise _no_alert(alert_id)
    return answer({"items": shaped(AlertEvent, events)})


@router.get("/v1/alert-rules", summary="The alert rules", responses=PROBLEMS)
async def list_rules(asking: Asking) -> RuleList:
    """Return the rules in the order of their names, each with what it last found and its error, if any."""
    return RuleList.model_validate({"items": await asking.rows("rules_list", {})})


@router.post("/v1/alert-rules", summary="Add an alert rule", status_code=201, responses=CHANGES)
def add_rule(caller: Caller, new: RuleToAdd) -> AddedRule:
    """Check the rule, try it on the last 30 days and store it; it is switched on only if asked. A rule that would alert
    for more than a quarter of its SIMs at once is refused unless forced."""
    rule = _rule(new)
    with caller.store.session(caller.key) as session, _refusing():
        replayed = validate_rule(session, rule, last=_last_day(session), force=new.force)
    rule_id = caller.writers.add_rule(caller.key, json.dumps(rule.as_dict() | {"enabled": new.enabled}), caller.now)
    if rule_id is None:
        raise ProblemError(409, f"There is a rule named {rule.name!r}: choose another name.")
    return AddedRule(rule_id=rule_id, replay=_answer(replayed))


@router.patch("/v1/alert-rules/{rule_id}", summary="Switch an alert rule on or off", responses=CHANGES)
def switch_rule(caller: Caller, rule_id: RuleId, switch: RuleSwitch) -> SwitchedRule:
    """Switch the rule on or off. On: it is tried on the last 30 days first, and refused where it would alert for more
    than a quarter of its SIMs at once, unless forced. Off: its open alerts are closed."""
    replayed = None
    with caller.store.session(caller.key) as session, _refusing():
        rule = stored_rule(_stored(session, rule_id))
        if switch.enabled:
            replayed = validate_rule(session, rule, last=_last_day(session), force=switch.force)
    closed = caller.writers.switch_rule(caller.key, rule_id, caller.now, enabled=switch.enabled)
    if closed is None:  # deleted meanwhile
        raise _no_rule(rule_id)
    with caller.store.session(caller.key) as session:
        now = StoredRule.model_validate(_stored(session, rule_id))
    return SwitchedRule(rule=now, closed_alerts=closed, replay=_answer(replayed) if replayed else None)


@router.delete(
    "/v1/alert-rules/{rule_id}",
    summary="Delete an alert rule",
    status_code=204,
    response_class=Response,
    responses=problems(401, 403, 404, 422, 503),
)
def delete_rule(caller: Caller, rule_id: RuleId) -> None:
    """Delete the rule and close its open alerts; all its alerts stay in the history."""
    if caller.writers.switch_rule(caller.key, rule_id, caller.now, enabled=False, deleted=True) is None:
        raise _no_rule(rule_id)


@router.post(
    "/v1/alert-rules/replay", summary="Try an alert rule on the past", responses=problems(400, 401, 409, 413, 422, 503)
)
def replay_rule(caller: Trying, new: RuleToReplay) -> Replayed:
    """Return how often the rule would have fired, and for whom. Nothing is stored."""
    rule = _rule(new)
    with caller.store.session(caller.key) as session, _refusing():
        return _answer(replay(session, rule, last=_last_day(session), days=new.days))


def _rule(new: NewRule) -> Rule:
    """Return the rule of a request. Raises ProblemError for a threshold that is no number in the metric's unit."""
    with _refusing():
        written = new.threshold
        threshold = parse_threshold(new.metric, written) if isinstance(written, str) else written
    return Rule(new.name.strip(), new.metric, new.operator, threshold, new.for_days, new.scope, new.severity)


def _stored(session: Session, rule_id: int) -> Row:
    found = next((row for row in session.rows("rules_list") if row["rule_id"] == rule_id), None)
    if found is None:
        raise _no_rule(rule_id)
    return found


def _last_day(session: Session) -> date:
    """Return the last as-of day a rule can be tried on, by a query that may take longer than others."""
    last: date | None = (session.row("api_replay_day") or {"last": None})["last"]
    if last is None:
        raise ProblemError(409, "There is no usage yet to try a rule on.")
    session.take_longer()
    return last


@contextmanager
def _refusing() -> Iterator[None]:
    """Answer a RuleError with a problem that names the wrong fields."""
    try:
        yield
    except RuleError as error:
        raise _refused(error.problems) from None


def _answer(replayed: Replay) -> Replayed:
    values: dict[str, Any] = {name: getattr(replayed, name) for name in Replayed.model_fields}
    return Replayed.model_validate(values)


def _refused(wrong: dict[str, str]) -> ProblemError:
    errors = [FieldProblem(field=name, message=text) for name, text in wrong.items()]
    return ProblemError(422, "; ".join(f"{name}: {text}" for name, text in wrong.items()), errors=errors)


def _no_alert(alert_id: int) -> ProblemError:
    return ProblemError(
        404, f"There is no alert {alert_id} in this organization. GET /v1/alerts lists those there are."
    )


def _no_rule(rule_id: int) -> ProblemError:
    return ProblemError(
        404, f"There is no rule {rule_id} in this organization. GET /v1/alert-rules lists those there are."
    )
