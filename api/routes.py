"""The routes: each checks the key, runs one or two named queries in the key's organization and answers with a model."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import date
from typing import IO, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer

from api.models import (
    AlertPage,
    Exhaustion,
    ExhaustionCursor,
    ExhaustionPage,
    FieldProblem,
    Forecast,
    Health,
    Lifecycle,
    Problem,
    Sim,
    SimPage,
    Usage,
)
from api.store import EXPORTS_AT_ONCE, POOL_SIZE, Row, SchemaOutdatedError, Session, Store
from ml.enums import AlertKind, SimState
from resources.files.formats import ExportError, Format
from services.exports import MOST_CONDITIONS, Export, UnknownViewError
from sql import migrations

USAGE_DAYS = 90
MOST_USAGE_DAYS = 1000
PAGES_AT_ONCE = 2
LONGEST_KEY = 200
KEY_NEEDED = "An API key is needed: send it as `Authorization: Bearer ss_...` or `X-API-Key: ss_...`, never in the URL."
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class ProblemError(Exception):
    """An answer other than 200, as application/problem+json."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: list[FieldProblem] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, errors or [], headers or {}


def unauthorized(path: str, detail: str) -> ProblemError:
    """401 with the way to sign in: a browser asks for the key only where there is a page to see."""
    basic = 'Basic realm="Simsight: the API key is the password", charset="UTF-8", ' if path == "/v1/report" else ""
    return ProblemError(401, detail, headers={"WWW-Authenticate": f'{basic}Bearer realm="Simsight"'})


def _wrong(field: str, message: str) -> ProblemError:
    return ProblemError(422, f"{field}: {message}", errors=[FieldProblem(field=field, message=message)])


_bearer = HTTPBearer(auto_error=False, scheme_name="Bearer", description="The API key (ss_...) as a bearer token")
_header = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="X-API-Key", description="The API key (ss_...)")
_basic = HTTPBasic(
    auto_error=False, scheme_name="Basic", description="For browsers: any user name, the API key as password"
)


def _open(request: Request, key: str | None) -> Iterator[Session]:
    if not key:
        raise unauthorized(request.url.path, KEY_NEEDED)
    store: Store = request.app.state.store
    with store.session(key[:LONGEST_KEY]) as session:
        yield session


