"""SIMs, their use and their life.

Each route checks the key, runs one or two named queries in the key's organization and answers with a model.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from api.dependencies import Day, Iccid, Label, Limit, Opened, link
from api.errors import LOST, PROBLEMS, no_sim, wrong_parameter
from api.schemas.sims import Lifecycle, Sim, SimPage, Usage
from ml.enums import SimState

USAGE_DAYS = 90
MAX_USAGE_DAYS = 1000

router = APIRouter()


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
    """Return SIMs in the order of ICCIDs. A walk from page to page meets every SIM once, also while SIMs are added.
    SIMs that are ordered and not in the SIM list yet are returned when they are asked for by their state."""
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
        raise no_sim(iccid)
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
    state = session.row("api_state", {"iccid": iccid})
    if state is None:
        raise no_sim(iccid)
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
        Day | None, Query(alias="from", description=f"Default: the {USAGE_DAYS} days that end with `to`")
    ] = None,
    last: Annotated[Day | None, Query(alias="to", description="Default: the last day with a record")] = None,
) -> Usage:
    """UTC days, oldest first; both ends included; at most 1000 days."""
    if first and last and first > last:
        raise wrong_parameter("from", f"{first} is after to, {last}")
    known = session.row("api_usage_last_day", {"iccid": iccid})
    if known is None:
        raise no_sim(iccid)
    last = last or known["last_day"]
    if last is None:
        return Usage(iccid=iccid, first_day=first, last_day=None, items=[])
    first = first or date.fromordinal(max(1, last.toordinal() - USAGE_DAYS + 1))
    days = (last - first).days + 1
    if days > MAX_USAGE_DAYS:
        raise wrong_parameter("from", f"{first} to {last} are {days} days: ask for at most {MAX_USAGE_DAYS} at a time")
    items = session.rows("api_usage", {"iccid": iccid, "first_day": first, "last_day": last})
    return Usage.model_validate({"iccid": iccid, "from": first, "to": last, "items": items})
