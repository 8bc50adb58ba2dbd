"""The dashboard: signing in, what its pages show of the tables, and what a page that is not ours cannot do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from api.app import create_app
from api.dashboard import german
from api.dashboard.signing import COOKIE, CSRF_HEADER, SESSION_HOURS, csrf_token
from api.dashboard.web import HERE, STATIC, usage_and_forecast
from resources.database.session import Database
from services.access.api_keys import create_key, revoke_key
from tests.api.conftest import Seeded, Serve
from tests.conftest import LOCAL

NOW = datetime(2026, 1, 11, 6, tzinfo=UTC)
PAGES = ("/", "/sims", "/sims/8988280666000000002", "/alerts", "/money", "/tickets", "/ask", "/models")
SUMMARY = {
    "probability": 0.5,
    "figures": {"sims": 12, "active_7": 11, "ends_14": 3, "exhausted": 1},
    "daily": {"day": ["2026-01-09", "2026-01-10"], "bytes": [13_750_000, 13_751_000]},
    "forecast": {"day": ["2026-01-11"], "mean": [14_000_000], "low": [12_000_000], "high": [16_000_000]},
    "expected": [{"days": 30, "expected": 420_000_000, "low": 400_000_000, "high": 440_000_000}],
    "recent": [{"days": 7, "bytes": 96_250_000, "before": 90_000_000}],
    "model": {"version": 3, "backtest": "good"},
    "first_ends": [],
    "data": {"days": 132, "first_day": "2025-09-01", "newest_day": "2026-01-10", "corrections": 0, "usage_rows": 1452},
    "money": {"currency": "EUR", "at_stake_minor": 123_400, "saving_minor": 100_000},
    "policy": "",
    "grades": [{"status": "ok", "data_grade": "A", "sims": 12}],
    "states": [{"state": "active", "sims": 4}],
    "incidents": [],
    "top_consumers": [{"iccid": "8988280666000000009", "label": "<b>pump</b> {{ 7 * 7 }}", "bytes": 5_000_000}],
    "recommendations": [],
    "changes": [],
    "quarantine": [],
}


@pytest.fixture
def browser(seeded: Seeded, serve_app: Serve) -> Iterator[httpx.Client]:
    """Asks as a browser does, with cookies; nobody is signed in yet."""
    with (
        serve_app(create_app(seeded.url, data_note="synthetic data", clock=lambda: NOW)) as client,
        httpx.Client(base_url=client.base_url, timeout=30, headers={"Accept-Language": "en"}, **LOCAL) as opened,
    ):
        yield opened


def sign_in(browser: httpx.Client, key: str) -> httpx.Response:
    return browser.post("/sign-in", data={"key": key})


def new_key(seeded: Seeded, name: str, organization: str = "default", **rights: Any) -> str:
    database = Database(seeded.url, organization)
    key = create_key(database, name, now=datetime.now(UTC), valid_for=None, **rights)
    database.close()
    return key


def csrf(page: str) -> dict[str, str]:
    found = re.search(r'"X-Simsight-CSRF": "([0-9a-f]{64})"', page)
    assert found
    return {CSRF_HEADER: found[1]}


def test_a_session_is_opened_with_a_key_and_ends(browser: httpx.Client, seeded: Seeded) -> None:
    for path in (*PAGES, "/parts/alerts", "/live"):
        asked = browser.get(path)
        wanted = f"/sign-in?to={path}" if path != "/" else "/sign-in"
        assert (asked.status_code, asked.headers["location"]) == (303, wanted), path
    assert 'name="to" value="/alerts"' in browser.get("/sign-in?to=/alerts").text
    for elsewhere in ("//example.org", "https://example.org", "/\\example.org", "/a//b", "/a?b=//c"):
        assert 'name="to" value="/"' in browser.get("/sign-in", params={"to": elsewhere}).text
    assert browser.get("/parts/alerts", headers={"HX-Request": "true"}).headers["hx-redirect"] == "/sign-in"
    for wrong in ("", "x", "ss_" + "a" * 43):
        refused = sign_in(browser, wrong)
        assert (refused.status_code, "set-cookie" in refused.headers) == (401, False)
        assert "unknown, expired or revoked" in refused.text

    key = new_key(seeded, "desk")
    opened = sign_in(browser, key)
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    cookie = opened.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=lax", f"Max-Age={SESSION_HOURS * 3600}"))
    assert key not in cookie
    for to, shown in (("/alerts", "/alerts"), ("//example.org", "/")):  # whom a link in a mail has led here
        assert browser.post("/sign-in", data={"key": key, "to": to}).headers["location"] == shown
    assert (
        "Secure"
        in browser.post("/sign-in", data={"key": key}, headers={"X-Forwarded-Proto": "https"}).headers["set-cookie"]
    )
    browser.cookies.clear()
    sign_in(browser, key)
    assert all(browser.get(path).status_code == 200 for path in PAGES)
    session = browser.cookies[COOKIE]
    # the cookie is no key of the API, so that no other site can make a browser use it there
    assert browser.get("/v1/sims").status_code == 401
    assert browser.get("/", headers={"Cookie": f"{COOKIE}={key}"}).status_code == 303

    browser.post("/sign-out")
    assert browser.get("/", headers={"Cookie": f"{COOKIE}={session}"}).status_code == 303
    sign_in(browser, key)
    seeded.run("UPDATE ops.api_sessions SET expires_at = now() - interval '1 second'")
    assert browser.get("/").status_code == 303
    sign_in(browser, key)
    database = Database(seeded.url, "default")
    revoke_key(database, "desk")
    database.close()
    assert browser.get("/").status_code == 303


def test_pages_show_what_the_tables_hold_and_nothing_of_others(browser: httpx.Client, seeded: Seeded) -> None:
    sign_in(browser, new_key(seeded, "desk"))
    assert "There is nothing to show yet" in browser.get("/").text
    seeded.run(
        "INSERT INTO predictions.fleet_summaries SELECT organization_id, '2026-01-10', "
        f"'{orjson.dumps(SUMMARY).decode()}', now() FROM core.organizations WHERE slug = 'default'"
    )
    page = browser.get("/").text
    for shown in (
        "96.2 MB",
        "420 MB",
        "400–440 MB",
        "<strong>A</strong> 12",
        "+7 %",
        "synthetic data",
        "<b>6</b>",
        "1,234 EUR",
    ):
        assert shown in page, shown
    assert "&lt;b&gt;pump&lt;/b&gt; {{ 7 * 7 }}" in page
    assert "<b>pump" not in page

    listed = browser.get("/sims").text
    assert listed.count("/sims/89882806660000000") == 12
    assert "default-12" in listed
    found = browser.get("/sims", params={"words": "DEFAULT-7"}, headers={"HX-Request": "true"}).text
    assert ("default-7" in found, "default-8" in found, "<html" in found) == (True, False, False)
    assert "No SIM fits" in browser.get("/sims", params={"words": "%"}).text
    one = browser.get("/sims/8988280666000000002").text
    assert "default-2" in one
    assert "default-2 exhaustion" in one
    assert "default-2 because" in one
    assert browser.get("/sims/8988280666000000099").status_code == 404

    for path in (*PAGES, "/sims?words=other", "/sims/9988280666000000002", "/parts/alerts"):
        text = browser.get(path).text.replace("/sims?words=other", "").replace('value="other"', "")
        # what was asked for is said again
        assert "9988280666" not in text.replace("9988280666000000002", ""), path
        assert "other-" not in text, path


def test_alerts_and_recommendations_are_acted_on_by_our_pages_only(browser: httpx.Client, seeded: Seeded) -> None:
    sign_in(browser, new_key(seeded, "desk", scopes=("read", "alerts")))
    page = browser.get("/alerts").text
    act = re.search(r'hx-post="(/alerts/\d+/acknowledge)"', page)
    assert act
    for headers in ({}, {CSRF_HEADER: csrf_token("ss_other")}, {"X-Simsight-CSRF": "é".encode("latin-1")}):
        assert browser.post(act[1], headers=headers).status_code == 403
    row = browser.post(act[1], headers=csrf(page)).text
    assert "acknowledged" in row
    assert "API key desk" in row
    assert "<html" not in row
    assert "resolved" in browser.post(act[1].replace("acknowledge", "resolve"), headers=csrf(page)).text

    money = browser.get("/money").text
    decide = re.search(r'hx-post="(/recommendations/\d+)/accepted"', money)
    assert decide
    assert "accepted" in browser.post(f"{decide[1]}/accepted", headers=csrf(money)).text
    assert seeded.run("SELECT decision, decided_by FROM predictions.recommendation_decisions") == [
        ("accepted", "API key desk")
    ]

    tickets = browser.get("/tickets").text
    assert "ticket 1" in tickets
    assert tickets.index("ticket 1") < tickets.index("ticket 2")  # by priority
    assert browser.post("/tickets/case%201", data={"category": "account_management"}).status_code == 403
    row = browser.post("/tickets/case%201", data={"category": "account_management"}, headers=csrf(tickets)).text
    assert "API key desk" in row
    assert "account" in row
    assert browser.post("/tickets/case%201", data={"category": "x"}, headers=csrf(tickets)).status_code == 422
    assert browser.post("/tickets/case%205", data={"category": "account_management"}, headers=csrf(tickets)).text == ""

    foreign = seeded.run("SELECT max(alert_id) FROM predictions.alerts WHERE organization_id = 2")[0][0]
    assert browser.post(f"/alerts/{foreign}/resolve", headers=csrf(page)).text.strip() == ""
    sign_in(browser, new_key(seeded, "reader"))
    page = browser.get("/alerts").text
    act = re.search(r'hx-post="(/alerts/\d+/acknowledge)"', page)
    assert act
    assert "may read only" in browser.post(act[1], headers=csrf(page)).text


def test_a_question_is_answered_in_the_language_of_the_reader(browser: httpx.Client, seeded: Seeded) -> None:
    sign_in(browser, new_key(seeded, "desk"))
    english = browser.get("/ask", params={"question": "What was the usage by day last week?"}).text
    assert 'class="plot' in english
    assert "SELECT" in english
    for path, back in (("/sims", "/sims"), ("//evil.example/x", "/"), ("https://evil.example", "/"), ("/\\evil", "/")):
        chosen = browser.post("/language/de", data={"path": path})
        assert (chosen.status_code, chosen.headers["location"]) == (303, back)
    german_page = browser.get("/ask", params={"question": "Wie viele SIMs gibt es?"}).text
    assert '<html lang="de">' in german_page
    assert "Fragen zur Flotte" in german_page
    assert browser.post("/language/fr").status_code == 422
    assert "&lt;script&gt;" in browser.get("/ask", params={"question": "<script>alert(1)</script>"}).text


def test_pages_run_nothing_that_is_not_ours(browser: httpx.Client, seeded: Seeded) -> None:
    sign_in(browser, new_key(seeded, "desk"))
    for path in (*PAGES, "/sign-in"):
        answer = browser.get(path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"), path
        assert "unsafe" not in policy
        text = answer.text
        assert not re.search(r"<[^>]+\s(style|on\w+|hx-on[\w:-]*)=", text), path
        assert not re.search(r"<script(?![^>]*(src=|application/json))", text), path
        assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text), path
    total = 0
    for name in ("app.css", "app.js", "htmx.min.js", "hx-sse.min.js", "uplot.min.js", "uplot.min.css"):
        file = browser.get(f"/static/{name}", headers={"Accept-Encoding": "gzip"})
        assert file.content == (STATIC / name).read_bytes()
        assert "immutable" in file.headers["cache-control"]
        total += int(file.headers["content-length"])
    assert total < 200_000
    assert browser.get("/static/..%2Fpages.py").status_code == 404
    assert browser.get("/static/pages.py").status_code == 404


def test_a_chart_has_a_value_a_day_and_a_band_where_there_is_a_forecast() -> None:
    first = date(2026, 1, 8)
    drawn = usage_and_forecast(
        [(first, 2_000_000), (first + timedelta(2), 4_500_000)],
        [{"day": first + timedelta(3), "mean": 5_000_000, "low": 1_000_000, "high": 9_000_000}],
        to="en",
    )
    assert drawn is not None
    data = orjson.loads(drawn["data"])
    assert [one["values"] for one in data["series"]] == [
        [2, None, 4.5, None],
        [None, None, None, 5],
        [None, None, None, 9],
        [None, None, None, 1],
    ]
    assert datetime.fromtimestamp(data["today"], UTC).date() == date(2026, 1, 10)
    assert drawn["rows"][0] == (date(2026, 1, 11), None, 5, 9, 1)
    assert usage_and_forecast([], [], to="en") is None


def test_every_text_of_the_pages_has_a_german_one() -> None:
    texts = set()
    for file in (HERE / "templates").glob("*.html"):
        source = file.read_text()
        for literal in re.findall(r'\bt\(("(?:[^"\\]|\\.)*")', source):
            texts.add(ast.literal_eval(literal))
    for file in Path(HERE).glob("*.py"):
        texts |= set(re.findall(r'translate\("([^"]+)"', file.read_text()))
    assert len(texts) > 80
    assert texts - german.GERMAN.keys() == set()
    for text, translated in german.GERMAN.items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", translated)), text