async def presented_key(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> str:
    """The API key of a request, not looked at yet. Raises ProblemError without one."""
    key = bearer.credentials if bearer else header
    if not key:
        raise unauthorized(request.url.path, KEY_NEEDED)
    return key[:LONGEST_KEY]


def _by_header(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
) -> Iterator[Session]:
    yield from _open(request, bearer.credentials if bearer else header)


def _by_header_or_password(
    request: Request,
    bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    header: Annotated[str | None, Depends(_header)],
    basic: Annotated[HTTPBasicCredentials | None, Depends(_basic)],
) -> Iterator[Session]:
    yield from _open(request, bearer.credentials if bearer else basic.password if basic else header)


# scope: the connection goes back before a slow client has read the answer. max_concurrency: requests wait for a connection
# without a thread, else the waiting ones could take every thread and those with a connection could not go on.
Opened = Annotated[Session, Depends(_by_header, scope="function", max_concurrency=POOL_SIZE)]
OpenedForPage = Annotated[Session, Depends(_by_header_or_password, scope="function", max_concurrency=PAGES_AT_ONCE)]
OpenedForExport = Annotated[Session, Depends(_by_header, scope="function", max_concurrency=EXPORTS_AT_ONCE)]

Iccid = Annotated[
    str, Path(pattern="^[0-9]{19}$", description="19 digits, without the Luhn digit", examples=["8988280666000000001"])
]
Limit = Annotated[int, Query(ge=1, le=1000, description="Items a page at most")]
AsOf = Annotated[date | None, Query(description="The last day that was known; default: the latest there is")]
Label = Annotated[
    str | None, Query(max_length=500, pattern=r"^[^\x00]*$", description="Only SIMs with exactly this label")
]


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    words = {
        401: "No valid API key",
        403: "The key may not write",
        404: "Not found",
        409: "Not possible as things are",
        422: "A parameter is wrong",
        429: "Too many live streams",
        503: "The database does not answer",
    }
    content = {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    return {status: {"description": words[status], "content": content} for status in statuses}


PROBLEMS = problems(401, 422, 503)
LOST = problems(401, 404, 422, 503)

router = APIRouter()


@router.get("/health", tags=["service"], summary="Whether the service and its database work", responses=problems(503))
def health(request: Request) -> Health:
    """Needs no key. 503 when the database is away or its schema is older than this service."""
    store: Store = request.app.state.store
    version, needed = store.schema_version(), migrations()[-1].version
    if version < needed:
        raise SchemaOutdatedError(f"the schema is at version {version}, version {needed} is needed")
    return Health(status="ok", schema_version=version)


@router.get("/v1/sims", tags=["SIMs"], summary="The SIMs of the organization", responses=PROBLEMS)
def list_sims(
    request: Request,
    response: Response,
    session: Opened,
    limit: Limit = 100,
    after: Annotated[str, Query(pattern="^([0-9]{19})?$", description="`next` of the page before")] = "",
    label: Label = None,
    status: Annotated[Literal["Enabled", "Disabled"] | None, Query(description="Only SIMs of this status")] = None,
    state: Annotated[SimState | None, Query(description="Only SIMs in this state of their life")] = None,
) -> SimPage:
    """In the order of ICCIDs. A walk from page to page meets every SIM once, also while SIMs are added. SIMs that are ordered
    and not in the SIM list yet are there when they are asked for by their state."""
    chosen = {"after": after, "label": label, "status": status, "state": state, "rows": limit + 1}
    found = session.rows("api_ordered" if state == "ordered" else "api_sims", {"iccid": None, **chosen})
    items = found[:limit]
    following = items[-1]["iccid"] if len(found) > limit else None
    link(request, response, following)
    return SimPage.model_validate({"items": items, "next": following})


@router.get("/v1/sims/{iccid}", tags=["SIMs"], summary="One SIM", responses=LOST)
def get_sim(session: Opened, iccid: Iccid) -> Sim:
    """A SIM that is ordered and not in the SIM list yet has little more than its state."""
    found = session.row("api_sim", {"iccid": iccid}) or session.row(
        "api_ordered", {"iccid": iccid, "after": "", "label": None, "status": None, "rows": 1}
    )
    if found is None:
        raise _no_sim(iccid)
    return Sim.model_validate(found)


@router.get("/v1/sims/{iccid}/lifecycle", tags=["SIMs"], summary="The life of a SIM", responses=LOST)
def get_lifecycle(
    request: Request,
    response: Response,
    session: Opened,
    iccid: Iccid,
    limit: Limit = 100,
    after: Annotated[
        str,
        Query(pattern="^([0-9]{4}-[0-9]{2}-[0-9]{2}[.][0-9]{1,18})?$", description="`next` of the page before"),
    ] = "",
) -> Lifecycle:
    """Its state, and the states it went through, changes of device and of visited country, and top-ups: when, on what
    evidence, and who decided. Newest last. A SIM that is ordered and not in the SIM list yet has a state and no history."""
    day, _, entry = after.partition(".")
    try:
        place = {"day": date.fromisoformat(day) if day else date.min, "entry": int(entry or 0)}
    except ValueError:
        raise _wrong("after", "is not a cursor of this list: pass `next` of the page before, or leave it out") from None
    state = session.row("api_state", {"iccid": iccid})
    if state is None:
        raise _no_sim(iccid)
    found = session.rows("api_lifecycle", {"iccid": iccid, **place, "rows": limit + 1})
    items = found[:limit]
    following = f"{items[-1]['occurred_on']}.{items[-1]['entry_id']}" if len(found) > limit else None
    link(request, response, following)
    return Lifecycle.model_validate({**state, "items": items, "next": following})


@router.get("/v1/sims/{iccid}/usage", tags=["SIMs"], summary="Daily usage of a SIM", responses=LOST)
def get_usage(
    session: Opened,
    iccid: Iccid,
    first: Annotated[
        date | None, Query(alias="from", description=f"Default: the {USAGE_DAYS} days that end with `to`")
    ] = None,
    last: Annotated[date | None, Query(alias="to", description="Default: the last day with a record")] = None,
) -> Usage:
    """UTC days, oldest first; both ends included; at most 1000 days."""
    if first and last and first > last:
        raise _wrong("from", f"{first} is after to, {last}")
    known = session.row("api_usage_last_day", {"iccid": iccid})
    if known is None:
        raise _no_sim(iccid)
    last = last or known["last_day"]
    if last is None:
        return Usage(iccid=iccid, first_day=first, last_day=None, items=[])
    first = first or date.fromordinal(max(1, last.toordinal() - USAGE_DAYS + 1))
    days = (last - first).days + 1
    if days > MOST_USAGE_DAYS:
        raise _wrong("from", f"{first} to {last} are {days} days: ask for at most {MOST_USAGE_DAYS} at a time")
    items = session.rows("api_usage", {"iccid": iccid, "first_day": first, "last_day": last})
    return Usage.model_validate({"iccid": iccid, "from": first, "to": last, "items": items})


@router.get(
    "/v1/sims/{iccid}/forecast", tags=["predictions"], summary="Forecast of a SIM's daily usage", responses=LOST
)
def get_forecast(session: Opened, iccid: Iccid, as_of: AsOf = None) -> Forecast:
    """One item a day ahead, each with the model that made it. 404 when there is none."""
    items = session.rows("api_forecast", {"iccid": iccid, "as_of": as_of})
    if not items:
        raise _no_prediction(session, iccid, as_of, "forecast")
    return Forecast.model_validate({"iccid": iccid, "items": items})


@router.get("/v1/sims/{iccid}/exhaustion", tags=["predictions"], summary="When a SIM runs out", responses=LOST)
def get_exhaustion(session: Opened, iccid: Iccid, as_of: AsOf = None) -> Exhaustion:
    """404 when there is no prediction for it."""
    found = session.row("api_exhaustion", {"iccid": iccid, "as_of": as_of})
    if found is None:
        raise _no_prediction(session, iccid, as_of, "exhaustion prediction")
    return Exhaustion.model_validate(found)


@router.get("/v1/exhaustions", tags=["predictions"], summary="Which SIMs run out first", responses=PROBLEMS)
def list_exhaustions(
    request: Request,
    response: Response,
    session: Opened,
    limit: Limit = 100,
    after: Annotated[str, Query(max_length=500, description="`next` of the page before")] = "",
) -> ExhaustionPage:
    """As of the latest day, most likely to end within 14 days first, then by median date and ICCID. SIMs whose history
    gives no probability come last. A walk stays on the day it began with."""
    try:
        cursor = ExhaustionCursor.decode(after) if after else _most_urgent(session)
    except ValueError:
        raise _wrong("after", "is not a cursor of this list: pass `next` of the page before, or leave it out") from None
    found = _exhaustions(session, cursor, limit + 1) if cursor else []
    items = found[:limit]
    following = None
    if len(found) > limit:
        final = items[-1]
        following = ExhaustionCursor(
            as_of=final["as_of"], p_14=final["p_14"], p50_date=final["p50_date"], iccid=final["iccid"]
        ).encode()
    link(request, response, following)
    return ExhaustionPage.model_validate({"items": items, "next": following})


@router.get("/v1/alerts", tags=["predictions"], summary="Alerts", responses=PROBLEMS)
def list_alerts(
    request: Request,
    response: Response,
    session: Opened,
    limit: Limit = 100,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="Only alerts with a greater alert_id")] = 0,
    state: Annotated[Literal["open", "closed", "all"], Query(description="Which alerts")] = "open",
    kind: Annotated[AlertKind | None, Query(description="Only alerts of this kind")] = None,
) -> AlertPage:
    """Oldest first. To follow new alerts, pass the greatest alert_id seen so far as `after`."""
    found = session.rows("api_alerts", {"after": after, "state": state, "kind": kind, "rows": limit + 1})
    items = found[:limit]
    following = items[-1]["alert_id"] if len(found) > limit else None
    link(request, response, following)
    return AlertPage.model_validate({"items": items, "next": following})


