"""For administrators: the log of writes, and keys."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Path, Query, Request
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from api.dashboard.routing import PAGE, all_fields, router, write_access
from api.dashboard.signing import Changing, SignedInAsAdmin
from api.dashboard.web import page
from api.dependencies import WriteAccess
from api.errors import ProblemError
from api.routes import audit as audit_api
from api.routes import keys as keys_api
from api.schemas.keys import MadeKey, NewKey, RotatedKey, Rotation
from services.access.api_keys import MAX_NAME, SCOPES, Credential
from services.audit import LogFormat, Wanted

USE_DAYS = 30
OVERLAPS = (0, 24, 168, 720)  # hours that a rotated key may work on
# first words of events, to choose from
EVENTS = (
    *(
        "action",
        "actions",
        "alert",
        "churn-action",
        "key",
        "key-use",
        "list",
        "login",
        "recommendation",
        "report-schedule",
    ),
    *("rule", "session", "stream", "ticket"),
)
DAY = r"^([0-9]{4}-[0-9]{2}-[0-9]{2})?$"
TEXT = r"^[^\x00]*$"
KeyName = Annotated[str, Path(max_length=MAX_NAME, pattern=r"^[^\x00]+$")]
FirstDay = Annotated[str, Query(alias="from", pattern=DAY)]
LastDay = Annotated[str, Query(alias="to", pattern=DAY)]
Asks = Annotated[str, Query(max_length=300, pattern=TEXT)]


@router.get("/audit")
async def audit(
    request: Request,
    asked: SignedInAsAdmin,
    first: FirstDay = "",
    last: LastDay = "",
    event: Asks = "",
    who: Asks = "",
    subject: Asks = "",
    before: Annotated[str, Query(pattern="^[0-9]{0,18}$")] = "",
) -> Response:
    """Lines of the log of writes, the newest first."""
    chosen = {"from": first, "to": last, "event": event.strip(), "who": who.strip(), "subject": subject.strip()}
    wanted = _wanted(chosen)
    which = vars(wanted) | {"before": int(before) if before else None, "rows": PAGE + 1}
    found = await asked.rows("audit_lines", which)
    kept = urlencode({name: value for name, value in chosen.items() if value})
    return page(
        request,
        "audit.html",
        lines=found[:PAGE],
        chosen=chosen,
        query=kept,
        following=found[PAGE - 1]["number"] if len(found) > PAGE else None,
        first=not before,
        events=EVENTS,
    )


@router.get("/files/audit.{kind}")
async def audit_file(
    request: Request,
    asked: SignedInAsAdmin,
    kind: LogFormat,
    first: FirstDay = "",
    last: LastDay = "",
    event: Asks = "",
    who: Asks = "",
    subject: Asks = "",
) -> Response:
    """All these lines, sent while they are read."""
    wanted = _wanted({"from": first, "to": last, "event": event, "who": who, "subject": subject})
    days = (wanted.first, wanted.last)
    others = (wanted.event, wanted.who, wanted.subject)
    return await run_in_threadpool(audit_api.export_audit, request, asked.key, kind, *days, *others)


def _wanted(chosen: dict[str, str]) -> Wanted:
    return Wanted(
        first=_day(chosen["from"]),
        last=_day(chosen["to"]),
        event=chosen["event"] or None,
        who=chosen["who"] or None,
        subject=chosen["subject"] or None,
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise ProblemError(422, f"{text} is no day.") from None


@router.get("/keys")
async def keys(request: Request, asked: SignedInAsAdmin) -> Response:
    found, uses = await asked.read(("api_keys", {}), _uses(request))
    return page(request, "keys.html", **_listed(found, uses))


@router.post("/keys")
async def create_key(request: Request, session: Changing) -> Response:
    """Make a key and show it this once."""
    given = await all_fields(request)

    def make(caller: WriteAccess) -> MadeKey:
        days = given.get("days", [""])[-1].strip()
        try:
            new = NewKey.model_validate(
                {
                    "name": given.get("name", [""])[-1],
                    "scopes": given.get("scopes", []),
                    "networks": given.get("networks", [""])[-1].replace(",", " ").split(),
                    "days": int(days) if days.isascii() and days.isdigit() else days or None,
                }
            )
        except ValidationError as error:
            raise ProblemError(422, "; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors())) from None
        return keys_api.create_key(caller, new)

    return await _changed(request, session, make)


@router.post("/keys/{name}/rotate")
async def rotate_key(request: Request, session: Changing, name: KeyName) -> Response:
    """Give a key a successor and show it this once."""
    hours = (await all_fields(request)).get("overlap_hours", ["24"])[-1]
    if hours not in map(str, OVERLAPS):
        raise ProblemError(422, "The old key works on for one of the times offered.")
    rotation = Rotation(overlap_hours=int(hours))
    return await _changed(request, session, lambda caller: keys_api.rotate_key(caller, name, rotation))


@router.post("/keys/{name}/revoke")
async def revoke_key(request: Request, session: Changing, name: KeyName) -> Response:
    return await _changed(request, session, lambda caller: keys_api.revoke_key(caller, name))


async def _changed(
    request: Request, session: Credential, change: Callable[[WriteAccess], MadeKey | RotatedKey | None]
) -> Response:
    """Change a key, and show the keys there are now with what was made or what was wrong."""

    def work() -> tuple[MadeKey | RotatedKey | None, str, list[Any], list[Any]]:
        caller = write_access(request, session, "admin")
        made, wrong = None, ""
        try:
            made = change(caller)
        except ProblemError as error:
            wrong = error.detail
        name, which = _uses(request)
        with caller.store.session(caller.key) as opened:
            return made, wrong, opened.rows("api_keys"), opened.rows(name, which)

    made, wrong, found, uses = await run_in_threadpool(work)
    return page(request, "keys_list.html", **_listed(found, uses, made=made, wrong=wrong))


def _uses(request: Request) -> tuple[str, dict[str, Any]]:
    return "dashboard_key_uses", {"first": request.app.state.clock().date() - timedelta(USE_DAYS)}


def _listed(
    found: list[dict[str, Any]],
    uses: list[dict[str, Any]],
    *,
    made: MadeKey | RotatedKey | None = None,
    wrong: str = "",
) -> dict[str, Any]:
    """What the page of keys shows: live ones first, each with its use."""
    by_key = {row["key_id"]: row for row in uses}
    shown = [row | {"use": by_key.get(row["key_id"])} for row in found]
    return {
        "keys": sorted(shown, key=lambda row: (not row["live"], row["name"], -row["key_id"])),
        "made": made,
        "wrong": wrong,
        "scopes": SCOPES,
        "overlaps": OVERLAPS,
        "use_days": USE_DAYS,
    }
