"""How numbers, shares and dates are written for people: one definition for terminal, report, alerts and messages.

Pure and light: plain values in, text out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, datetime

BYTES_PER_MB = 1_000_000
# a date later than this says no more than that the end is far off
FAR_DAYS = 730
# what churn models look at, and how a value of it is said
CHURN_FACTS: Mapping[str, tuple[str, str]] = {
    "days_since_activity": ("the last sign of it", "nothing was heard of it for {:.0f} days"),
    "gap_share": ("its silence", "its silence is at {:.0%} of the longest usual one"),
    "active_7": ("its activity in the last 7 days", "it was active on {:.0%} of the last 7 days"),
    "active_30": ("its activity in the last 30 days", "it was active on {:.0%} of the last 30 days"),
    "active_change": (
        "the change of its share of active days",
        "its share of active days changed by {:+.0%} against the 60 days before",
    ),
    "spread_30": ("the spread of its days", "its days vary by {:.1f} times their mean"),
    "trend_7": ("its use of the last week", "its use of the last week is at {:.0%} of the month's"),
    "trend_30": ("its use of the last month", "its use of the last month is at {:.0%} of the two months' before"),
    "usual_gap": ("how often it reports", "it reports every {:.0f} days at the longest"),
    "use_30": ("its daily use", "it uses {:,.1f} kB a day"),
    "age_days": ("its time in service", "it has been in service for {:.0f} days"),
    "group_gone": ("how many of its place are gone", "{:.0%} of the SIMs of its place are gone or silent"),
    "group_trend": (
        "the use of the other SIMs of its place",
        "the use of the other SIMs of its place is at {:.0%} of the month's",
    ),
    "group_size": ("the size of its place", "its place has {:.0f} other SIMs"),
    "quota_used": ("the use of its quota", "{:.0%} of its quota is used"),
    "days_to_expiry": ("its expiry", "it expires in {:.0f} days"),
    "sessions_30": ("its number of sessions", "it opens {:.1f} sessions a day"),
    "empty_share_30": ("its share of empty sessions", "{:.0%} of its sessions carried nothing"),
    "quality_30": ("its connection quality", "its connection quality is {:.0%}"),
    "quality_change": ("the change of its connection quality", "its connection quality changed by {:+.0%}"),
    "tickets_90": ("its tickets", "{:.0f} tickets about it in 90 days"),
    "anomaly_days_30": ("its anomalous days in 30 days", "{:.0f} anomalous days in 30 days"),
    "anomaly_days_90": ("its anomalous days in 90 days", "{:.0f} anomalous days in 90 days"),
    "device_type": ("its device type", "its device type is {}"),
    "peer_group": ("its peer group", "its peer group is {}"),
}
STARTER_CHURN = (
    "The risks come from a starter model that learnt from simulated fleets (synthetic data), not from this one."
)
_OF_ONE = re.compile(r"(?<![\d.,])(1 (?:anomalous |other )?(?:day|SIM|ticket))s\b")
_LOGARITHMS = ("trend_7", "trend_30", "group_trend")


def percent(share: float | None, digits: int = 0) -> str:
    """A share as "62 %". What is not quite nothing or all is "under 1 %" or "over 99 %": no rounding claims certainty.

    digits  after the point; the words are then "under 0.1 %" and "over 99.9 %"
    """
    if share is None or math.isnan(share):
        return "unknown"
    step = 10.0**-digits
    shown = _half_up(100 * share, digits)
    if share > 0 and shown <= 0:
        return f"under {step:.{digits}f} %"
    if share < 1 and shown >= 100:
        return f"over {100 - step:.{digits}f} %"
    return f"{shown:.{digits}f} %"


def change(value: float, before: float | None) -> str:
    """A change such as "+12 %"; "unchanged" where it rounds to nothing, and no share of nothing."""
    if not before:
        return ""
    shown = _half_up(100 * (value / before - 1), 0)
    return f"{shown:+,.0f} %" if shown else "unchanged"


def megabytes(volume: float | None) -> str:
    """Bytes (millionths of a MB) in MB, to about three figures, without the unit."""
    if volume is None:
        return "unknown"
    value = volume / BYTES_PER_MB
    if not value:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}" if abs(value) >= 0.0005 else "under 0.001"


def count(value: int) -> str:
    """A whole number with commas between thousands."""
    return f"{value:,}"


def so_many(value: int, unit: str, verb: str = "", verb_of_many: str = "") -> str:
    """How many there are of something: so_many(1, "SIM", "has", "have") is "1 SIM has", of two it is "2 SIMs have"."""
    return f"{count(value)} {unit}{'' if value == 1 else 's'} {verb if value == 1 else verb_of_many}".rstrip()


def money(minor: int, currency: str | None = None) -> str:
    """An amount in minor units (hundredths), such as "1,234.50 EUR"."""
    return f"{minor / 100:,.2f} {currency or ''}".rstrip()


def day(value: date | None) -> str:
    """A day as 2026-06-30."""
    if value is None:
        return "unknown"
    return (value.date() if isinstance(value, datetime) else value).isoformat()


def span(first: date | None, last: date | None, *, as_of: date) -> str:
    """Between which days something is expected, so that a person can use it.

    first, last  the early and the late day; of a late one more than two years ahead the year says enough, and None is
                 one beyond the ten years that are looked at
    """
    if first is None:
        return "unknown"
    if (first - as_of).days > FAR_DAYS:
        return f"not before {first.year}"
    if last is None:
        return f"from {day(first)}, perhaps not within ten years"
    if (last - as_of).days > FAR_DAYS:
        return f"from {day(first)}, perhaps not before {last.year}"
    return day(first) if first == last else f"{day(first)} to {day(last)}"


def churn_fact(
    name: str,
    value: float | str | None,
    facts: Mapping[str, tuple[str, str]] = CHURN_FACTS,
    unknown: str = "{} is not known",
) -> str:
    """What a churn model saw of a SIM: a feature and its value in words.

    facts, unknown  of another language than English
    """
    subject, text = facts.get(name, (name.replace("_", " "), name.replace("_", " ") + ": {}"))
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return unknown.format(subject)
    if name in _LOGARITHMS:
        value = math.exp(float(value))
    elif name == "use_30":
        value = 10.0 ** float(value) / 1000
    return _OF_ONE.sub(r"\1", text.format(value).replace("%", " %"))


def _half_up(value: float, digits: int) -> float:
    """Rounded as people round: a half goes up, away from zero."""
    factor = 10.0**digits
    return math.copysign(math.floor(abs(value) * factor + 0.5 + 1e-9), value) / factor if value else 0.0
