"""What is unlike itself or its peers, and the incidents behind it: two lists, read like the others."""

from __future__ import annotations

from typing import Annotated, get_args

from fastapi import APIRouter, Query, Request, Response

from api.answers import answer, page, shaped, with_runs
from api.connections import Row
from api.dependencies import Asked, Asking, Day, Iccid, Limit, OfSim, RowId, link
from api.errors import LOST, PROBLEMS, ProblemError, no_sim
from api.kept import ONE_SIM
from api.schemas.anomalies import Anomaly, AnomalyPage, AnomalyScore, Incident, IncidentPage
from ml.enums import AnomalyKind, Severity

router = APIRouter(tags=["predictions"])
SEVERITIES = get_args(Severity)  # the least first


@router.get(
    "/v1/anomalies", summary="SIMs unlike themselves or their peers", response_model=AnomalyPage, responses=PROBLEMS
)
async def list_anomalies(
    request: Request,
    asking: Asking,
    limit: Limit = 100,
    after: Annotated[RowId, Query(description="Only anomalies with a greater anomaly_id")] = 0,
    kind: Annotated[AnomalyKind | None, Query(description="Only anomalies of this kind")] = None,
    severity: Annotated[Severity | None, Query(description="Only anomalies of this severity")] = None,
    iccid: OfSim = None,
    day: Annotated[Day | None, Query(description="Only anomalies of this UTC day")] = None,
    incident: Annotated[RowId | None, Query(description="Only members of this incident")] = None,
) -> Response:
    """Oldest first. To follow new anomalies, pass the greatest anomaly_id seen so far as `after`."""
    chosen = {"kind": kind, "severity": severity, "iccid": iccid, "day": day, "incident": incident}
    found = await asking.rows("api_anomalies", {"after": after, **chosen, "rows": limit + 1})
    items = found[:limit]
    following = items[-1]["anomaly_id"] if len(found) > limit else None
    return page(Anomaly, items, following, link(request, following))


@router.get(
    "/v1/sims/{iccid}/anomaly-score",
    summary="Whether a SIM is unlike itself or its peers now",
    response_model=AnomalyScore,
    responses=LOST,
)
async def get_anomaly_score(request: Request, asking: Asking, iccid: Iccid) -> Response:
    """Of the last closed day and of days still under way. 404 before the detector first looked at the SIM."""
    state, anomalies = await anomalies_now(request, asking, iccid)
    run = state.pop("mlflow_run")
    scored = {
        "is_anomaly": bool(anomalies),
        "score": max((row["score"] for row in anomalies), default=0.0),
        "severity": worst(anomalies),
    }
    return answer({**state, **scored, "items": shaped(Anomaly, anomalies), "mlflow_run": run}, kept=ONE_SIM)


async def anomalies_now(request: Request, asking: Asked, iccid: str) -> tuple[Row, list[Row]]:
    """When and by which model a SIM was last looked at, and its anomalies then.

    Raises ProblemError where it never was.
    """
    states, anomalies = await asking.read(
        ("api_anomaly_state", {"iccid": iccid}), ("api_anomalies_now", {"iccid": iccid})
    )
    if not states:
        if not await asking.rows("api_known_sim", {"iccid": iccid}):
            raise no_sim(iccid)
        raise ProblemError(404, f"The anomaly detector has not looked at SIM {iccid} yet; it does when it next runs.")
    return with_runs(request, states)[0], anomalies


def worst(anomalies: list[Row]) -> str | None:
    """The severity of the worst of anomalies; None without one."""
    return max((row["severity"] for row in anomalies), key=SEVERITIES.index, default=None)


@router.get("/v1/incidents", summary="Causes that many SIMs share", response_model=IncidentPage, responses=PROBLEMS)
async def list_incidents(
    request: Request,
    asking: Asking,
    limit: Limit = 100,
    after: Annotated[RowId, Query(description="Only incidents with a greater incident_id")] = 0,
    since: Annotated[Day | None, Query(description="Only incidents whose last day is not before this one")] = None,
) -> Response:
    """Oldest first. Its SIMs are the anomalies with its incident_id."""
    found = await asking.rows("api_incidents", {"after": after, "since": since, "rows": limit + 1})
    items = found[:limit]
    following = items[-1]["incident_id"] if len(found) > limit else None
    return page(Incident, items, following, link(request, following))
