"""The fleet page: one stored row (predictions.fleet_summaries) and the open alerts. Its cost does not grow with the
fleet."""

from __future__ import annotations

from datetime import date
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from api.dashboard.alerts import first_alerts
from api.dashboard.routing import days_behind, router
from api.dashboard.signing import SignedIn
from api.dashboard.web import language, page, usage_and_forecast
from api.routes.alert_stream import follow


@router.get("/")
async def fleet(request: Request, asked: SignedIn) -> Response:
    rows, counts, alerts, savings, sources = await asked.read(
        ("dashboard_fleet", {}),
        ("dashboard_alert_counts", {}),
        ("dashboard_alerts", first_alerts(rows=8)),
        ("api_savings", {"as_of": None}),
        ("api_source_passes", {}),
    )
    row = rows[0]
    content = row["content"]
    if content is None:
        return page(request, "empty.html", organization=row["organization"])
    to = language(request)
    return page(
        request,
        "fleet.html",
        organization=row["organization"],
        as_of=row["as_of"],
        created_at=row["created_at"],
        age=(request.app.state.clock().date() - row["as_of"]).days,
        stale=days_behind(request, row["as_of"]),
        fleet=content,
        usage=_fleet_chart(content, to),
        alerts=alerts,
        alerts_open=sum(one["alerts"] for one in counts),
        realized=[one for one in savings[0]["realized"] if one["scope"] == "all"] if savings else [],
        sources=sources,
        alerts_critical=sum(one["alerts"] for one in counts if one["severity"] == "critical"),
    )


def _fleet_chart(content: dict[str, Any], to: str) -> dict[str, Any] | None:
    daily, ahead = content["daily"], content["forecast"]
    days = [date.fromisoformat(day) for day in daily["day"]]
    forecast = [
        {"day": date.fromisoformat(day), "mean": mean, "low": low, "high": high}
        for day, mean, low, high in zip(ahead["day"], ahead["mean"], ahead["low"], ahead["high"], strict=True)
    ]
    return usage_and_forecast(list(zip(days, daily["bytes"], strict=True)), forecast, to=to)


@router.get("/live")
async def live(request: Request, asked: SignedIn) -> Response:
    """What happens to alerts from now on, as named events (api.routes.alert_stream)."""
    return await follow(request, asked.key, after=None)
