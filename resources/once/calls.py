"""What a call to 1NCE is, by version of the API, in one table; and the book of which calls answer.

A call that has no entry for a version is not in that version. Pure: no network, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Literal

from resources.once import records
from resources.once.errors import OnceCallGoneError
from resources.once.responses import Rejected
from resources.once.usage_days import parse_usage

Version = Literal["v1", "v2"]
Api = Literal["auto", "v1", "v2"]
Parser = Callable[..., tuple[list[Any], list[Rejected]]]

VERSIONS: tuple[Version, ...] = ("v2", "v1")  # the newest first, as they are tried
# 1NCE help, "Migration Timeline"
V1_END = date(2026, 12, 31)
WARN_BEFORE_END = timedelta(days=60)
REMEMBERED = timedelta(days=1)  # for so long a call known as gone is not asked, nor a SIM unknown to API v1
# API v1 is retired call by call; of another version nothing answers once its list of SIMs is gone
BY_PARTS: frozenset[Version] = frozenset({"v1"})


@dataclass(frozen=True)
class Form:
    """One call in one version of the API.

    path       below the base URL, with {iccid} and {kind} where they stand in it
    parse      makes typed items of the records found: parse(records, notes, **asked) -> (items, rejected)
    single     the answer is one record and no list
    key        the list stands in the answer under this name; None: the answer is the list
    params     always sent
    page_size  what the number of records a page is called
    sorted     the answer begins with the newest record
    """

    path: str
    parse: Parser
    single: bool = False
    key: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    page_size: str = "pageSize"
    sorted: bool = False

    def page(self, number: int, size: int) -> dict[str, str]:
        """The query of one page."""
        return {**self.params, "page": str(number), self.page_size: str(size)}


def _of(model: type[Any]) -> Parser:
    return partial(records.parse_records, model)


def _usage(
    found: Iterable[Any], notes: list[str], *, iccid: str, first_day: date, last_day: date
) -> tuple[list[Any], list[Rejected]]:
    return parse_usage(found, iccid, first_day, last_day, notes)


CALLS: dict[str, dict[Version, Form]] = {
    "sims": {
        "v1": Form("/v1/sims", _of(records.SimCard)),
        "v2": Form("/v2/sims", _of(records.SimCard)),
    },
    "sim": {
        "v1": Form("/v1/sims/{iccid}", _of(records.SimCard), single=True),
        "v2": Form("/v2/sims/{iccid}", _of(records.SimCard), single=True),
    },
    "usage": {
        "v1": Form("/v1/sims/{iccid}/usage", _usage, key="stats"),
    },
    "quota": {
        "v1": Form("/v1/sims/{iccid}/quota/{kind}", _of(records.Quota), single=True),
        "v2": Form("/v2/sims/{iccid}/quota/{kind}", _of(records.Quota), single=True),
    },
    "status": {
        "v1": Form("/v1/sims/{iccid}/status", _of(records.Connectivity), single=True),
        "v2": Form("/v2/sims/{iccid}/status", _of(records.Connectivity), single=True),
    },
    "events": {
        "v1": Form(
            "/v1/sims/{iccid}/events",
            _of(records.Event),
            key="events",
            params={"sort": "-timestamp"},
            sorted=True,
        ),
        "v2": Form("/v2/sims/{iccid}/events", _of(records.Event)),
    },
    "sms": {
        "v1": Form("/v1/sims/{iccid}/sms", _of(records.Sms)),
        "v2": Form("/v2/sims/{iccid}/sms", _of(records.Sms), page_size="per_page"),
    },
    "products": {"v1": Form("/v1/products", _of(records.Product))},
    "orders": {"v1": Form("/v1/orders", _of(records.Order))},
    "tickets": {"v1": Form("/v1/support", _of(records.Ticket))},
}


WITHOUT_USAGE = (
    "API v2 has no usage call: for daily usage add a Data Streamer (`simsight stream create`), and let the quota "
    "looks run."
)


@dataclass(frozen=True)
class CallState:
    """What is known of a call in one version (times in UTC).

    gone_since  first time that it answered 404 or 410 to everybody; None: it answers, or was never asked
    checked_at  when it last answered or was last found gone
    status      with which HTTP status it was found gone; None: not in this process
    """

    last_success_at: datetime | None = None
    gone_since: datetime | None = None
    checked_at: datetime | None = None
    status: int | None = None


class CallBook:
    """Which version of each call to ask, and what was learnt of them.

    api     auto: the newest version that has the call and answers; v1 or v2: that version alone
    `states` holds what is known by call and version, and `changed` names what was learnt here.
    """

    def __init__(self, api: Api = "v1") -> None:
        self.api: Api = api
        self.states: dict[tuple[str, Version], CallState] = {}
        self.changed: set[tuple[str, Version]] = set()

    def versions(self, call: str) -> list[Version]:
        """The versions that have the call and that the setting allows, the newest first."""
        return [version for version in VERSIONS if version in CALLS[call] and self.api in ("auto", version)]

    def in_use(self, call: str, now: datetime) -> Version | None:
        """The version to ask; None: the call is gone."""
        return next((version for version in self.versions(call) if not self.is_gone(call, version, now)), None)

    def is_gone(self, call: str, version: Version, now: datetime) -> bool:
        """Whether the call was found gone less than a day ago."""
        calls = {call} if version in BY_PARTS else {call, "sims"}
        states = (self.states.get((name, version), CallState()) for name in calls)
        return any(s.gone_since and s.checked_at and now - s.checked_at < REMEMBERED for s in states)

    def answered(self, call: str, version: Version, now: datetime) -> None:
        """Note that the call answers."""
        self._note(call, version, CallState(now, None, now))

    def gone(self, call: str, version: Version, now: datetime, status: int) -> None:
        """Note that the call is gone for everybody."""
        known = self.states.get((call, version), CallState())
        self._note(call, version, CallState(known.last_success_at, known.gone_since or now, now, status))

    def learn(self, call: str, version: Version, state: CallState) -> None:
        """Take over what another process learnt, unless this one knows better."""
        self.states.setdefault((call, version), replace(state, status=None))

    def ask_again(self, call: str) -> None:
        """Ask a call that is known as gone before its day is over."""
        for version in self.versions(call):
            if state := self.states.get((call, version)):
                self.states[call, version] = replace(state, checked_at=None)

    def list_is_whole(self, version: Version) -> bool:
        """Whether the list in this version names all SIMs: API v1's does as long as no newer one has answered."""
        newer = VERSIONS[: VERSIONS.index(version)]
        return not any(self.states.get(("sims", other), CallState()).last_success_at for other in newer)

    def gone_error(self, call: str, now: datetime) -> OnceCallGoneError:
        """Which call is gone, since when, and what to do."""
        versions = self.versions(call)
        if not versions:
            missing = f"ONCE_API={self.api}: API {self.api} has no call for {call}, and others are not asked."
            return OnceCallGoneError(call, f"{missing} {self._advice(call)}")
        told = [self._told(call, version) for version in versions]
        return OnceCallGoneError(call, f"{'; '.join(told)}. {self._advice(call)}")

    def _told(self, call: str, version: Version) -> str:
        known = self.states.get((call, version), CallState())
        if known.gone_since is None:  # then the list is, and all with it
            call, known = "sims", self.states.get(("sims", version), CallState())
        answers = f"answers {known.status}" if known.status else f"is gone since {known.gone_since:%Y-%m-%d %H:%M} UTC"
        what = f"API {version}" if call == "sims" else f"The call for {call} of API {version}"
        return f"{what} is gone (GET {CALLS[call][version].path} {answers})"

    def _advice(self, call: str) -> str:
        if self.api == "v1":
            return f"Set ONCE_API=auto: API v2 is then asked for what it has. {WITHOUT_USAGE}"
        if call == "usage":
            return WITHOUT_USAGE
        if "v2" not in CALLS[call]:
            return "API v2 has no such call; what was stored stays, and nothing else needs it."
        return "Check ONCE_BASE_URL and that the API user may use this version, then ask 1NCE's support."

    def _note(self, call: str, version: Version, state: CallState) -> None:
        self.states[call, version] = state
        self.changed.add((call, version))


def v1_warning(book: CallBook, now: datetime) -> str | None:
    """What to do before API v1 retires; None: there is time, or nothing asks API v1."""
    days = (V1_END - now.date()).days
    used = [call for call in CALLS if call != "sim" and book.in_use(call, now) == "v1"]
    if days > WARN_BEFORE_END.days or not used:
        return None
    when = f"retires on {V1_END}, in {days} days" if days >= 0 else f"was to retire on {V1_END}"
    setting = "set ONCE_API=auto; " if book.api == "v1" else ""
    return (
        f"API v1 {when}, and is in use for {', '.join(used)}: {setting}fetch six months of usage now "
        "(`simsight ingest`), add a Data Streamer (`simsight stream create`), and let the quota looks run."
    )
