"""The dashboard's pages: the fleet, its SIMs, alerts, money, and questions.

Every page is HTML made here from a few queries; parts of it are asked for anew by htmx. The fleet page is one stored
row (predictions.fleet_summaries) and the open alerts, so that its cost does not grow with the fleet.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated, Any, Literal, get_args
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import FileResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from api.called import called_address, called_prefix
from api.dashboard.signing import (
    COOKIE,
    SESSION_HOURS,
    Changing,
    SignedIn,
    SignedOutError,
    count_use,
    credential,
    new_session,
    session_token,
)
from api.dashboard.web import LANGUAGE_COOKIE, STATIC, chart, language, page, translate, usage_and_forecast
from api.database import InvalidKeyError
from api.dependencies import Iccid, KnownParameters
from api.errors import ProblemError
from api.routes.alert_stream import follow
from api.routes.history import KINDS
from ml.enums import TicketCategory
from services.access.api_keys import Credential, NotAllowedError, has_form
from services.questions.answers import EXAMPLES, Answer

PAGE = 50
CHALLENGERS = 3  # of a model
CATEGORIES: tuple[TicketCategory, ...] = get_args(TicketCategory)
USAGE_DAYS = 90
# events are many and mostly routine: they are shown by themselves
FIRST_OF_TIMELINE = {"kinds": [kind for kind in KINDS if kind != "event"], "at": "infinity", "kind": "", "id": ""}
FIRST_EVENTS = {"at": "infinity", "event_type": "", **dict.fromkeys(("type", "severity", "first", "last"))}
STALE_AFTER = timedelta(days=2)
SNOOZE = timedelta(days=7)
FILES = {
    "app.css": "text/css",
    "uplot.min.css": "text/css",
    "app.js": "text/javascript",
    "htmx.min.js": "text/javascript",
    "hx-sse.min.js": "text/javascript",
    "uplot.min.js": "text/javascript",
    "LICENSES.txt": "text/plain",
}

router = APIRouter(include_in_schema=False, dependencies=[KnownParameters])


def lead_to_sign_in(app: FastAPI) -> None:
    """Who is not signed in is led to the page for it: a browser by itself, htmx by a header of its own."""

    @app.exception_handler(SignedOutError)
    async def _signed_out(request: Request, _error: Exception) -> Response:
        where = f"{called_prefix(request)}/sign-in"
        if request.headers.get("hx-request"):
            return Response(headers={"HX-Redirect": where, "Cache-Control": "no-store"})
        return RedirectResponse(where, 303, headers={"Cache-Control": "no-store"})


# --- signing in and out ---------------------------------------------------------------------------------------------


@router.get("/sign-in")
def sign_in_page(request: Request) -> Response:
    return page(request, "sign_in.html", wrong=False)


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Open a session with an API key."""
    key = (await _fields(request)).get("key", "").strip()
    shown, session, limits = credential(request, key), new_session(), request.app.state.limits
    address = shown.address or "?"
    if wait := limits.blocked_s(address, shown.sha256):
        raise ProblemError(429, f"Too many wrong keys came from your address: wait {wait} seconds.")
    opened = has_form(key) and await run_in_threadpool(_open_session, request, shown, credential(request, session))
    count_use(request, shown, refused=not opened)
    if not opened:
        await limits.failed(address, shown.sha256)
        return page(request, "sign_in.html", status=401, wrong=True)
    answer = RedirectResponse(f"{called_prefix(request)}/", 303)
    _set_cookie(request, answer, COOKIE, session, SESSION_HOURS * 3600)
    return answer


async def _fields(request: Request) -> dict[str, str]:
    """The fields of a form, the last of each name."""
    return dict(parse_qsl((await request.body()).decode("latin-1")))


