"""The list of SIMs: search, choices with counts, order, files, and lists that people keep."""

from __future__ import annotations

import math
import re
import tempfile
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Depends, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.dashboard.routing import PAGE, fields, router
from api.dashboard.signing import Changing, SignedIn
from api.dashboard.web import page
from api.database import Store
from api.errors import ProblemError
from api.routes.exports import emptied, pieces_of
from ml.enums import BulkAction
from resources.database.catalog import Column
from services.access.api_keys import Credential

Sort = Literal["", "ends_on", "remaining", "last_used", "used", "alerts"]
SORTS: dict[Sort, str] = {
    "": "ICCID",
    "alerts": "alerts",
    "ends_on": "ends about",
    "remaining": "left",
    "used": "used in 30 days",
    "last_used": "last used",
}
# what the choices are called, in their order on the page
PROPERTIES = {
    "state": "state",
    "alert": "worst open alert",
    "risk_level": "risk that it leaves",
    "country": "country",
    "operator": "operator",
    "label_group": "labels begin with",
    "status": "status",
}
BULK_ACTIONS: tuple[BulkAction, ...] = (
    *("acknowledge-alerts", "resolve-alerts", "accept-recommendations", "set-labels", "remove-labels"),
)
ENDS = (7, 14, 30)  # days; 0: it has ended
PLACE = re.compile(r"(-?[0-9.e+]{1,30}|-?inf)~([0-9]{19})")
TEXT = r"^[^\x00]*$"
MAX_NAME = 60
FileKind = Literal["csv", "parquet", "ndjson"]
MEDIA_TYPES: dict[FileKind, str] = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "ndjson": "application/x-ndjson",
}
COLUMNS = [
    *(Column(name, "text") for name in ("iccid", "label", "state", "country", "operator", "status", "imei", "msisdn")),
    *(Column("ip_address", "text"), Column("last_used_on", "date")),
    *(Column(f"{name}_mb", "numeric") for name in ("used_30_days", "remaining", "quota_total")),
    *(
        Column("ends_on", "date"),
        Column("risk_level", "text"),
        Column("open_alerts", "bigint"),
        Column("as_of", "date"),
    ),
]


def _choice(length: int = 200) -> Any:
    return Query(max_length=length, pattern=TEXT)


@dataclass(frozen=True)
class Chosen:
    """Which SIMs, in which order; empty: any."""

    words: Annotated[str, _choice(100)] = ""
    state: Annotated[str, _choice()] = ""
    status: Annotated[Literal["Enabled", "Disabled", ""], Query()] = ""
    country: Annotated[str, _choice()] = ""
    operator: Annotated[str, _choice()] = ""
    label_group: Annotated[str, _choice()] = ""
    label: Annotated[str, _choice()] = ""
    risk_level: Annotated[Literal["high", "medium", "low", "unknown", ""], Query()] = ""
    alert: Annotated[Literal["critical", "warning", "info", "none", ""], Query()] = ""
    ends: Annotated[Literal["0", "7", "14", "30", ""], Query()] = ""
    sort: Annotated[Sort, Query()] = ""

    @property
    def parameters(self) -> dict[str, Any]:
        """Those of dashboard_chosen_sims."""
        given: dict[str, Any] = {name: value or None for name, value in asdict(self).items() if name != "sort"}
        return given | {"words": self.words.strip().lower() or None, "ends": int(self.ends) if self.ends else None}

    @property
    def kept(self) -> dict[str, str]:
        """What an address of the list says."""
        return {name: value for name, value in asdict(self).items() if value}

    @property
    def chooses(self) -> bool:
        """Whether some SIMs may be left out."""
        return bool(self.words.strip()) or bool(self.kept.keys() - {"sort", "words"})

    def address(self, **changed: str) -> str:
        """The same choice with something changed, as an address says it."""
        return urlencode({name: value for name, value in (self.kept | changed).items() if value})


ChosenSims = Annotated[Chosen, Depends()]


