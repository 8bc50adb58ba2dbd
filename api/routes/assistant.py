"""Short answers under /ai: what /v1 says at length, in one flat object."""

from __future__ import annotations

from datetime import date
from typing import Any

from fastapi import APIRouter, Request, Response

from api.answers import answer, with_runs
from api.connections import Row
from api.dependencies import Asking, AsOf, Iccid
from api.errors import LOST, ProblemError, problems
from api.kept import ONE_SIM, QUOTA
from api.routes.anomalies import anomalies_now, worst
from api.routes.predictions import ForecastDays, no_prediction
from api.routes.tickets import CaseId, no_ticket
from api.schemas.assistant import (
    AssistantAnomaly,
    AssistantChurn,
    AssistantForecast,
    AssistantRecommendation,
    AssistantTicket,
)
from api.schemas.common import BYTES_PER_MB

router = APIRouter(prefix="/ai", tags=["assistant"])
HORIZON_DAYS = 90


@router.get(
    "/sims/{iccid}/usage-forecast",
    summary="What a SIM will use, and when its quota is used up",
    response_model=AssistantForecast,
    responses=LOST,
)
async def forecast(
    request: Request, asking: Asking, iccid: Iccid, days: ForecastDays = 30, as_of: AsOf = None
) -> Response:
    """The next 7, 30 or other days. 404 when there is no forecast."""
    found, ends = await asking.read(
        ("api_usage_forecast", {"iccid": iccid, "as_of": as_of, "days": days}),
        ("api_exhaustion", {"iccid": iccid, "as_of": as_of}),
    )
    if not found:
        raise await no_prediction(asking, iccid, as_of, "forecast")
    end = ends[0] if ends else {}
    left = end.get("remaining")
    return answer(
        {
            **_common(request, found[0]),
            "forecast_days": len(found),
            "predictions": [
                {
                    "date": row["day"],
                    "predicted_mb": row["mean"] / BYTES_PER_MB,
                    "lower_mb": row["q10"] / BYTES_PER_MB,
                    "upper_mb": row["q90"] / BYTES_PER_MB,
                }
                for row in found
            ],
            "total_predicted_mb": sum(row["mean"] for row in found) / BYTES_PER_MB,
            "quota_remaining_mb": None if left is None else left / BYTES_PER_MB,
            "quota_exhaustion_date": _ends_on(end),
            "quota_exhaustion_status": end.get("status"),
            "quota_exhaustion_probability_7d": end.get("p_7"),
            "quota_exhaustion_probability_30d": end.get("p_30"),
        },
        kept=QUOTA,
    )


@router.get(
    "/sims/{iccid}/anomaly-score",
    summary="Whether a SIM behaves unlike itself or its peers",
    response_model=AssistantAnomaly,
    responses=LOST,
)
async def anomaly_score(request: Request, asking: Asking, iccid: Iccid) -> Response:
    """404 before the detector first looked at the SIM."""
    state, anomalies = await anomalies_now(request, asking, iccid)
    return answer(
        {
            **_about(state),
            "is_anomaly": bool(anomalies),
            "anomaly_score": max((row["score"] for row in anomalies), default=0.0),
            "severity": worst(anomalies),
            "anomaly_types": list(dict.fromkeys(row["kind"] for row in anomalies)),
            "reasons": [row["reasons"] for row in anomalies],
        },
        kept=ONE_SIM,
    )


@router.get(
    "/sims/{iccid}/churn-risk", summary="The risk that a SIM leaves", response_model=AssistantChurn, responses=LOST
)
async def churn_risk(request: Request, asking: Asking, iccid: Iccid, as_of: AsOf = None) -> Response:
    """404 when there is none: the SIM is out of service, or the fleet is too young for a model."""
    found = await asking.rows("api_churn_risk", {"iccid": iccid, "as_of": as_of})
    if not found:
        raise await no_prediction(asking, iccid, as_of, "churn risk")
    risk = found[0]
    return answer(
        {
            **_common(request, risk),
            "churn_probability": risk["p_90"],
            "horizon_days": HORIZON_DAYS,
            "churn_probability_30d": risk["p_30"],
            "risk_level": risk["risk_level"],
            "cause": risk["cause"],
            "reasons": _sentences(risk["reasons"]),
            "learnt_from": risk["learnt_from"],
            "recommended_actions": [] if risk["held_out"] else _sentences(risk["action"]),
        },
        kept=ONE_SIM,
    )


@router.get(
    "/sims/{iccid}/quota-recommendation",
    summary="What to do about a SIM's quota",
    response_model=AssistantRecommendation,
    responses=LOST,
)
async def quota_recommendation(request: Request, asking: Asking, iccid: Iccid, as_of: AsOf = None) -> Response:
    """404 when there is none for it."""
    found = await asking.rows("api_recommendation", {"iccid": iccid, "as_of": as_of})
    if not found:
        raise await no_prediction(asking, iccid, as_of, "recommendation")
    advice = found[0]
    return answer(
        {
            **_common(request, advice),
            "recommended_action": advice["action"],
            "reason": advice["reason"],
            "packs": advice["packs"],
            "estimated_savings": advice["saving_minor"] / 100,
            "currency": advice["currency"],
            "confidence": advice["probability"],
            "valid_until": advice["valid_until"],
            "recommendation_id": advice["recommendation_id"],
        },
        kept=ONE_SIM,
    )


@router.post(
    "/tickets/{case_id}/classify",
    summary="What a support ticket is about",
    response_model=AssistantTicket,
    responses=problems(401, 404, 409, 422, 503),
)
async def classify(request: Request, asking: Asking, case_id: CaseId) -> Response:
    """The category of the classifier or, where one said so, of a person. Changes nothing. 409 for a ticket that is not
    classified yet: the pipeline classifies new tickets when it next ingests them, and those without a text never."""
    found = await asking.rows("api_classified_ticket", {"case_id": case_id})
    if not found:
        raise no_ticket(case_id)
    ticket = found[0]
    if ticket["category"] is None:
        raise ProblemError(409, f"Ticket {case_id} is not classified yet, or has no text.")
    with_runs(request, found)
    return answer(ticket | {"reasons": _sentences(ticket["reasons"])})


def _common(request: Request, row: Row) -> dict[str, Any]:
    """The fields that every answer about a SIM begins with."""
    return _about(with_runs(request, [row])[0])


def _about(row: Row) -> dict[str, Any]:
    names = ("iccid", "as_of", "model_name", "model_version", "mlflow_run")
    return {name: row[name] for name in names} | {"generated_at": row["created_at"]}


def _ends_on(end: Row) -> date | None:
    """The median day of the end; the day of expiry where only that is sure."""
    only_expiry = end.get("status") == "not_enough_evidence" and end["p_30"] == 1
    found: date | None = end["expires_on"] if only_expiry else end.get("p50_date")
    return found


def _sentences(text: str | None) -> list[str]:
    """The parts of a text that semicolons separate."""
    return [part for part in (text or "").split("; ") if part]