def _open_session(request: Request, key: Credential, session: Credential) -> bool:
    try:
        with request.app.state.store.session(key):  # looks at its networks, too
            pass
    except (InvalidKeyError, NotAllowedError):
        return False
    return bool(request.app.state.writers.open_session(key, session, SESSION_HOURS))


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session, in this browser and in the database."""
    answer = RedirectResponse(f"{called_prefix(request)}/sign-in", 303)
    answer.delete_cookie(COOKIE, path=f"{called_prefix(request)}/")
    try:
        token = session_token(request)
    except SignedOutError:
        return answer
    await run_in_threadpool(request.app.state.writers.close_session, credential(request, token))
    return answer


@router.post("/language/{chosen}")
async def choose_language(request: Request, chosen: Literal["en", "de"]) -> Response:
    """Show the page that asked, from now on in another language."""
    asked = (await _fields(request)).get("path", "/")
    back = asked if re.fullmatch(r"(/[A-Za-z0-9-]*)+", asked) and "//" not in asked else "/"
    answer = RedirectResponse(called_prefix(request) + back, 303)
    _set_cookie(request, answer, LANGUAGE_COOKIE, chosen, 365 * 86_400)
    return answer


def _set_cookie(request: Request, answer: Response, name: str, value: str, seconds: int) -> None:
    secure = called_address(request).startswith("https:")
    path = f"{called_prefix(request)}/"
    answer.set_cookie(name, value, seconds, path=path, secure=secure, httponly=True, samesite="strict")


@router.get("/static/{name}")
def static(name: str, v: str = "") -> Response:
    """A file of the pages; v: a mark of its content, so that a browser may keep it."""
    if name not in FILES:
        raise ProblemError(404, f"There is no file {name[:100]}.")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return FileResponse(STATIC / name, media_type=FILES[name], headers=headers)


# --- pages ----------------------------------------------------------------------------------------------------------


@router.get("/")
async def fleet(request: Request, asked: SignedIn) -> Response:
    rows, counts, alerts = await asked.read(
        ("dashboard_fleet", {}), ("dashboard_alert_counts", {}), ("dashboard_alerts", _first_alerts(rows=8))
    )
    row = rows[0]
    content = row["content"]
    if content is None:
        return page(request, "empty.html", organization=row["organization"])
    to = language(request)
    return page(
        request,
        "fleet.html",
        organization=row["organization"],
        as_of=row["as_of"],
        created_at=row["created_at"],
        stale=_stale(request, row["as_of"]),
        fleet=content,
        usage=_fleet_chart(content, to),
        alerts=alerts,
        alerts_open=sum(one["alerts"] for one in counts),
        alerts_critical=sum(one["alerts"] for one in counts if one["severity"] == "critical"),
    )


@router.get("/sims")
async def sims(
    request: Request,
    asked: SignedIn,
    after: Annotated[str, Query(pattern="^([0-9]{19})?$")] = "",
    words: Annotated[str, Query(max_length=100)] = "",
    state: Annotated[str, Query(max_length=40)] = "",
    label: Annotated[str, Query(max_length=200)] = "",
    status: Annotated[Literal["Enabled", "Disabled", ""], Query()] = "",
) -> Response:
    chosen = {"words": words.strip(), "state": state, "label": label, "status": status}
    parameters = {name: value or None for name, value in chosen.items()} | {"after": after, "rows": PAGE + 1}
    found, facets = await asked.read(("dashboard_sims", parameters), ("dashboard_facets", {}))
    kept = {name: value for name, value in chosen.items() if value}
    following = urlencode(kept | {"after": found[PAGE - 1]["iccid"]}) if len(found) > PAGE else ""
    template = "sims_rows.html" if request.headers.get("hx-request") else "sims.html"
    return page(
        request,
        template,
        sims=found[:PAGE],
        facets=facets,
        chosen=chosen,
        following=following,
        first=not after,
        without=lambda name: urlencode({key: value for key, value in kept.items() if key != name}),
        with_state=lambda value: urlencode({**kept, "state": value}),
    )


@router.get("/sims/{iccid}")
async def sim(request: Request, asked: SignedIn, iccid: Iccid) -> Response:
    which = {"iccid": iccid, "as_of": None}
    days = {"iccid": iccid, "first_day": None, "last_day": None, "days": USAGE_DAYS, "rows": USAGE_DAYS}
    found, usage, forecast, ends, churn, advice, anomalies, alerts, history, events, last = await asked.read(
        ("api_sim", {"iccid": iccid}),
        ("api_usage", days),
        ("api_forecast", which),
        ("api_exhaustion", which),
        ("api_churn_risk", which),
        ("api_recommendation", which),
        ("dashboard_anomalies", {"iccid": iccid, "rows": 10}),
        ("dashboard_alerts", _first_alerts(rows=20, iccid=iccid)),
        ("api_timeline", {**FIRST_OF_TIMELINE, "iccid": iccid, "rows": 25}),
        ("api_sim_events", {**FIRST_EVENTS, "iccid": iccid, "rows": 8}),
        ("dashboard_connection", {"iccid": iccid}),
    )
    if not found:
        return page(request, "missing.html", status=404, iccid=iccid)
    to = language(request)
    drawn = usage_and_forecast(
        [(row["day"], row["total"]) for row in usage],
        [{"day": row["day"], "mean": row["mean"], "low": row["q10"], "high": row["q90"]} for row in forecast],
        to=to,
    )
    return page(
        request,
        "sim.html",
        sim=found[0],
        usage=drawn,
        used=_used(usage),
        forecast=forecast,
        ends=ends[0] if ends else None,
        churn=churn[0] if churn else None,
        advice=advice[0] if advice else None,
        anomalies=anomalies,
        alerts=alerts,
        history=history,
        events=events,
        connection=last[0] if last else None,
    )


def _used(usage: list[dict[str, Any]]) -> dict[str, int]:
    """Bytes of the last 30 days with a record, and of as many days before."""
    if not usage:
        return {"bytes": 0, "before": 0}
    last: date = usage[-1]["day"]
    recent = sum(row["total"] for row in usage if row["day"] > last - timedelta(30))
    before = sum(row["total"] for row in usage if last - timedelta(60) < row["day"] <= last - timedelta(30))
    return {"bytes": recent, "before": before}


@router.get("/alerts")
async def alerts(
    request: Request,
    asked: SignedIn,
    after: Annotated[str, Query(pattern="^([1-3]-[0-9]{1,18})?$")] = "",
    kind: Annotated[str, Query(max_length=60)] = "",
    severity: Annotated[Literal["critical", "warning", "info", ""], Query()] = "",
    state: Annotated[Literal["open", "acknowledged", "snoozed", ""], Query()] = "",
) -> Response:
    rank, _, alert_id = after.partition("-")
    chosen = {"kind": kind, "severity": severity, "state": state}
    wanted = _first_alerts(rows=PAGE + 1) | {name: value or None for name, value in chosen.items()}
    if after:
        wanted |= {"rank": int(rank), "alert_id": int(alert_id)}
    found, counts = await asked.read(("dashboard_alerts", wanted), ("dashboard_alert_counts", {}))
    kept = {name: value for name, value in chosen.items() if value}
    last = found[PAGE - 1] if len(found) > PAGE else None
    kinds: dict[str, int] = {}
    for row in counts:
        kinds[row["kind"]] = kinds.get(row["kind"], 0) + row["alerts"]
    return page(
        request,
        "alerts_rows.html" if request.headers.get("hx-request") else "alerts.html",
        alerts=found[:PAGE],
        kinds=sorted(kinds.items(), key=lambda pair: -pair[1]),
        total=sum(kinds.values()),
        chosen=chosen,
        following=urlencode(kept | {"after": f"{last['rank']}-{last['alert_id']}"}) if last else "",
        query=urlencode(kept),
        with_kind=lambda value: urlencode({**kept, "kind": value}),
    )


@router.get("/parts/alerts")
async def newest_alerts(request: Request, asked: SignedIn) -> Response:
    """The fleet page's alerts, asked for again when one changes."""
    found = await asked.rows("dashboard_alerts", _first_alerts(rows=8))
    return page(request, "alerts_list.html", alerts=found)