@router.get(
    "/v1/report",
    tags=["predictions"],
    summary="The fleet report, a page for people",
    response_class=HTMLResponse,
    responses={200: {"description": "A self-contained HTML page"}, **LOST},
)
def get_report(session: OpenedForPage, as_of: AsOf = None) -> HTMLResponse:
    """Opens in a browser, which asks for a user name (any) and a password (the API key)."""
    found = session.row("api_report", {"as_of": as_of})
    if found is None:
        when = (
            f" as of {as_of}; leave out as_of for the latest"
            if as_of
            else " yet; the pipeline writes one after scoring"
        )
        raise ProblemError(404, f"There is no report{when}.")
    return HTMLResponse(found["html"], headers={"Content-Security-Policy": REPORT_POLICY})


MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
}
PIECE_BYTES = 256 * 1024


@router.get(
    "/v1/export/{view}",
    tags=["exports"],
    summary="A view of the data or the predictions as a file",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The file, as an attachment",
            "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()},
        },
        **LOST,
    },
)
def export_view(
    session: OpenedForExport,
    view: Annotated[
        str,
        Path(
            max_length=63,
            description="A documented view without its version, such as sims, sim_usage, sim_quota, sim_events, usage_forecasts, "
            "exhaustions or alerts; 404 lists those there are",
            examples=["exhaustions"],
        ),
    ],
    format: Annotated[Format, Query(description="csv, xlsx or parquet")] = "csv",
    where: Annotated[
        list[str] | None,
        Query(
            max_length=MOST_CONDITIONS,
            description="column=value, with one of = != >= <= > <; repeatable. Several = of one column: any of the values; all "
            "else must hold together; an empty value means none. label= works for every view with an iccid",
            examples=["as_of=2026-01-10"],
        ),
    ] = None,
    columns: Annotated[
        str, Query(max_length=5000, description="Columns, separated by commas; default: all", examples=["iccid,p_14"])
    ] = "",
) -> StreamingResponse:
    """All rows, in no particular order. The file is made before the first byte is sent: an answer of 200 is a whole file. An
    export that takes longer than 120 seconds is stopped. In CSV, text that a spreadsheet would run as a formula has an
    apostrophe before it."""
    chosen = [name.strip() for name in columns.split(",")] if columns else []
    file = tempfile.TemporaryFile(prefix="simsight-")  # noqa: SIM115  # without a name: gone when it is closed
    try:
        session.export(Export(view, format, where or [], chosen), file)
    except UnknownViewError as error:
        file.close()
        raise ProblemError(404, f"{error}.") from None
    except ExportError as error:
        file.close()
        raise ProblemError(422, f"{error}.") from None
    except BaseException:
        file.close()
        raise
    size = file.tell()
    return StreamingResponse(
        _pieces(file),
        media_type=MEDIA_TYPES[format],
        headers={"Content-Disposition": f'attachment; filename="{view}.{format}"', "Content-Length": str(size)},
    )


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(PIECE_BYTES):
            yield piece


