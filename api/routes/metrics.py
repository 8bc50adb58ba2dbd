"""What monitoring reads."""

from __future__ import annotations

import hmac

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool

from api.errors import ProblemError
from api.metrics import Metrics

router = APIRouter()


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """All figures in Prometheus' text format, to who shows the token of SIMSIGHT_API_METRICS_TOKEN; 404 without one."""
    figures: Metrics | None = request.app.state.metrics
    if figures is None:
        raise ProblemError(404, "There are no metrics here: SIMSIGHT_API_METRICS_TOKEN is not set.")
    scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(shown.strip().encode(), figures.token.encode()):
        raise ProblemError(401, "Show the token of SIMSIGHT_API_METRICS_TOKEN.", headers={"WWW-Authenticate": "Bearer"})
    return Response(await run_in_threadpool(figures.text), media_type=CONTENT_TYPE_LATEST)
