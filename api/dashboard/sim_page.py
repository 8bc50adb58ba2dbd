"""The page of one SIM, and what happened to it."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Query, Request
from fastapi.responses import Response

from api.dashboard.alerts import first_alerts
from api.dashboard.churn import contribution_bars
from api.dashboard.routing import days_behind, router
from api.dashboard.signing import SignedIn
from api.dashboard.web import language, page, usage_and_forecast
from api.dependencies import Asked, Iccid, cursor_of
from api.routes.history import KINDS
from api.schemas.history import TimelineCursor, TimelineKind

USAGE_DAYS = 90
SESSION_DAYS = 30
ENTRIES = 20
FAR_DAYS = 3653  # of the clocks' axis, at least
TICKS = ((7, "1 week"), (30, "1 month"), (91, "3 months"), (365, "1 year"), (3653, "10 years"))
CAUSES = ("dead_device", "switched_off", "swapped", "exhausted", "expired")
Shown = Literal["", "all", TimelineKind]


@router.get("/sims/{iccid}")
async def sim(request: Request, asked: SignedIn, iccid: Iccid) -> Response:
    which = {"iccid": iccid, "as_of": None}
    found, usage, forecast, ends, churn, advice, anomalies, alerts, sessions, last = await asked.read(
        ("api_sim", {"iccid": iccid}),
        ("dashboard_usage_by_network", {"iccid": iccid, "days": USAGE_DAYS}),
        ("api_forecast", which),
        ("api_exhaustion", which),
        ("api_churn_risk", which),
        ("api_recommendation", which),
        ("dashboard_anomalies", {"iccid": iccid, "rows": 10}),
        ("dashboard_alerts", first_alerts(rows=20, iccid=iccid)),
        ("dashboard_sessions", {"iccid": iccid, "days": SESSION_DAYS}),
        ("dashboard_connection", {"iccid": iccid}),
    )
    if not found:
        return page(request, "missing.html", status=404, iccid=iccid)
    networks = {row["day"]: ", ".join(filter(None, (row["operator"], row["country"]))) for row in usage}
    drawn = usage_and_forecast(
        [(row["day"], row["total"]) for row in usage],
        [{"day": row["day"], "mean": row["mean"], "low": row["q10"], "high": row["q90"]} for row in forecast],
        to=language(request),
        networks=networks,
    )
    empty = [row for row in sessions if row["bytes"] == 0]
    return page(
        request,
        "sim.html",
        sim=found[0],
        stale=days_behind(request, ends[0]["as_of"]) if ends else 0,
        usage=drawn,
        used=_used(usage),
        by_network=_by_network(usage, networks),
        forecast=forecast,
        ends=ends[0] if ends else None,
        clocks=_clocks(ends[0]) if ends else None,
        churn=churn[0] if churn else None,
        causes=sorted(CAUSES, key=lambda cause: -churn[0][f"p_{cause}"]) if churn else (),
        moved_by=contribution_bars(churn[0]["contributions"], language(request)) if churn else (),
        advice=advice[0] if advice else None,
        anomalies=anomalies,
        alerts=alerts,
        sessions=sum(row["sessions"] for row in sessions),
        empty=empty,
        empty_sessions=sum(row["sessions"] for row in empty),
        session_days=SESSION_DAYS,
        connection=last[0] if last else None,
        **await _entries(asked, iccid, "", ""),
    )


@router.get("/parts/sims/{iccid}/timeline")
async def timeline(
    request: Request,
    asked: SignedIn,
    iccid: Iccid,
    shown: Annotated[Shown, Query()] = "",
    after: Annotated[str, Query(max_length=3000)] = "",
) -> Response:
    """What happened to a SIM: the newest first, or what comes after a page."""
    template = "timeline_rows.html" if after else "timeline.html"
    return page(request, template, sim={"iccid": iccid}, **await _entries(asked, iccid, shown, after))


async def _entries(asked: Asked, iccid: str, shown: Shown, after: str) -> dict[str, Any]:
    """A page of the timeline. Events are many and mostly routine: they are shown where they are asked for."""
    kinds = {"": [kind for kind in KINDS if kind != "event"], "all": list(KINDS)}.get(shown, [shown])
    cursor = cursor_of(TimelineCursor, after)
    place = cursor.model_dump() if cursor else {"at": "infinity", "kind": "", "id": ""}
    found = await asked.rows("api_timeline", place | {"iccid": iccid, "kinds": kinds, "rows": ENTRIES + 1})
    following = ""
    if len(found) > ENTRIES:
        last = found[ENTRIES - 1]
        cursor = TimelineCursor(at=last["at"], kind=last["kind"], id=last["id"])
        following = urlencode({"shown": shown, "after": cursor.encode()})
    return {"entries": found[:ENTRIES], "shown": shown, "following": following, "kinds": ("", "all", *KINDS)}


def _used(usage: list[dict[str, Any]]) -> dict[str, int]:
    """Bytes of the last 30 days with a record, and of as many days before."""
    if not usage:
        return {"bytes": 0, "before": 0}
    last: date = usage[-1]["day"]
    recent = sum(row["total"] for row in usage if row["day"] > last - timedelta(30))
    before = sum(row["total"] for row in usage if last - timedelta(60) < row["day"] <= last - timedelta(30))
    return {"bytes": recent, "before": before}


def _by_network(usage: list[dict[str, Any]], networks: dict[date, str]) -> list[dict[str, Any]]:
    """name, bytes, days and last day of each network, the most bytes first; an empty name: not known."""
    found: dict[str, dict[str, Any]] = {}
    for row in usage:
        name = networks[row["day"]]
        one = found.setdefault(name, {"name": name, "bytes": 0, "days": 0})
        one["bytes"] += row["total"]
        one["days"] += row["total"] > 0
        one["last"] = row["day"]
    return sorted(found.values(), key=lambda one: -one["bytes"])


def _clocks(ends: dict[str, Any]) -> dict[str, Any]:
    """Where the two clocks of a SIM stand on one axis, from its as-of day (0) to the far end (100), in which near days
    have more room than far ones.

    low, high, middle  of the end of the volume; high None: beyond the axis
    expires            of the end of its time
    """
    as_of: date = ends["as_of"]
    known = [ends[name] for name in ("p10_date", "p50_date", "p90_date", "expires_on") if ends[name]]
    far = max([FAR_DAYS, *((day - as_of).days for day in known)])

    def place(day: date | None) -> float | None:
        return None if day is None else round(100 * math.log1p(max((day - as_of).days, 0)) / math.log1p(far), 2)

    return {
        "low": place(ends["p10_date"]),
        "middle": place(ends["p50_date"]),
        "high": place(ends["p90_date"]),
        "expires": place(ends["expires_on"]),
        "ticks": [(place(as_of + timedelta(days)), name) for days, name in TICKS],
    }
