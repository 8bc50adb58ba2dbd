"""SIMs, their use and their life.

Each route asks one or two named queries in the organization of the key and answers with their rows.
"""

from __future__ import annotations

from datetime import date, timedelta
from math import inf
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from api.answers import answer, page, shaped
from api.dependencies import DIGITS, Asking, Day, Iccid, Label, Limit, cursor_of, link
from api.errors import LOST, PROBLEMS, no_sim, wrong_parameter
from api.kept import ONE_SIM, QUOTA, USAGE
from api.schemas.sims import Lifecycle, LifecycleEntry, Sim, SimCursor, SimPage, SimSort, Usage, UsageDay, VolumeBand
from ml.enums import ChurnLevel, SimState

USAGE_DAYS = 90
MAX_USAGE_DAYS = 1000
Word = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")] | None

router = APIRouter()


@router.get(
    "/v1/sims", tags=["SIMs"], summary="The SIMs of the organization", response_model=SimPage, responses=PROBLEMS
)
async def list_sims(
    request: Request,
    asking: Asking,
    limit: Limit = 100,
    after: Annotated[
        str, Query(pattern="^([0-9]{19}|[A-Za-z0-9_-]{20,500})?$", description="`next` of the page before")
    ] = "",
    label: Label = None,
    status: Annotated[Literal["Enabled", "Disabled"] | None, Query(description="Only SIMs of this status")] = None,
    state: Annotated[SimState | None, Query(description="Only SIMs in this state of their life")] = None,
    country: Annotated[Word, Query(description="Only SIMs last seen in this country", examples=["Germany"])] = None,
    operator: Annotated[Word, Query(description="Only SIMs last seen with this operator", examples=["Telekom"])] = None,
    device: Annotated[
        Annotated[str, Field(pattern="^[0-9]{1,15}$")] | None,
        Query(
            description="Only SIMs in devices whose IMEI begins so: 8 digits are a type of device",
            examples=["35350072"],
        ),
    ] = None,
    ends_within: Annotated[
        Annotated[int, Field(ge=0, le=3650), DIGITS] | None,
        Query(description="Only SIMs whose `ends_on` is at most so many days from today, or is past", examples=[14]),
    ] = None,
    risk: Annotated[
        ChurnLevel | None, Query(description="Only SIMs of this risk of leaving, by the latest prediction")
    ] = None,
    sort: Annotated[
        SimSort,
        Query(
            description="iccid; remaining: the least left first; ends_on: the soonest end first; last_used: the "
            "longest unused first. SIMs without the value come last, equals by ICCID"
        ),
    ] = "iccid",
) -> Response:
    """Return SIMs in the order of ICCIDs or as `sort` says. A walk in the order of ICCIDs meets every SIM once, also
    while SIMs are added. The other orders are those of the last daily report, which may differ from what is known of a
    SIM since; SIMs that are new since come last. A report made during the walk may move SIMs, which are then met twice
    or not at all. Pages far into any order are as fast as the first. SIMs that are ordered and not in the SIM list yet
    are returned, by ICCID, when they are asked for by their state."""
    ends_by = None if ends_within is None else _days_on(request, ends_within)
    conditions = {"country": country, "operator": operator, "device": device, "risk": risk, "ends_by": ends_by}
    chosen = {"label": label, "status": status, "state": state, "rows": limit + 1}
    more = any(value is not None for value in conditions.values())
    if sort == "iccid" or state == "ordered":
        if after and not after.isdigit():
            raise wrong_parameter("after", "is a cursor of another order: pass the sort it began with")
        if state == "ordered":  # nothing is known of where they are and how they do
            found = [] if more else await asking.rows("api_ordered", {"iccid": None, "after": after} | chosen)
        else:
            values = {"after": after} | chosen
            found = await (
                asking.rows("api_sims_chosen", values | conditions) if more else asking.rows("api_sims", values)
            )
        items = found[:limit]
        following = items[-1]["iccid"] if len(found) > limit else None
        return page(Sim, items, following, link(request, following))
    cursor = cursor_of(SimCursor, after)
    if cursor and cursor.sort != sort:
        raise wrong_parameter("after", f"is a cursor of the order by {cursor.sort}: pass sort={cursor.sort}")
    place = {"place": -inf, "after": ""}
    if cursor:
        place = {"place": inf if cursor.place is None else cursor.place, "after": cursor.iccid}
    found = await asking.rows(f"api_sims_sorted[api_places_by_{sort}]", place | chosen | conditions)
    items, following = found[:limit], None
    if len(found) > limit:
        final = items[-1]
        following = SimCursor(
            sort=sort, place=None if final["place"] == inf else final["place"], iccid=final["iccid"]
        ).encode()
    return page(Sim, items, following, link(request, following))


