"""Alerts: the open ones, what a person does about them, and what became of each."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Path, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from api.dashboard.routing import PAGE, router
from api.dashboard.signing import Changing, SignedIn
from api.dashboard.web import page

SNOOZE = timedelta(days=7)


@router.get("/alerts")
async def alerts(
    request: Request,
    asked: SignedIn,
    after: Annotated[str, Query(pattern="^([1-3]-[0-9]{1,18})?$")] = "",
    kind: Annotated[str, Query(max_length=60)] = "",
    severity: Annotated[Literal["critical", "warning", "info", ""], Query()] = "",
    state: Annotated[Literal["open", "acknowledged", "snoozed", ""], Query()] = "",
) -> Response:
    rank, _, alert_id = after.partition("-")
    chosen = {"kind": kind, "severity": severity, "state": state}
    wanted = first_alerts(rows=PAGE + 1) | {name: value or None for name, value in chosen.items()}
    if after:
        wanted |= {"rank": int(rank), "alert_id": int(alert_id)}
    found, counts = await asked.read(("dashboard_alerts", wanted), ("dashboard_alert_counts", {}))
    kept = {name: value for name, value in chosen.items() if value}
    last = found[PAGE - 1] if len(found) > PAGE else None
    return page(
        request,
        "alerts_rows.html" if request.headers.get("hx-request") else "alerts.html",
        alerts=found[:PAGE],
        facets={name: _counted(counts, name) for name in chosen},
        total=sum(row["alerts"] for row in counts),
        shown=sum(row["alerts"] for row in counts if all(value in ("", row[name]) for name, value in chosen.items())),
        chosen=chosen,
        following=urlencode(kept | {"after": f"{last['rank']}-{last['alert_id']}"}) if last else "",
        with_choice=lambda name, value: urlencode({key: one for key, one in (kept | {name: value}).items() if one}),
    )


def _counted(counts: list[dict[str, Any]], name: str) -> list[tuple[str, int]]:
    """The values of a property with how many open alerts have it, the most first."""
    found: dict[str, int] = {}
    for row in counts:
        found[row[name]] = found.get(row[name], 0) + row["alerts"]
    return sorted(found.items(), key=lambda pair: -pair[1])


@router.get("/parts/alerts")
async def newest_alerts(request: Request, asked: SignedIn) -> Response:
    """The fleet page's alerts, asked for again when one changes."""
    found = await asked.rows("dashboard_alerts", first_alerts(rows=8))
    return page(request, "alerts_list.html", alerts=found)


@router.get("/parts/alerts/{alert_id}/history")
async def alert_history(
    request: Request, asked: SignedIn, alert_id: Annotated[int, Path(ge=1, le=2**63 - 1)]
) -> Response:
    """What became of an alert: when, by whom, with what note."""
    found = await asked.rows("api_alert_history", {"alert_id": alert_id})
    return page(request, "alert_history.html", history=found)


@router.post("/alerts/{alert_id}/{act}")
async def act_on_alert(
    request: Request, session: Changing, alert_id: int, act: Literal["acknowledge", "snooze", "resolve", "reopen"]
) -> Response:
    """Change one alert and return its row as it is now."""
    now = request.app.state.clock()
    until = now + SNOOZE if act == "snooze" else None
    values = {"alert_id": alert_id, "act": act, "until": until, "note": "", "by": None, "now": now}
    outcome = await run_in_threadpool(request.app.state.writers.outcome, "api_act_on_alert", session, values)
    rows = await request.app.state.readers.read(session, ("dashboard_alert", {"alert_id": alert_id}))
    return page(request, "alert_row.html", alert=rows[0][0] if rows[0] else None, outcome=outcome)


def first_alerts(*, rows: int, iccid: str | None = None) -> dict[str, Any]:
    """The parameters of dashboard_alerts for a first page."""
    chosen = dict.fromkeys(("kind", "severity", "state"))
    return {**chosen, "iccid": iccid, "rank": 0, "alert_id": None, "rows": rows}