@router.post("/alerts/{alert_id}/{act}")
async def act_on_alert(
    request: Request, session: Changing, alert_id: int, act: Literal["acknowledge", "snooze", "resolve", "reopen"]
) -> Response:
    """Change one alert and return its row as it is now."""
    now = request.app.state.clock()
    until = now + SNOOZE if act == "snooze" else None
    values = {"alert_id": alert_id, "act": act, "until": until, "note": "", "by": None, "now": now}
    outcome = await run_in_threadpool(request.app.state.writers.outcome, "api_act_on_alert", session, values)
    rows = await request.app.state.readers.read(session, ("dashboard_alert", {"alert_id": alert_id}))
    return page(request, "alert_row.html", alert=rows[0][0] if rows[0] else None, outcome=outcome)


@router.get("/money")
async def money(request: Request, asked: SignedIn) -> Response:
    rows, advice = await asked.read(
        ("dashboard_fleet", {}),
        (
            "api_recommendations",
            {
                "as_of": None,
                "action": None,
                "label": None,
                "decision": None,
                "acting": True,
                "saving": None,
                "recommendation_id": 0,
                "rows": PAGE,
            },
        ),
    )
    content = rows[0]["content"]
    return page(
        request,
        "money.html",
        as_of=rows[0]["as_of"],
        money=content["money"] if content else None,
        policy=content["policy"] if content else "",
        advice=advice,
    )


