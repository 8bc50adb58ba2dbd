"""Models: what scores and why, how good it was on days it had not seen, and whether it still holds."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response

from api.dashboard.routing import router
from api.dashboard.signing import SignedIn
from api.dashboard.web import chart, figure, language, page, translate
from ml.words import percent

CHALLENGERS = 3  # of a model
SCORED_DAYS = 60
RECENT_DAYS = 3  # that drift is said of, as in the check of the pipeline
# what each model is for
PURPOSES = {
    "usage-forecaster": "Data volume of each SIM and of the fleet, day by day",
    "anomaly-detector": "Days on which a SIM is not as it was",
    "churn-model": "The risk that a SIM leaves",
    "quota-policy": "What to do about each SIM's volume",
    "ticket-classifier": "What a support ticket is about",
}
# the figures that matter, by their name in the backtest: format and words
FIGURES: dict[str, tuple[str, str]] = {
    "rmase": (".2f", "error, as a share of repeating last week"),
    "coverage_80": ("%", "of days, held by the 80 % band"),
    "coverage_95": ("%", "of days, held by the 95 % band"),
    "sum_coverage_80": ("%", "of 30-day sums, held by the 80 % band"),
    "recall": ("%", "of injected anomalies found"),
    "flagged_per_1000": (".1f", "of 1,000 SIM-days flagged"),
    "auc": (".3f", "AUC: who leaves within 90 days"),
    "ece": (".3f", "distance of stated risks from what came"),
    "lift10": (".1f", "ends in the riskiest tenth, times a random tenth's"),
    "macro_f1": (".2f", "macro F1 of the categories"),
    "auto_share": ("%", "of tickets it is sure of"),
    "auto_right": ("%", "right, of these"),
    "ours_cost": (",.0f", "cost of its advice in past months"),
    "rules_cost": (",.0f", "cost of the plain rules"),
    "nothing_cost": (",.0f", "cost of doing nothing"),
    "ours_outages": (",.0f", "days without service, with its advice"),
}


@router.get("/models")
async def models(request: Request, asked: SignedIn) -> Response:
    versions, scores, changes = await asked.read(
        ("api_models", {"challengers": CHALLENGERS}),
        ("dashboard_scores", {"days": SCORED_DAYS}),
        ("dashboard_promotions", {"rows": 10}),
    )
    to = language(request)
    found: dict[str, list[dict[str, Any]]] = {}
    for row in versions:
        metrics = row["metrics"]
        figures = [
            (words, _written(metrics[name], form, to)) for name, (form, words) in FIGURES.items() if name in metrics
        ]
        others = {
            name: _written(value, ".3f", to)
            for name, value in metrics.items()
            if name not in FIGURES and isinstance(value, int | float)
        }
        found.setdefault(row["model_name"], []).append(row | {"figures": figures, "others": others})
    promised = next(
        (
            row["metrics"].get("coverage_80")
            for row in found.get("usage-forecaster", [])
            if row["role"] == "champion" and row["metrics"].get("coverage_80")
        ),
        0.8,
    )
    return page(
        request,
        "models.html",
        models=dict(sorted(found.items(), key=lambda pair: (*PURPOSES, pair[0]).index(pair[0]))),
        purposes=PURPOSES,
        promised=promised,
        recent=_recent(scores),
        drawn=_drift_chart(scores, to),
        changes=changes,
    )


def _written(value: float | None, form: str, to: str) -> str:
    if value is None:
        return "–"
    return figure(percent(value) if form == "%" else f"{value:{form}}", to)


def _recent(scores: list[dict[str, Any]]) -> dict[str, Any] | None:
    """How the last scored days did, weighted by their forecasts; None without any."""
    last = [row for row in scores[-RECENT_DAYS:] if row["coverage_80"] is not None]
    if not last:
        return None
    forecasts = sum(row["forecasts"] for row in last)
    ratios = [row for row in last if row["ratio"] is not None]
    weight = sum(row["forecasts"] for row in ratios)
    return {
        "days": len(last),
        "last": last[-1]["day"],
        "sims": max(row["sims"] for row in last),
        "coverage": sum(row["coverage_80"] * row["forecasts"] for row in last) / forecasts,
        "ratio": sum(row["ratio"] * row["forecasts"] for row in ratios) / weight if weight else None,
    }


def _drift_chart(scores: list[dict[str, Any]], to: str) -> dict[str, Any] | None:
    if not scores:
        return None

    def values(name: str) -> list[float | None]:
        return [None if row[name] is None else round(100 * row[name], 1) for row in scores]

    series: list[dict[str, Any]] = [
        {"label": translate("held by the 80 % band", to), "kind": "bars", "values": values("coverage_80")},
        {
            "label": translate("error against last week", to),
            "kind": "line",
            "ahead": True,
            "values": values("ratio"),
        },
    ]
    return chart([row["day"] for row in scores], series, to=to, unit="%")
