"""Alert rules: what there is, and what a rule would have done before it is switched on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import Path, Request
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from api.called import called_prefix
from api.dashboard.routing import fields, router, write_access
from api.dashboard.signing import Changing, SignedIn
from api.dashboard.web import chart, language, page, translate
from api.errors import ProblemError
from api.routes import alerts as api
from api.schemas.alerts import RuleSwitch, RuleToAdd
from services.access.api_keys import Credential
from services.alerts.evaluation import replay, stored_rule
from services.alerts.rules import METRICS, OPERATORS, SEVERITIES, Replay, Rule, RuleError, parse_threshold

REPLAY_DAYS = 60
RuleId = Annotated[int, Path(ge=1, le=2**31 - 1)]


@router.get("/rules")
async def rules(request: Request, asked: SignedIn) -> Response:
    found = await asked.rows("rules_list", {})
    shown = [row | {"rule": stored_rule(row)} for row in found]
    return page(request, "rules.html", rules=shown, metrics=METRICS, operators=OPERATORS, severities=SEVERITIES)


@router.post("/rules/try")
async def try_rule(request: Request, session: Changing) -> Response:
    """Show what the rule of the form would have done; it can be stored from there."""
    given = await fields(request)
    return await _tried(request, session, lambda _: _rule(given), stored=None)


@router.post("/rules/{rule_id}/try")
async def try_stored_rule(request: Request, session: Changing, rule_id: RuleId) -> Response:
    def find(rows: list[dict[str, Any]]) -> Rule:
        return next((stored_rule(row) for row in rows if row["rule_id"] == rule_id), None) or _gone(rule_id)

    return await _tried(request, session, find, stored=rule_id)


@router.post("/rules")
async def add_rule(request: Request, session: Changing) -> Response:
    """Store the rule of the form."""
    given = await fields(request)

    def add() -> None:
        try:
            made = _rule(given)
            new = RuleToAdd(**made.as_dict(), enabled="enabled" in given, force="force" in given)
        except RuleError as error:
            raise ProblemError(422, f"{error}.") from None
        except ValidationError as error:
            raise ProblemError(422, "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors())) from None
        api.add_rule(write_access(request, session, "alerts"), new)

    await run_in_threadpool(add)
    return _to_rules(request)


@router.post("/rules/{rule_id}/{act}")
async def switch_rule(
    request: Request, session: Changing, rule_id: RuleId, act: Literal["on", "off", "delete"]
) -> Response:
    given = await fields(request)

    def switch() -> None:
        caller = write_access(request, session, "alerts")
        if act == "delete":
            api.delete_rule(caller, rule_id)
        else:
            api.switch_rule(caller, rule_id, RuleSwitch(enabled=act == "on", force="force" in given))

    await run_in_threadpool(switch)
    return _to_rules(request)


def _to_rules(request: Request) -> Response:
    return Response(headers={"HX-Redirect": f"{called_prefix(request)}/rules", "Cache-Control": "no-store"})


def _rule(given: dict[str, str]) -> Rule:
    """The rule of a form. Raises RuleError for a threshold or a number of days that is none."""
    metric, days, prefix = given.get("metric", ""), given.get("for_days", "1").strip(), given.get("label_prefix", "")
    if not (days.isascii() and days.isdigit() and len(days) < 4):
        raise RuleError({"for_days": f"{days!r} is no number of days"})
    return Rule(
        name=given.get("name", "").strip(),
        metric=metric,
        operator=given.get("operator", ""),
        threshold=parse_threshold(metric, given.get("threshold", "")),
        for_days=int(days),
        scope={"label_prefix": prefix} if prefix else {},
        severity=given.get("severity", ""),
    )


def _gone(rule_id: int) -> Rule:
    raise ProblemError(404, f"There is no rule {rule_id} any more.")


async def _tried(
    request: Request, session: Credential, rule_of: Callable[[list[dict[str, Any]]], Rule], *, stored: int | None
) -> Response:
    """What a rule would have done, or what is wrong with it. stored: its id, of one that is stored."""

    def work() -> tuple[Rule, Replay, bool] | str:
        access = write_access(request, session, "read")
        with access.store.session(access.key) as opened:
            try:
                rows = opened.rows("rules_list")
                rule, on = rule_of(rows), any(row["enabled"] for row in rows if row["rule_id"] == stored)
                last = (opened.row("api_replay_day") or {"last": None})["last"]
                if last is None:
                    return "There is no usage yet to try a rule on."
                opened.take_longer()
                return rule, replay(opened, rule, last=last, days=REPLAY_DAYS), on
            except RuleError as error:
                return str(error)

    found = await run_in_threadpool(work)
    if isinstance(found, str):
        return page(request, "rule_tried.html", wrong=found)
    rule, done, on = found
    return page(
        request,
        "rule_tried.html",
        wrong="",
        rule=rule,
        replay=done,
        stored=stored,
        on=on,
        drawn=_drawn(done, language(request)),
    )


def _drawn(done: Replay, to: str) -> dict[str, Any] | None:
    if not done.by_day:
        return None
    series = [
        {"label": translate("would alert", to), "kind": "bars", "values": [row["begins"] for row in done.by_day]},
        {"label": translate("holds", to), "kind": "line", "values": [row["holding"] for row in done.by_day]},
    ]
    return chart([row["day"] for row in done.by_day], series, to=to, unit="SIMs")