@router.post("/recommendations/{recommendation_id}/{verdict}")
async def decide(
    request: Request, session: Changing, recommendation_id: int, verdict: Literal["accepted", "dismissed"]
) -> Response:
    """Accept or dismiss a recommendation and return its row as it is now."""
    values = {
        "recommendation_id": recommendation_id,
        "decision": verdict,
        "reason": "",
        "by": None,
        "now": request.app.state.clock(),
    }
    outcome = await run_in_threadpool(request.app.state.writers.outcome, "api_decide_recommendation", session, values)
    rows = await request.app.state.readers.read(
        session, ("api_recommendation_by_id", {"recommendation_id": recommendation_id})
    )
    return page(request, "advice_row.html", row=rows[0][0] if rows[0] else None, outcome=outcome)


@router.get("/tickets")
async def tickets(request: Request, asked: SignedIn, category: TicketCategory | None = None) -> Response:
    found, counts = await asked.read(
        ("dashboard_tickets", {"category": category, "rows": PAGE}), ("dashboard_ticket_counts", {})
    )
    total = sum(row["tickets"] for row in counts)
    return page(
        request, "tickets.html", tickets=found, counts=counts, total=total, category=category, categories=CATEGORIES
    )


@router.post("/tickets/{case_id}")
async def correct_ticket(request: Request, session: Changing, case_id: str) -> Response:
    """Say what a ticket is about and return its row as it is now."""
    category = (await _fields(request)).get("category", "")
    if category not in CATEGORIES:
        raise ProblemError(422, f"There is no category {category[:60]!r}.")
    values = {"case_id": case_id, "category": category, "note": None, "by": None, "now": request.app.state.clock()}
    outcome = await run_in_threadpool(request.app.state.writers.outcome, "api_correct_ticket", session, values)
    rows = await request.app.state.readers.read(session, ("api_ticket", {"case_id": case_id}))
    row = rows[0][0] | {"label": None} if rows[0] else None
    return page(request, "ticket_row.html", row=row, outcome=outcome, categories=CATEGORIES)


@router.get("/models")
async def models(request: Request, asked: SignedIn) -> Response:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in await asked.rows("api_models", {"challengers": CHALLENGERS}):
        found.setdefault(row["model_name"], []).append(row)
    return page(request, "models.html", models=found)


@router.get("/ask")
async def ask(request: Request, asked: SignedIn, question: Annotated[str, Query(max_length=2000)] = "") -> Response:
    """A question in plain language and its answer."""
    to = language(request)
    answer = None
    if question.strip():
        answer = await run_in_threadpool(_answer, request, asked.key, question, to)
    drawn = _answer_chart(answer, to) if answer and answer.understood else None
    return page(request, "ask.html", question=question, answer=answer, drawn=drawn, examples=EXAMPLES[to][:8])


@router.get("/live")
async def live(request: Request, asked: SignedIn) -> Response:
    """What happens to alerts from now on, as named events (api.routes.alert_stream)."""
    return await follow(request, asked.key, after=None)


# --- what pages show ------------------------------------------------------------------------------------------------


def _first_alerts(*, rows: int, iccid: str | None = None) -> dict[str, Any]:
    """The parameters of dashboard_alerts for a first page."""
    chosen = dict.fromkeys(("kind", "severity", "state"))
    return {**chosen, "iccid": iccid, "rank": 0, "alert_id": None, "rows": rows}


def _stale(request: Request, as_of: date) -> int:
    """Days since the last day that is known, where it is older than it should be; else 0."""
    age: timedelta = request.app.state.clock().date() - as_of
    return age.days if age > STALE_AFTER else 0


def _fleet_chart(content: dict[str, Any], to: str) -> dict[str, Any] | None:
    daily, ahead = content["daily"], content["forecast"]
    days = [date.fromisoformat(day) for day in daily["day"]]
    forecast = [
        {"day": date.fromisoformat(day), "mean": mean, "low": low, "high": high}
        for day, mean, low, high in zip(ahead["day"], ahead["mean"], ahead["low"], ahead["high"], strict=True)
    ]
    return usage_and_forecast(list(zip(days, daily["bytes"], strict=True)), forecast, to=to)


def _answer(request: Request, key: Credential, question: str, to: str) -> Answer:
    with request.app.state.store.session(key) as session:
        answer: Answer = session.answer(question, request.app.state.clock(), to)
    return answer


def _answer_chart(answer: Answer, to: str) -> dict[str, Any] | None:
    """The rows of an answer by day as a chart; None where they are better read."""
    if answer.chart != "line" or "day" not in answer.columns or not answer.rows:
        return None
    rows = sorted(answer.rows, key=lambda row: row["day"])
    values = [None if row["value"] is None else float(row["value"]) for row in rows]
    series = [{"label": translate("value", to), "kind": "bars", "values": values}]
    return chart([row["day"] for row in rows], series, to=to, unit=answer.unit or "")
