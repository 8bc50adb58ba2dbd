"""What happened to a SIM: its events, and one list of all that is known of its past."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Query, Request, Response

from api.answers import answer, page
from api.dependencies import Asking, Iccid, Limit, cursor_of, link
from api.errors import LOST, no_sim, wrong_parameter
from api.schemas.history import (
    SimEvent,
    SimEventCursor,
    SimEventPage,
    Timeline,
    TimelineCursor,
    TimelineKind,
)

router = APIRouter(tags=["SIMs"])
KINDS: tuple[TimelineKind, ...] = get_args(TimelineKind)
After = Annotated[str, Query(max_length=3000, description="`next` of the page before")]


@router.get(
    "/v1/sims/{iccid}/events", summary="Events of a SIM, the newest first", response_model=SimEventPage, responses=LOST
)
async def list_events_of_sim(
    request: Request,
    asking: Asking,
    iccid: Iccid,
    limit: Limit = 100,
    after: After = "",
    severity: Annotated[
        Literal["INFO", "WARN", "CRITICAL"] | None, Query(description="Only events of this severity")
    ] = None,
) -> Response:
    """As 1NCE told them, by the API or the Data Streamer."""
    cursor = cursor_of(SimEventCursor, after)
    place = cursor.model_dump() if cursor else {"at": "infinity", "event_type": ""}
    chosen = {"iccid": iccid, "severity": severity, "rows": limit + 1}
    known, found = await asking.read(("api_known_sim", {"iccid": iccid}), ("api_sim_events", place | chosen))
    if not known:
        raise no_sim(iccid)
    items = found[:limit]
    following = None
    if len(found) > limit:
        following = SimEventCursor(at=items[-1]["occurred_at"], event_type=items[-1]["event_type"]).encode()
    return page(SimEvent, items, following, link(request, following))


@router.get("/v1/sims/{iccid}/timeline", summary="All that happened to a SIM", response_model=Timeline, responses=LOST)
async def get_timeline(
    request: Request,
    asking: Asking,
    iccid: Iccid,
    limit: Limit = 100,
    after: After = "",
    kinds: Annotated[
        str,
        Query(
            max_length=200,
            description=f"Only these kinds, separated by commas, of {', '.join(KINDS)}; default: all",
            examples=["anomaly,alert"],
        ),
    ] = "",
) -> Response:
    """Events, anomalies, alerts, top-ups, orders, tickets, actions, changes of when it runs out and of the state of its
    life in one list, the newest first."""
    wanted = [kind.strip() for kind in kinds.split(",")] if kinds else list(KINDS)
    if unknown := [kind for kind in wanted if kind not in KINDS]:
        raise wrong_parameter("kinds", f"{unknown[0]!r} is no kind: there are {', '.join(KINDS)}")
    cursor = cursor_of(TimelineCursor, after)
    place = cursor.model_dump() if cursor else {"at": "infinity", "kind": "", "id": ""}
    chosen = {"iccid": iccid, "kinds": wanted, "rows": limit + 1}
    known, found = await asking.read(("api_timeline_sim", {"iccid": iccid}), ("api_timeline", place | chosen))
    if not known:
        raise no_sim(iccid)
    items = found[:limit]
    following = None
    if len(found) > limit:
        final = items[-1]
        following = TimelineCursor(at=final["at"], kind=final["kind"], id=final["id"]).encode()
    return answer({**known[0], "items": items, "next": following}, link(request, following))
