"""Schedules that make reports again and again, for administrators."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from api.answers import answer
from api.connections import Row
from api.dependencies import AdminCaller, AskingAsAdmin, WriteAccess
from api.errors import PROBLEMS, ProblemError, problems, wrong_parameter
from api.schemas.report_schedules import (
    NewReportSchedule,
    ReportSchedule,
    ReportScheduleList,
    ReportScheduleSwitch,
)
from resources.errors import UsageError
from services.access.api_keys import lacks
from services.reports.formats import check_formats
from services.reports.periods import ReportError, next_due, zone_named

router = APIRouter(tags=["predictions"])
ScheduleName = Annotated[
    str, Path(max_length=63, pattern=r"^[^\x00]+$", description="Name of the schedule", examples=["weekly-ops"])
]


@router.get(
    "/v1/report-schedules", summary="The schedules of reports", response_model=ReportScheduleList, responses=PROBLEMS
)
async def list_schedules(request: Request, asking: AskingAsAdmin) -> Response:
    """The schedules by name, each with the report it makes next and what became of the newest one; and the channels
    that may get reports."""
    rows, channels = await asking.read(("report_schedules", {}), ("api_channels", {}))
    known = ReportScheduleList.model_validate(
        {"items": [with_next(row, request) for row in rows], "channels": channels}
    )
    return answer(known.model_dump())


@router.post(
    "/v1/report-schedules",
    summary="Add a schedule of reports",
    status_code=201,
    responses=problems(400, 401, 403, 409, 413, 422, 503),
)
def add_schedule(request: Request, caller: AdminCaller, new: NewReportSchedule) -> ReportSchedule:
    """Make a report of each period from now on, keep it, and send it to the channels: by mail with its files, elsewhere
    its first sentence and links. Periods that were due before are not made."""
    try:
        zone = zone_named(new.time_zone)
        check_formats(new.formats)
    except ReportError as error:
        raise wrong_parameter("time_zone", str(error)) from None
    except UsageError as error:  # a part that is not installed
        raise ProblemError(501, f"{error}.") from None
    values = new.model_dump() | {"time_zone": zone, "formats": list(dict.fromkeys(new.formats)), "now": caller.now}
    outcome = caller.writers.change_key("api_add_report_schedule", caller.key, values)["outcome"]
    if outcome == "taken":
        raise ProblemError(409, f"There is a schedule named {new.name!r}: choose another name, or remove it first.")
    if outcome == "no-channel":
        with caller.store.session(caller.key) as session:
            there = [row["name"] for row in session.rows("api_channels")]
        unknown = ", ".join(repr(name) for name in dict.fromkeys(new.channels) if name not in there)
        said = f"There are {', '.join(there)}." if there else "There is none yet: `simsight channels add` adds one."
        raise wrong_parameter("channels", f"there is no channel {unknown}. {said}")
    _check(outcome, new.name)
    return _stored(request, caller, new.name)


@router.patch(
    "/v1/report-schedules/{name}",
    summary="Pause or resume a schedule of reports",
    responses=problems(400, 401, 403, 404, 413, 422, 503),
)
def switch_schedule(
    request: Request, caller: AdminCaller, name: ScheduleName, switch: ReportScheduleSwitch
) -> ReportSchedule:
    """Make nothing until it is resumed; then it goes on with the next period that is due."""
    change(caller, name, "pause" if switch.paused else "resume")
    return _stored(request, caller, name)


@router.delete(
    "/v1/report-schedules/{name}",
    summary="Remove a schedule of reports",
    status_code=204,
    response_class=Response,
    responses=problems(401, 403, 404, 422, 503),
)
def remove_schedule(caller: AdminCaller, name: ScheduleName) -> None:
    """Remove the schedule; the reports it made stay."""
    change(caller, name, "remove")


def with_next(row: Row, request: Request) -> dict[str, Any]:
    """A schedule with the report it makes next."""
    state = request.app.state
    due = next_due(row, now=state.clock(), lateness_days=state.lateness_days)
    following = {"first_day": due.first_day, "last_day": due.last_day, "due_at": due.since} if due else None
    return row | {"next": following}


def change(caller: WriteAccess, name: str, change: str) -> None:
    values = {"name": name, "change": change, "now": caller.now}
    _check(caller.writers.change_key("api_change_report_schedule", caller.key, values)["outcome"], name)


def _check(outcome: str, name: str) -> None:
    if outcome == "not-admin":
        raise ProblemError(403, lacks("admin"))
    if outcome != "done":
        raise _unknown(name)


def _stored(request: Request, caller: WriteAccess, name: str) -> ReportSchedule:
    with caller.store.session(caller.key) as session:
        found = next((row for row in session.rows("report_schedules") if row["name"] == name), None)
    if found is None:  # removed meanwhile
        raise _unknown(name)
    return ReportSchedule.model_validate(with_next(found, request))


def _unknown(name: str) -> ProblemError:
    return ProblemError(404, f"There is no schedule named {name!r}. GET /v1/report-schedules lists those there are.")