def _most_urgent(session: Session) -> ExhaustionCursor | None:
    latest = session.row("api_exhaustions_as_of")
    if latest is None or latest["as_of"] is None:
        return None
    return ExhaustionCursor(as_of=latest["as_of"], p_14=1, p50_date=date.min, iccid="")


def _exhaustions(session: Session, cursor: ExhaustionCursor, rows: int) -> list[Row]:
    """The exhaustions after the cursor: those with a probability, then those without."""
    found: list[Row] = []
    where = {"as_of": cursor.as_of, "iccid": cursor.iccid}
    if cursor.p_14 is not None:
        place = {"p_14": cursor.p_14, "p50_date": str(cursor.p50_date or "infinity"), "rows": rows}
        found = session.rows("api_exhaustions", {**where, **place})
        where["iccid"] = ""
    if len(found) < rows:
        found += session.rows("api_exhaustions_unsure", {**where, "rows": rows - len(found)})
    return found


def _no_sim(iccid: str) -> ProblemError:
    return ProblemError(
        404, f"There is no SIM with ICCID {iccid} in this organization. GET /v1/sims lists those there are."
    )


def _no_prediction(session: Session, iccid: str, as_of: date | None, what: str) -> ProblemError:
    if session.row("api_sim", {"iccid": iccid}) is None:
        return _no_sim(iccid)
    when = (
        f" as of {as_of}; leave out as_of for the latest"
        if as_of
        else " yet; the pipeline writes one when it next scores"
    )
    return ProblemError(404, f"There is no {what} for SIM {iccid}{when}.")


def link(request: Request, response: Response, following: str | int | None) -> None:
    if following is not None:
        url = request.url.include_query_params(after=following)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
