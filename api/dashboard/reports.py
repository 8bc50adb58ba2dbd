"""Reports: made now, kept, and planned by administrators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Annotated, Any, Literal

from fastapi import Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from api.connections import Row
from api.dashboard.routing import PAGE, all_fields, router, write_access
from api.dashboard.signing import Changing, SignedIn
from api.dashboard.web import page
from api.database import Session
from api.dependencies import REPORTS_AT_ONCE, RowId, WriteAccess
from api.errors import ProblemError
from api.routes import report_schedules as schedules_api
from api.routes import reports as api
from api.schemas.report_schedules import NewReportSchedule
from resources.files.formats import REPORT_FORMATS, ReportFormat
from services.access.api_keys import Credential

EVERY = ("daily", "weekly", "monthly")
DAY = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$"
TEXT = r"^[^\x00]*$"
ScheduleName = Annotated[str, Path(max_length=63, pattern=r"^[^\x00]+$")]
Chosen = Annotated[str, Query(max_length=100, pattern=TEXT)]


@router.get("/reports")
async def reports(
    request: Request, asked: SignedIn, before: Annotated[str, Query(pattern="^[0-9]{0,18}$")] = ""
) -> Response:
    """Reports that are kept, the newest first, and a form for one of any period; for administrators the schedules."""
    which = {"before": int(before) if before else None, "rows": PAGE + 1}
    queries: list[tuple[str, dict[str, Any]]] = [("kept_reports", which), ("report_as_of", {"last": date.max})]
    if "admin" in asked.scopes:
        queries += [("report_schedules", {}), ("api_channels", {})]
    kept, newest, *planned = await asked.read(*queries)
    last = newest[0]["as_of"] if newest else None
    return page(
        request,
        "reports.html",
        kept=kept[:PAGE],
        following=kept[PAGE - 1]["report_id"] if len(kept) > PAGE else None,
        first=not before,
        first_day=last - timedelta(days=api.REPORT_DAYS - 1) if last else "",
        last_day=last or "",
        formats=sorted(REPORT_FORMATS, key="pdf".__ne__),
        every=EVERY,
        **(_planned(request, *planned) if planned else {}),
    )


def _session_for_report(request: Request, asked: SignedIn) -> Iterator[Session]:
    with request.app.state.store.session(asked.key) as session:
        yield session


ForReport = Annotated[Session, Depends(_session_for_report, scope="function", max_concurrency=REPORTS_AT_ONCE)]


@router.get("/files/report")
def report_file(
    request: Request,
    session: ForReport,
    first: Annotated[str, Query(alias="from", pattern=DAY)] = "",
    last: Annotated[str, Query(alias="to", pattern=DAY)] = "",
    label: Chosen = "",
    country: Chosen = "",
    format: ReportFormat = "pdf",
) -> Response:
    """A report of any period, made now."""
    try:
        first_day, last_day = (date.fromisoformat(day) if day else None for day in (first, last))
    except ValueError as error:
        raise ProblemError(422, f"{error}.") from None
    chosen = label.strip() or None, country.strip() or None
    return api.make_report(request, session, first_day, last_day, *chosen, format)


@router.get("/files/reports/{report_id}.{format}")
async def kept_file(asked: SignedIn, report_id: RowId, format: ReportFormat) -> Response:
    return await api.get_kept_report(asked, report_id, format)


@router.post("/report-schedules")
async def add_schedule(request: Request, session: Changing) -> Response:
    """Write the schedule of the form."""
    given = await all_fields(request)

    def add(caller: WriteAccess) -> None:
        texts = {name: given.get(name, [""])[-1].strip() for name in ("name", "every", "at", "time_zone")}
        chosen = {name: given.get(name, [""])[-1].strip() or None for name in ("label", "country")}
        lists = {name: given.get(name, []) for name in ("formats", "channels")}
        try:
            new = NewReportSchedule.model_validate(texts | chosen | lists)
        except ValidationError as error:
            raise ProblemError(422, "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors())) from None
        schedules_api.add_schedule(request, caller, new)

    return await _changed(request, session, add)


@router.post("/report-schedules/{name}/{change}")
async def change_schedule(
    request: Request, session: Changing, name: ScheduleName, change: Literal["pause", "resume", "remove"]
) -> Response:
    return await _changed(request, session, lambda caller: schedules_api.change(caller, name, change))


async def _changed(request: Request, session: Credential, change: Callable[[WriteAccess], None]) -> Response:
    """Change a schedule, and show the schedules there are now, or what was wrong."""

    def work() -> tuple[str, list[Row], list[Row]]:
        caller, wrong = write_access(request, session, "admin"), ""
        try:
            change(caller)
        except ProblemError as error:
            wrong = error.detail
        with caller.store.session(caller.key) as opened:
            return wrong, opened.rows("report_schedules"), opened.rows("api_channels")

    wrong, rows, channels = await run_in_threadpool(work)
    return page(request, "report_schedules.html", **_planned(request, rows, channels, wrong=wrong))


def _planned(request: Request, rows: list[Row], channels: list[Row], *, wrong: str = "") -> dict[str, Any]:
    shown = [schedules_api.with_next(row, request) for row in rows]
    return {"schedules": shown, "channels": channels, "wrong": wrong}
