"""What happened: events of the fleet and of a SIM, and one list of all that is known of a SIM's past."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Query, Request, Response

from api.answers import answer, page
from api.dependencies import Asking, Day, Iccid, Limit, OfSim, cursor_of, link
from api.errors import LOST, PROBLEMS, no_sim, wrong_parameter
from api.kept import ONE_SIM
from api.schemas.history import (
    FleetEvent,
    FleetEventCursor,
    FleetEventPage,
    SimEvent,
    SimEventCursor,
    SimEventPage,
    Timeline,
    TimelineCursor,
    TimelineKind,
)

router = APIRouter(tags=["SIMs"])
KINDS: tuple[TimelineKind, ...] = get_args(TimelineKind)
EventSeverity = Annotated[Literal["INFO", "WARN", "CRITICAL"] | None, Query(description="Only events of this severity")]
After = Annotated[str, Query(max_length=3000, description="`next` of the page before")]


@router.get(
    "/v1/events", summary="Events of the fleet, the newest first", response_model=FleetEventPage, responses=PROBLEMS
)
async def list_events(
    request: Request,
    asking: Asking,
    limit: Limit = 100,
    after: After = "",
    iccid: OfSim = None,
    event_type: Annotated[
        str | None,
        Query(
            alias="type",
            max_length=1000,
            pattern=r"^[^\x00]*$",
            description="Only events of this type, 1NCE's sentence for it",
            examples=["Update location received."],
        ),
    ] = None,
    severity: EventSeverity = None,
    first: Annotated[Day | None, Query(alias="from", description="Only events from this UTC day on")] = None,
    last: Annotated[Day | None, Query(alias="to", description="Only events up to the end of this UTC day")] = None,
) -> Response:
    """As 1NCE told them, by the API or the Data Streamer. Each page looks through all events of the days: name days
    where the fleet is large."""
    if first and last and first > last:
        raise wrong_parameter("from", f"{first} is after to, {last}")
    cursor = cursor_of(FleetEventCursor, after)
    place = cursor.model_dump() if cursor else {"at": "infinity", "event_type": "", "iccid": ""}
    chosen = {"type": event_type, "severity": severity, "first": first, "last": last, "rows": limit + 1}
    if iccid is None:
        found = await asking.rows("api_events", place | chosen)
    else:
        found = await asking.rows("api_sim_events", place | chosen | {"iccid": iccid})
    items = found[:limit]
    following = None
    if len(found) > limit:
        final = items[-1]
        following = FleetEventCursor(
            at=final["occurred_at"], event_type=final["event_type"], iccid=final["iccid"]
        ).encode()
    return page(FleetEvent, items, following, link(request, following))


@router.get(
    "/v1/sims/{iccid}/events", summary="Events of a SIM, the newest first", response_model=SimEventPage, responses=LOST
)
async def list_events_of_sim(
    request: Request,
    asking: Asking,
    iccid: Iccid,
    limit: Limit = 100,
    after: After = "",
    severity: EventSeverity = None,
) -> Response:
    """As 1NCE told them, by the API or the Data Streamer."""
    cursor = cursor_of(SimEventCursor, after)
    place = cursor.model_dump() if cursor else {"at": "infinity", "event_type": ""}
    chosen = {"iccid": iccid, "type": None, "severity": severity, "first": None, "last": None, "rows": limit + 1}
    known, found = await asking.read(("api_known_sim", {"iccid": iccid}), ("api_sim_events", place | chosen))
    if not known:
        raise no_sim(iccid)
    items = found[:limit]
    following = None
    if len(found) > limit:
        following = SimEventCursor(at=items[-1]["occurred_at"], event_type=items[-1]["event_type"]).encode()
    return page(SimEvent, items, following, link(request, following), kept=ONE_SIM)


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
    return answer({**known[0], "items": items, "next": following}, link(request, following), kept=ONE_SIM)
