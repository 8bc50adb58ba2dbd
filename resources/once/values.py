"""Single values as 1NCE writes them: volumes, counts, money, times, days and ICCIDs, exact or rejected with a
ValueError whose text says what was expected.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

_NUMBER = re.compile(r"([+-]?)(\d{0,30})(?:\.(\d{0,30}))?(?:[eE]([+-]?\d{1,2}))?", re.ASCII)
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?( ?(?:Z|UTC|[+-]\d\d(?::?\d\d)?))?)?", re.ASCII
)
# as in German: comma before the cents, points between the thousands
_COMMA_AMOUNT = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+),\d{1,2}", re.ASCII)
_ICCID = re.compile(r"\d{19}", re.ASCII)
_MIDNIGHTS = frozenset({"", "T00:00:00.000Z", "T00:00:00Z", "T00:00:00.000+0000", "T00:00:00+0000"})
# ISO 4217 currencies whose minor unit is not a hundredth.
_MINOR_DIGITS = dict.fromkeys(
    ("CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"), 0
) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)


def scaled(value: object, places: int) -> int:
    """`value` x 10**places, exact, from an int, a float as JSON shows it, or decimal text.

    ValueError when not exact.
    """
    if type(value) is int:
        number: int = value * 10**places
    else:
        text = value.strip() if isinstance(value, str) else repr(value)
        match = _NUMBER.fullmatch(text)
        if match is None or not (match[2] or match[3]):
            raise ValueError("expected a decimal number")
        fraction = match[3] or ""
        shift = int(match[4] or 0) - len(fraction) + places
        number, rest = int(match[2] + fraction), 0
        if shift >= 0:
            number *= 10**shift
        else:
            number, rest = divmod(number, 10**-shift)
        if rest:
            raise ValueError(f"expected a decimal number with at most {places} places")
        number = -number if match[1] == "-" else number
    if abs(number) >= 2**63:
        raise ValueError("expected a number that fits 64 bits")
    return number


def mb_to_bytes(value: object) -> int:
    """MB as 1NCE writes them ("0.002803", 435.787951, 500) to accounting bytes, exact. ValueError otherwise."""
    if type(value) is str and value[-7:-6] == ".":  # the usual form, six places, without the general parser
        digits = value[:-7] + value[-6:]
        if len(digits) <= 18 and digits.isdigit() and digits.isascii():
            return int(digits)
    return scaled(value, 6)


def whole(value: object) -> int:
    """A whole number from 3, "3" or "3.0". ValueError otherwise."""
    if type(value) is str and len(value) <= 18 and value.isdigit() and value.isascii():
        return int(value)
    return scaled(value, 0)


def minor_units(amount: object, currency: object) -> int:
    """Money to integer minor units (cents) of an ISO 4217 currency.

    ValueError when it is not a whole number of them.
    """
    if not (isinstance(currency, str) and re.fullmatch("[A-Z]{3}", currency)):
        raise ValueError(f"currency: got {currency!r}, expected three capital letters")
    if isinstance(amount, str) and _COMMA_AMOUNT.fullmatch(amount.strip()):
        amount = amount.replace(".", "").replace(",", ".")
    return scaled(amount, _MINOR_DIGITS.get(currency, 2))


def parse_time(value: object) -> datetime:
    """A time in any of 1NCE's spellings as UTC: with T or a blank, with or without seconds, fraction and zone.

    A date alone is its midnight; a time without a zone is UTC. ValueError otherwise.
    """
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("expected a time like 2018-03-09T07:59:09.000+0000, ...Z or 2018-03-09 07:59:09")
    text, zone = match[0], match[1]
    if zone and (zone[0] == " " or zone == "UTC"):
        text = text.removesuffix(zone) + zone.strip().replace("UTC", "Z")
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("expected a time within the years 1 to 9999 UTC") from None


def parse_day(value: object) -> date:
    """The UTC day of a usage row: a date, or a time of that day. ValueError otherwise."""
    if not isinstance(value, str):
        raise ValueError("expected a date like 2021-06-30T00:00:00.000Z")
    if value[10:] in _MIDNIGHTS and value[7:8] == "-":
        return date.fromisoformat(value[:10])
    return parse_time(value).date()


def check_iccid(value: object) -> str:
    """The ICCID as 19 digits of text. ValueError otherwise."""
    text = str(value) if type(value) is int else value
    if not (isinstance(text, str) and _ICCID.fullmatch(text)):
        raise ValueError("expected an ICCID of 19 digits")
    return text


def without_check_digit(digits: str) -> str:
    """19 digits of an ICCID's 19, or of 20 whose last is their check digit (Luhn). ValueError otherwise."""
    if re.fullmatch(r"\d{20}", digits, re.ASCII):
        doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
        if (sum(doubled) + sum(int(digit) for digit in digits[-1::-2])) % 10:
            raise ValueError("expected an ICCID of 19 digits, or of 20 whose last is the check digit: it is another")
        return digits[:19]
    return check_iccid(digits)
