"""The fleet report as a page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse

from api.answers import page
from api.dependencies import Asking, AsOf, Day, Limit, OpenedForPage, link
from api.errors import LOST, PROBLEMS, ProblemError
from api.schemas.models import Report, ReportPage

router = APIRouter()


REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


@router.get(
    "/v1/reports",
    tags=["predictions"],
    summary="The fleet reports there are",
    response_model=ReportPage,
    responses=PROBLEMS,
)
async def list_reports(
    request: Request,
    asking: Asking,
    limit: Limit = 100,
    after: Annotated[Day | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """The newest first; /v1/report shows one."""
    found = await asking.rows("api_reports", {"before": after, "rows": limit + 1})
    items = found[:limit]
    following = items[-1]["as_of"].isoformat() if len(found) > limit else None
    return page(Report, items, following, link(request, following))


@router.get(
    "/v1/report",
    tags=["predictions"],
    summary="The fleet report, a page for people",
    response_class=HTMLResponse,
    responses={200: {"description": "A self-contained HTML page"}, **LOST},
)
def get_report(session: OpenedForPage, as_of: AsOf = None) -> HTMLResponse:
    """Return the page. A browser asks for a user name (any) and a password (the API key)."""
    found = session.row("api_report", {"as_of": as_of})
    if found is None:
        when = (
            f" as of {as_of}; leave out as_of for the latest"
            if as_of
            else " yet; the pipeline writes one after scoring"
        )
        raise ProblemError(404, f"There is no report{when}.")
    return HTMLResponse(found["html"], headers={"Content-Security-Policy": REPORT_POLICY})