def _days_on(request: Request, days: int) -> date:
    today: date = request.app.state.clock().date()
    return today + timedelta(days)


@router.get("/v1/sims/{iccid}", tags=["SIMs"], summary="One SIM", response_model=Sim, responses=LOST)
async def get_sim(asking: Asking, iccid: Iccid) -> Response:
    """A SIM that is ordered and not in the SIM list yet has little more than its state."""
    found = await asking.rows("api_sim", {"iccid": iccid}) or await asking.rows(
        "api_ordered", {"iccid": iccid, "after": "", "label": None, "status": None, "rows": 1}
    )
    if not found:
        raise no_sim(iccid)
    return answer(shaped(Sim, found)[0], kept=ONE_SIM)


@router.get(
    "/v1/sims/{iccid}/lifecycle", tags=["SIMs"], summary="The life of a SIM", response_model=Lifecycle, responses=LOST
)
async def get_lifecycle(
    request: Request,
    asking: Asking,
    iccid: Iccid,
    limit: Limit = 100,
    after: Annotated[
        str,
        Query(pattern="^([0-9]{4}-[0-9]{2}-[0-9]{2}[.][0-9]{1,18})?$", description="`next` of the page before"),
    ] = "",
) -> Response:
    """Return a SIM's state and its history, newest last: states, changes of device and of visited country, top-ups;
    when, on what evidence, and who decided. A SIM that is ordered and not in the SIM list yet has a state and no
    history."""
    day, _, entry = after.partition(".")
    try:
        place = {"day": date.fromisoformat(day) if day else date.min, "entry": int(entry or 0)}
    except ValueError:
        raise wrong_parameter(
            "after", "is not a cursor of this list: pass `next` of the page before, or leave it out"
        ) from None
    states, found = await asking.read(
        ("api_state", {"iccid": iccid}), ("api_lifecycle", {"iccid": iccid, **place, "rows": limit + 1})
    )
    if not states:
        raise no_sim(iccid)
    items = found[:limit]
    following = f"{items[-1]['occurred_on']}.{items[-1]['entry_id']}" if len(found) > limit else None
    entries = shaped(LifecycleEntry, items)
    return answer({**states[0], "items": entries, "next": following}, link(request, following), kept=ONE_SIM)


@router.get(
    "/v1/sims/{iccid}/usage", tags=["SIMs"], summary="Daily usage of a SIM", response_model=Usage, responses=LOST
)
async def get_usage(
    asking: Asking,
    iccid: Iccid,
    first: Annotated[
        Day | None, Query(alias="from", description=f"Default: the {USAGE_DAYS} days that end with `to`")
    ] = None,
    last: Annotated[Day | None, Query(alias="to", description="Default: the last day with a record")] = None,
) -> Response:
    """UTC days, oldest first; both ends included; at most 1000 days."""
    if first and last and first > last:
        raise wrong_parameter("from", f"{first} is after to, {last}")
    chosen = {"iccid": iccid, "first_day": first, "last_day": last}
    limits = {"days": USAGE_DAYS, "rows": MAX_USAGE_DAYS}
    known, found = await asking.read(("api_usage_last_day", {"iccid": iccid}), ("api_usage", chosen | limits))
    if not known:
        raise no_sim(iccid)
    last = last or known[0]["last_day"]
    if last is None:
        return answer({"iccid": iccid, "from": first, "to": None, "items": []}, kept=USAGE)
    first = first or date.fromordinal(max(1, last.toordinal() - USAGE_DAYS + 1))
    days = (last - first).days + 1
    if days > MAX_USAGE_DAYS:
        raise wrong_parameter("from", f"{first} to {last} are {days} days: ask for at most {MAX_USAGE_DAYS} at a time")
    return answer({"iccid": iccid, "from": first, "to": last, "items": shaped(UsageDay, found)}, kept=USAGE)


@router.get(
    "/v1/sims/{iccid}/volume-band",
    tags=["SIMs"],
    summary="About how much data volume a SIM has left",
    response_model=VolumeBand,
    responses=LOST,
)
async def get_volume_band(asking: Asking, iccid: Iccid) -> Response:
    """A word and no number, for apps whose users may know no more."""
    found = await asking.rows("api_volume_band", {"iccid": iccid})
    if not found:
        raise no_sim(iccid)
    return answer(shaped(VolumeBand, found)[0], kept=QUOTA)
