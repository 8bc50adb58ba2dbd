"""What is unlike itself or its peers, and the incidents behind it: two lists, read like the others."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.answers import page
from api.dependencies import Asking, Day, Limit, OfSim, RowId, link
from api.errors import PROBLEMS
from api.schemas.anomalies import Anomaly, AnomalyPage, Incident, IncidentPage
from ml.enums import AnomalyKind, Severity

router = APIRouter(tags=["predictions"])


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
