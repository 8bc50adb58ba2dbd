"""How pages are made: templates, the words of both languages, and what charts are drawn from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from api.called import called_prefix
from api.dashboard.codes import CODES
from api.dashboard.german import GERMAN
from api.dashboard.signing import COOKIE, csrf_token
from ml import words

HERE = Path(__file__).parent
STATIC = HERE / "static"
LANGUAGE_COOKIE = "simsight_language"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
GERMAN_SIGNS = str.maketrans(",.", ".,")  # 1,234.5 is 1.234,5
TONES = 4  # that bars of one chart can have
# where, name, and what else is shown under it
TABS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("/", "Fleet", ()),
    ("/sims", "SIMs", ()),
    ("/alerts", "Alerts", ("/rules",)),
    ("/money", "Money", ()),
    ("/tickets", "Tickets", ()),
    ("/reports", "Reports", ()),
    ("/ask", "Ask", ()),
    ("/models", "Models", ()),
    ("/audit", "Admin", ("/keys",)),
)


def language(request: Request) -> str:
    """en or de: as chosen before, or else as the browser asks for."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    if chosen in ("en", "de"):
        return chosen
    wanted = request.headers.get("accept-language", "").lower()
    german, english = wanted.find("de"), wanted.find("en")
    return "de" if german >= 0 and (english < 0 or german < english) else "en"


def translate(text: str, to: str, **values: Any) -> str:
    """A text of the dashboard in a language, with its values set in. A text without a German one stays English."""
    found = GERMAN.get(text, text) if to == "de" else text
    return found.format(**values) if values else found


@cache
def _environment(to: str) -> Environment:
    """The templates, whose figures are in the words of a language."""

    def said(text: str) -> str:
        return figure(translate(text, to), to)

    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": lambda value: said(words.count(int(value))),
        "mb": lambda value: said(words.megabytes(value)),
        "percent": lambda value: said(words.percent(value)),
        "figure": lambda value, form: said(format(value, form)),
        "day": lambda value: translate(words.day(_date(value)), to),
        "money": lambda *amount: said(money(*amount)),
        "change": lambda row: said(words.change(row["bytes"], row["before"])),
    }
    environment.globals["tabs"] = TABS
    return environment


def figure(text: str, to: str) -> str:
    """A figure with the signs of a language, of one with those of English."""
    return text.translate(GERMAN_SIGNS) if to == "de" else text


def money(minor: float | None, currency: str, digits: int = 2) -> str:
    """An amount of minor units (cents) in whole units."""
    return "unknown" if minor is None else f"{minor / 100:,.{digits}f} {currency}"


def _date(value: Any) -> date | None:
    return date.fromisoformat(value[:10]) if isinstance(value, str) else value


# what ml.words.span says, and the same in German
SPANS = (
    (r"not before (\d+)", r"nicht vor \1"),
    (r"from (\S+), perhaps not before (\d+)", r"ab \1, vielleicht nicht vor \2"),
    (r"from (\S+), perhaps not within ten years", r"ab \1, vielleicht nicht in zehn Jahren"),
    (r"(\S+) to (\S+)", r"\1 bis \2"),
)


def span(first: Any, last: Any, as_of: Any, *, to: str = "en") -> str:
    """Between which days something is expected (ml.words.span), in a language; days may be texts."""
    known = _date(as_of)
    said = words.span(_date(first), _date(last), as_of=known) if known else "unknown"
    for english, german in SPANS if to == "de" else ():
        if found := re.fullmatch(english, said):
            return found.expand(german)
    return translate(said, to)


def chart(
    days: Sequence[date | str], series: list[dict[str, Any]], *, to: str, unit: str = "MB", today: date | None = None
) -> dict[str, Any]:
    """What app.js draws and the table beside it shows.

    series  label, kind (bars, line, high, low: an 80 % band between the two), values a day (None: nothing), ahead
    today   the last day that is known
    """
    known = [_date(day) for day in days]
    seconds = [int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) for day in known if day]
    mark = int(datetime(today.year, today.month, today.day, 12, tzinfo=UTC).timestamp()) if today else None
    drawn = {
        "x": seconds,
        "x_label": translate("day (UTC)", to),
        "unit": unit,
        "lang": to,
        "today": mark,
        "series": series,
    }
    # "</" could end the element it stands in
    text = orjson.dumps(drawn).decode().replace("<", "\\u003c")
    rows = list(zip(known, *(one["values"] for one in series), strict=True))
    return {"data": text, "labels": [one["label"] for one in series], "rows": rows[::-1], "unit": unit}


