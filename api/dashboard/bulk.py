"""One act on many things: what it would change is shown first, and of more than ten things a phrase is typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from api.dashboard.alerts import SNOOZE
from api.dashboard.routing import all_fields, fields, router
from api.dashboard.signing import Changing
from api.dashboard.sim_list import BULK_ACTIONS, Chosen
from api.dashboard.web import page
from api.database import Session
from api.dependencies import RowId
from api.errors import ProblemError
from ml.enums import BulkAction
from services.access.api_keys import Credential
from services.bulk import MAX_THINGS, BulkError, Wanted, cancel, confirm, kind_of, prepare

OF_ALERTS: tuple[BulkAction, ...] = ("acknowledge-alerts", "snooze-alerts", "resolve-alerts")


@router.post("/bulk/sims")
async def prepare_for_sims(request: Request, session: Changing) -> Response:
    """Show what an act would change: on SIMs that are ticked, or on all of a list."""
    given = await all_fields(request)
    action = _one_of(BULK_ACTIONS, given)
    ticked = None if given.get("which") == ["all"] else given.get("iccid", [])
    if ticked == []:
        raise ProblemError(422, "No SIM is ticked: tick some, or choose all of the list.")
    if ticked and not all(re.fullmatch("[0-9]{19}", iccid) for iccid in ticked):
        raise ProblemError(422, "A SIM is named by the 19 digits of its ICCID.")
    label = given.get("label", [""])[-1].strip()
    if action == "set-labels" and not label:
        raise ProblemError(422, "Write the label that the SIMs are to have.")
    chosen = _chosen(given.get("query", [""])[-1])
    which = chosen.parameters | {"iccids": ticked, "most": MAX_THINGS + 1}

    def make(queries: Session) -> dict[str, Any]:
        found = queries.rows(f"dashboard_bulk_{kind_of(action)}[dashboard_chosen_sims]", which)
        ids = cast("Sequence[int] | Sequence[str]", [row["id"] for row in found])
        said = {"label": label} if action == "set-labels" else {}
        return prepare(queries, session, Wanted(action, ids, said=said), now=request.app.state.clock())

    return await _shown(request, session, make)


@router.post("/bulk/alerts")
async def prepare_for_alerts(request: Request, session: Changing) -> Response:
    """Show what an act would change: on all alerts of a list."""
    given = await all_fields(request)
    action = _one_of(OF_ALERTS, given)
    conditions: dict[str, Any] = {name: given[name][-1] for name in ("kind", "severity", "state") if name in given}
    now = request.app.state.clock()
    said = {"until": now + SNOOZE} if action == "snooze-alerts" else {}
    wanted = Wanted(action, conditions=conditions, said=said)
    return await _shown(request, session, lambda queries: prepare(queries, session, wanted, now=now))


@router.post("/bulk/{bulk_id}/{act}")
async def end_bulk(request: Request, session: Changing, bulk_id: RowId, act: Literal["confirm", "cancel"]) -> Response:
    """Do what was shown, or nothing."""
    phrase, now = (await fields(request)).get("phrase", "").strip(), request.app.state.clock()

    def end(queries: Session) -> dict[str, Any]:
        if act == "cancel":
            return cancel(queries, session, bulk_id, now=now)
        return confirm(queries, session, bulk_id, phrase=phrase, now=now)

    return await _shown(request, session, end)


async def _shown(request: Request, session: Credential, work: Callable[[Session], dict[str, Any]]) -> Response:
    """A bulk action as it is after some work on it. Raises ProblemError where that is refused."""

    def done() -> dict[str, Any]:
        try:
            with request.app.state.writers.bulk(session) as queries:
                return work(queries)
        except BulkError as error:
            raise ProblemError(403 if error.outcome == "read-only" else 409, str(error)) from None

    return page(request, "bulk.html", bulk=await run_in_threadpool(done))


def _one_of(actions: Sequence[BulkAction], given: dict[str, list[str]]) -> BulkAction:
    action = given.get("action", [""])[-1]
    if action not in actions:
        raise ProblemError(422, f"There is no act {action[:60]!r} here.")
    return cast(BulkAction, action)


def _chosen(query: str) -> Chosen:
    """The choice that an address of the list says. Raises ProblemError for what it does not know."""
    given = dict(parse_qsl(query))
    if given.keys() - Chosen.__dataclass_fields__.keys() or given.get("ends", "0") not in ("0", "7", "14", "30"):
        raise ProblemError(422, "That is no list of SIMs.")
    return Chosen(**given)  # type: ignore[arg-type]  # values are parameters of a query, whatever they are