@router.get("/sims")
async def sims(
    request: Request, asked: SignedIn, chosen: ChosenSims, after: Annotated[str, Query(max_length=60)] = ""
) -> Response:
    query = ("dashboard_sims_sorted" if chosen.sort else "dashboard_sims") + "[dashboard_chosen_sims]"
    found, facets, lists = await asked.read(
        (query, chosen.parameters | _place(chosen, after) | {"rows": PAGE + 1}),
        ("dashboard_facets[dashboard_chosen_sims]", chosen.parameters)
        if chosen.chooses
        else ("dashboard_facets_of_all", {}),
        ("dashboard_lists", {"presented": asked.key.presented}),
    )
    by_property: dict[str, list[dict[str, Any]]] = {}
    for row in facets:
        by_property.setdefault(row["property"], []).append(row)
    (whole,) = by_property.pop("all", None) or [{"sims": 0, "as_of": None} | {f"ends_{days}": 0 for days in (0, *ENDS)}]
    last = found[PAGE - 1] if len(found) > PAGE else None
    part = bool(request.headers.get("hx-request"))
    return page(
        request,
        "sims_found.html" if part else "sims.html",
        sims=found[:PAGE],
        whole=whole,
        facets=by_property,
        properties=PROPERTIES,
        ends=ENDS,
        sorts=SORTS,
        chosen=chosen,
        following=f"{last['place']}~{last['iccid']}" if last else "",
        first=not after,
        lists=lists,
        kinds=list(MEDIA_TYPES),
        bulk_actions=BULK_ACTIONS,
    )


def _place(chosen: Chosen, after: str) -> dict[str, Any]:
    """Where the page before ended. Raises ProblemError for what no page gave."""
    if not after:
        place = {"place": -math.inf, "after": ""}
    elif known := PLACE.fullmatch(after):
        place = {"place": float(known[1]), "after": known[2]}
    else:
        raise ProblemError(422, "after: no page of this list ends there.")
    return place | {"sort": chosen.sort} if chosen.sort else {"after": place["after"]}


@router.get("/files/sims.{kind}")
async def sims_file(request: Request, asked: SignedIn, chosen: ChosenSims, kind: FileKind) -> Response:
    """The SIMs of the list as a file, made before the first byte is sent."""
    file = tempfile.TemporaryFile(prefix="simsight-")  # noqa: SIM115  # without a name: gone when it is closed
    try:
        size = await run_in_threadpool(_write, request, asked.key, chosen, kind, file)
    except BaseException:
        file.close()
        raise
    return StreamingResponse(
        pieces_of(file),
        media_type=MEDIA_TYPES[kind],
        headers={"Content-Disposition": f'attachment; filename="sims.{kind}"', "Content-Length": str(size)},
    )


def _write(request: Request, key: Credential, chosen: Chosen, kind: FileKind, file: Any) -> int:
    store: Store = request.app.state.store
    query = "dashboard_sims_file[dashboard_chosen_sims]"
    return store.read(key, lambda session: session.write_query(query, chosen.parameters, COLUMNS, kind, emptied(file)))


@router.post("/lists")
async def save_list(request: Request, session: Changing) -> Response:
    """Keep what is shown under a name, or forget the list of that name, and show the lists there are now."""
    given = await fields(request)
    name, query = " ".join(given.get("name", "").split()), given.get("query", "")
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise ProblemError(422, f"A list needs a name of up to {MAX_NAME} characters.")
    if not 1 <= len(query) <= 2000 or not re.fullmatch(r"[A-Za-z0-9_=&%+.~*-]+", query):
        raise ProblemError(422, "Choose SIMs first: a list keeps a search, choices or an order.")
    which = {"name": name, "query": query, "now": request.app.state.clock()}
    outcome = await run_in_threadpool(_keep, request, session, "dashboard_save_list", which)
    if outcome == "full":
        raise ProblemError(409, "50 lists are kept: forget one first.")
    return await _lists(request, session, query)


@router.post("/lists/forget")
async def forget_list(request: Request, session: Changing) -> Response:
    given = await fields(request)
    await run_in_threadpool(_keep, request, session, "dashboard_drop_list", {"name": given.get("name", "")})
    return await _lists(request, session, given.get("query", ""))


def _keep(request: Request, session: Credential, name: str, which: dict[str, Any]) -> str:
    outcome: str = request.app.state.writers.change_key(name, session, which)["outcome"]
    return outcome


async def _lists(request: Request, session: Credential, query: str) -> Response:
    (lists,) = await request.app.state.readers.read(session, ("dashboard_lists", {"presented": session.presented}))
    return page(request, "sims_lists.html", lists=lists, query=query)