def usage_and_forecast(
    usage: list[tuple[date, int]],
    forecast: Sequence[Mapping[str, Any]],
    *,
    to: str,
    networks: Mapping[date, str] | None = None,
) -> dict[str, Any] | None:
    """A chart of daily MB with the forecast band; None without days.

    usage     day, bytes; days between that are missing stay empty
    forecast  day, mean, low, high: bytes
    networks  where it was used, of days; the bars of several networks differ in tone
    """
    if not usage and not forecast:
        return None
    used = dict(usage)
    ahead = {row["day"]: row for row in forecast}
    first, last = min([*used, *ahead]), max([*used, *ahead])
    days = [first + timedelta(n) for n in range((last - first).days + 1)]

    def values(of: str) -> list[float | None]:
        return [_in_mb(ahead[day][of]) if day in ahead else None for day in days]

    series: list[dict[str, Any]] = []
    of_day = networks or {}
    groups = _groups(used, of_day, other=translate("other networks", to))
    for tone, (name, members) in enumerate(groups.items()):
        shown = [_in_mb(used.get(day)) if of_day.get(day, "") in members else None for day in days]
        series.append({"label": name, "kind": "bars", "tone": tone, "values": shown})
    if len(groups) < 2:
        shown = [_in_mb(used.get(day)) for day in days]
        series = [{"label": translate("used", to), "kind": "bars", "values": shown}]
    if ahead:
        series += [
            {"label": translate("forecast", to), "kind": "line", "ahead": True, "values": values("mean")},
            {"label": translate("80 % upper", to), "kind": "high", "values": values("high")},
            {"label": translate("80 % lower", to), "kind": "low", "values": values("low")},
        ]
    return chart(days, series, to=to, today=max(used) if used and ahead else None)


def _groups(used: Mapping[date, int], networks: Mapping[date, str], *, other: str) -> dict[str, set[str]]:
    """The networks with the most volume, each by itself, and all others together."""
    volumes: dict[str, int] = {}
    for day, volume in used.items():
        name = networks.get(day, "")
        volumes[name] = volumes.get(name, 0) + volume
    most = sorted(volumes, key=lambda name: -volumes[name])
    if len(most) <= TONES:
        return {name or other: {name} for name in most}
    return {name or other: {name} for name in most[: TONES - 1] if name} | {
        other: {name for at, name in enumerate(most) if at >= TONES - 1 or not name}
    }


def _in_mb(volume: int | None) -> float | None:
    return None if volume is None else round(volume / words.BYTES_PER_MB, 3)


def asset(name: str) -> str:
    """The path of a file with a mark of its content, so that a browser may keep it."""
    return f"/static/{name}?v={_mark(name)}"


@cache
def _mark(name: str) -> str:
    return sha256((STATIC / name).read_bytes()).hexdigest()[:12]


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page or a part of one, in the language of the request."""
    to = language(request)
    token = request.cookies.get(COOKIE, "")

    def t(text: str, **inserted: Any) -> str:
        return translate(text, to, **inserted)

    def word(code: str | None) -> str:
        """A code of the database in words; one that has none is shown as it is, without underscores."""
        known = CODES.get(code or "")
        return known[to == "de"] if known else (code or "").replace("_", " ")

    common: dict[str, Any] = {
        "t": t,
        "word": word,
        "lang": to,
        "path": request.url.path,
        "prefix": called_prefix(request),
        "asset": asset,
        "csrf": csrf_token(token) if token else "",
        "note": request.app.state.data_note,
        "scopes_held": getattr(request.state, "scopes", frozenset()),
        "span": partial(span, to=to),
    }
    text = _environment(to).get_template(template).render(common | values)
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", "Vary": "Cookie, Accept-Language"}
    return HTMLResponse(text, status, headers)
