"""SIMs, their use and their life.

Each route asks one or two named queries in the organization of the key and answers with their rows.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from api.answers import answer, page, shaped
from api.dependencies import Asking, Day, Iccid, Label, Limit, link
from api.errors import LOST, PROBLEMS, no_sim, wrong_parameter
from api.schemas.sims import Lifecycle, LifecycleEntry, Sim, SimPage, Usage, UsageDay, VolumeBand
from ml.enums import SimState

USAGE_DAYS = 90
MAX_USAGE_DAYS = 1000

router = APIRouter()


@router.get(
    "/v1/sims", tags=["SIMs"], summary="The SIMs of the organization", response_model=SimPage, responses=PROBLEMS
)
async def list_sims(
    request: Request,
    asking: Asking,
    limit: Limit = 100,
    after: Annotated[str, Query(pattern="^([0-9]{19})?$", description="`next` of the page before")] = "",
    label: Label = None,
    status: Annotated[Literal["Enabled", "Disabled"] | None, Query(description="Only SIMs of this status")] = None,
    state: Annotated[SimState | None, Query(description="Only SIMs in this state of their life")] = None,
) -> Response:
    """Return SIMs in the order of ICCIDs. A walk from page to page meets every SIM once, also while SIMs are added.
    SIMs that are ordered and not in the SIM list yet are returned when they are asked for by their state."""
    chosen = {"after": after, "label": label, "status": status, "state": state, "rows": limit + 1}
    found = await asking.rows("api_ordered" if state == "ordered" else "api_sims", {"iccid": None, **chosen})
    items = found[:limit]
    following = items[-1]["iccid"] if len(found) > limit else None
    return page(Sim, items, following, link(request, following))


@router.get("/v1/sims/{iccid}", tags=["SIMs"], summary="One SIM", response_model=Sim, responses=LOST)
async def get_sim(asking: Asking, iccid: Iccid) -> Response:
    """A SIM that is ordered and not in the SIM list yet has little more than its state."""
    found = await asking.rows("api_sim", {"iccid": iccid}) or await asking.rows(
        "api_ordered", {"iccid": iccid, "after": "", "label": None, "status": None, "rows": 1}
    )
    if not found:
        raise no_sim(iccid)
    return answer(shaped(Sim, found)[0])


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
    return answer({**states[0], "items": entries, "next": following}, link(request, following))


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
        return answer({"iccid": iccid, "from": first, "to": None, "items": []})
    first = first or date.fromordinal(max(1, last.toordinal() - USAGE_DAYS + 1))
    days = (last - first).days + 1
    if days > MAX_USAGE_DAYS:
        raise wrong_parameter("from", f"{first} to {last} are {days} days: ask for at most {MAX_USAGE_DAYS} at a time")
    return answer({"iccid": iccid, "from": first, "to": last, "items": shaped(UsageDay, found)})


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
    return answer(shaped(VolumeBand, found)[0])
