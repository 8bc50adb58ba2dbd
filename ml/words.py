"""How numbers, shares and dates are written for people: one definition for terminal, report, alerts and messages.

Pure and light: plain values in, text out.
"""

from __future__ import annotations

import math
from datetime import date, datetime

BYTES_PER_MB = 1_000_000
# a date later than this says no more than that the end is far off
FAR_DAYS = 730


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


def _half_up(value: float, digits: int) -> float:
    """Rounded as people round: a half goes up, away from zero."""
    factor = 10.0**digits
    return math.copysign(math.floor(abs(value) * factor + 0.5 + 1e-9), value) / factor if value else 0.0
