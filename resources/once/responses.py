"""What surrounds the records of an answer of 1NCE's: headers, paging, rate limits, the token.

Pure: no network, no clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Generic, NamedTuple, TypeVar

from resources.bounded_json import at_most, size_within
from resources.once.values import whole

T = TypeVar("T")
MAX_USAGE_DAYS = 184  # the longest six months
MAX_JSON_VALUES = 1_000_000  # in one answer; the largest page known has 1,000 events of about 40 values
MAX_JSON_DEPTH = 50
MAX_TOKEN_CHARACTERS = 16_000
MAX_TOKEN_LIFETIME_S = 86_400.0
# (requests, seconds) for each first part of a path; 1NCE help, "API Rate Limits".
RATE_LIMITS = {
    "oauth": (600, 60.0),
    "sims": (10, 1.0),
    "orders": (100, 300.0),
    "products": (100, 300.0),
    "support": (100, 300.0),
}


@dataclass(frozen=True)
class Rejected:
    """A record that breaks a rule: the reason names the field, the value and what was expected."""

    reason: str
    record: dict[str, Any]


@dataclass(frozen=True)
class Answer(Generic[T]):
    """One answer of 1NCE: as it came (`body`), when, to which question, and as typed rows."""

    path: str
    params: dict[str, str]
    received_at: datetime
    body: bytes
    items: list[T]
    rejected: list[Rejected]
    notes: list[str] = field(default_factory=list)  # what could not be read of records kept: 'field: got ...'


# --- headers and bodies ----------------------------------------------------------------------------------------------


def usage_params(first_day: date, last_day: date) -> dict[str, str]:
    """The query of the usage call.

    ValueError when the window is empty or longer than the six months that 1NCE gives.
    """
    if not 0 <= (last_day - first_day).days < MAX_USAGE_DAYS:
        raise ValueError(
            f"usage from {first_day} to {last_day}: ask for 1 to {MAX_USAGE_DAYS} days, 1NCE keeps six months"
        )
    return {"start_dt": first_day.isoformat(), "end_dt": last_day.isoformat()}


class Totals(NamedTuple):
    """What the paging headers promise; None where a header is missing or unreadable."""

    records: int | None
    pages: int | None


def parse_totals(headers: Mapping[str, str], document: Any = None) -> Totals:
    """X-Total-Count and X-Total-Pages, or totalEvents and totalPages in the body; `headers` must not mind the case."""
    body = document if isinstance(document, dict) else {}

    def read(header: str, field: str) -> int | None:
        text = str(headers.get(header, body.get(field)))
        return int(text) if re.fullmatch(r"\d{1,12}", text, re.ASCII) else None

    return Totals(read("X-Total-Count", "totalEvents"), read("X-Total-Pages", "totalPages"))


def parse_retry_after(value: str | None, now: datetime) -> float:
    """Seconds that a Retry-After header asks to wait, from a number or an HTTP date; 0.0 when missing or unreadable."""
    if not value:
        return 0.0
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value.strip(), re.ASCII):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    return max(0.0, (moment - now).total_seconds()) if moment.tzinfo else 0.0


def family(path: str) -> str:
    """Which rate limit a path (without the base URL's own) counts against: oauth, sims, orders, products or support."""
    parts = [part for part in path.split("/") if part]
    return parts[1] if len(parts) > 1 and re.fullmatch(r"v\d+", parts[0]) else (parts[0] if parts else "")


def parse_json(body: bytes) -> Any:
    """A body as JSON, with decimal numbers kept as the text they came in.

    ValueError for anything else, and TooMuchJsonError for more values or levels than 1NCE sends.
    """
    if not at_most(body, MAX_JSON_VALUES):
        raise TooMuchJsonError(f"JSON of more than {MAX_JSON_VALUES:,} values")
    try:
        document = json.loads(body, parse_float=str, parse_constant=str)
    except RecursionError:
        document = None
        deep = True
    else:
        deep = size_within(document, MAX_JSON_DEPTH) is None
    if deep:
        raise TooMuchJsonError(f"JSON nested deeper than {MAX_JSON_DEPTH} levels")
    return document


class TooMuchJsonError(ValueError):
    """JSON of a size or a depth that no answer of 1NCE's has; the text says which."""


class Token(NamedTuple):
    """A bearer token and for how many seconds it holds."""

    value: str
    lifetime_s: float


def parse_token(body: bytes) -> Token | None:
    """The token endpoint's answer; None when it holds no usable token. Never shows what came: it may be the token."""
    try:
        answer = parse_json(body)
        value, lifetime = answer["access_token"], whole(answer.get("expires_in") or 3600)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    # Checked here because an HTTP library would quote an illegal header value in its own error.
    if not (isinstance(value, str) and re.fullmatch(r"[\x21-\x7e]+", value) and len(value) <= MAX_TOKEN_CHARACTERS):
        return None
    return Token(value, min(lifetime, MAX_TOKEN_LIFETIME_S))
