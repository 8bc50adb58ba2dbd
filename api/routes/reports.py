"""The fleet report as a page, and reports of periods as files."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from api.answers import page
from api.dependencies import Asking, AsOf, Day, Limit, OpenedForPage, OpenedForReport, RowId, link
from api.errors import LOST, PROBLEMS, ProblemError, wrong_parameter
from api.kept import ASKED_EACH_TIME, LIST, Kept
from api.schemas.models import KeptReport, KeptReportPage, Report, ReportPage
from resources.errors import UsageError
from resources.files.formats import REPORT_MEDIA_TYPES, ReportFormat

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


REPORT_DAYS = 30
FILE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file, as an attachment",
        # the default first: samples of code are written for it
        "content": {
            REPORT_MEDIA_TYPES[format].partition(";")[0]: {
                "schema": {"type": "object"} if format == "json" else {"type": "string", "format": "binary"}
            }
            for format in sorted(REPORT_MEDIA_TYPES, key="pdf".__ne__)
        },
    }
}
InFormat = Annotated[ReportFormat, Query(description="json, csv (a zip of one file a table), xlsx, html or pdf")]


@router.get(
    "/v1/reports/kept",
    tags=["predictions"],
    summary="The reports of periods that are kept",
    response_model=KeptReportPage,
    responses=PROBLEMS,
)
async def list_kept_reports(
    request: Request,
    asking: Asking,
    limit: Limit = 100,
    after: Annotated[RowId | None, Query(description="`next` of the page before")] = None,
) -> Response:
    """The newest first; `href` with a format is its file."""
    found = await asking.rows("kept_reports", {"before": after, "rows": limit + 1})
    items = found[:limit]
    following = items[-1]["report_id"] if len(found) > limit else None
    return page(KeptReport, items, following, link(request, following), kept=ASKED_EACH_TIME)


@router.get(
    "/v1/reports/kept/{report_id}",
    tags=["predictions"],
    summary="A report that is kept, as a file",
    response_class=Response,
    responses={**FILE, **LOST},
)
async def get_kept_report(
    asking: Asking,
    report_id: Annotated[RowId, Path(description="As the list gives it", examples=[1])],
    format: InFormat = "pdf",
) -> Response:
    """Return the file as it was made; it never changes."""
    found = await asking.rows("kept_file", {"report_id": report_id, "format": format})
    if not found:
        raise ProblemError(404, f"No report {report_id} is kept as {format}; /v1/reports/kept lists those there are.")
    return _file(bytes(found[0]["content"]), found[0]["file_name"], format, LIST)


@router.get(
    "/v1/reports/make",
    tags=["predictions"],
    summary="A report of any period, made now",
    response_class=Response,
    responses={**FILE, **PROBLEMS},
)
def make_report(
    request: Request,
    session: OpenedForReport,
    first: Annotated[
        Day | None, Query(alias="from", description="First UTC day; default: 30 days up to the last")
    ] = None,
    last: Annotated[
        Day | None, Query(alias="to", description="Last UTC day; default: the latest with predictions")
    ] = None,
    label: Annotated[
        str | None,
        Query(min_length=1, max_length=500, pattern=r"^[^\x00]*$", description="Only SIMs whose label begins so"),
    ] = None,
    country: Annotated[
        str | None,
        Query(min_length=1, max_length=100, pattern=r"^[^\x00]*$", description="Only SIMs last seen in this country"),
    ] = None,
    format: InFormat = "pdf",
) -> Response:
    """Return usage, cost, exhaustion, anomalies, churn, savings, quality of data and of models. One is made at a time;
    one that takes longer than 120 seconds is stopped. The same data give the same bytes."""
    from services.reports.collect import collect
    from services.reports.formats import check_formats, render
    from services.reports.kept import file_name
    from services.reports.sections.asking import Wanted

    try:
        check_formats([format])
    except UsageError as error:
        raise ProblemError(501, f"{error}.") from None
    if last is None:
        newest = (session.row("report_as_of", {"last": date.max}) or {}).get("as_of")
        last = newest or request.app.state.clock().date()
    try:
        wanted = Wanted(first or last - timedelta(days=REPORT_DAYS - 1), last, label, country)
    except UsageError as error:
        raise wrong_parameter("from", str(error)) from None
    session.take_longer()
    report = collect(session, wanted, probability=request.app.state.exhaustion_probability)
    return _file(render(report, format), file_name(report, format), format, ASKED_EACH_TIME)


def _file(content: bytes, name: str, format: ReportFormat, kept: int) -> Response:
    """A file as an attachment: a page in it never runs in the service's name."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return Kept(content, kept, headers, REPORT_MEDIA_TYPES[format])
