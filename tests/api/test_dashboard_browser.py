"""The dashboard in a real browser: nothing in its console, nothing that axe-core finds serious, usable by keyboard.

Runs where Playwright is installed and Debian's Chromium is (`apt install chromium`, `pip install playwright`).
axe/axe.min.js is axe-core 4.14.1 as npm has it, under the Mozilla Public License 2.0 (axe/LICENSE).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.api.test_dashboard import SUMMARY
from tests.api.test_dashboard_pages import Desk, desk  # noqa: F401 - a fixture

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="Debian's chromium is not installed")
AXE = Path(__file__).parent / "axe" / "axe.min.js"
PAGES = ("/", "/sims", "/sims?sort=ends_on&state=active", "/sims/{iccid}", "/alerts", "/rules", "/money", "/tickets")
PAGES += (
    "/ask?question=How many SIMs are there?",
    "/models",
    "/reports",
    "/audit",
    "/keys",
    "/sims/7000000000000000000",
)
NO_SANDBOX = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync", "--disable-gpu"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=str(CHROMIUM), chromium_sandbox=os.geteuid() != 0, args=NO_SANDBOX
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module", autouse=True)
def summary(desk: Desk) -> None:  # noqa: F811
    desk.seeded.run(
        "INSERT INTO predictions.fleet_summaries SELECT organization_id, '2026-01-10', "
        f"'{orjson.dumps(SUMMARY).decode()}', now() FROM core.organizations WHERE slug = 'default'"
    )


def at(desk: Desk, path: str) -> str:  # noqa: F811
    return f"{str(desk.admin.base_url).rstrip('/')}{path}"


def signed_in(browser: Any, desk: Desk, said: list[str], **options: Any) -> Any:  # noqa: F811
    """A page of a browser of its own. said: gets what its console and its loads complain of."""
    context = browser.new_context(**options)
    page = context.new_page()
    # a page that is not there is told of by the browser itself
    page.on("console", lambda one: said.append(one.text) if one.type in ("error", "warning") else None)
    page.on("pageerror", lambda one: said.append(str(one)))
    page.goto(at(desk, f"/sign-in#{desk.seeded.keys['desk']}"))
    page.wait_for_selector("nav")
    return page


def test_pages_are_silent_accessible_and_fit_a_phone(browser: Any, desk: Desk) -> None:  # noqa: F811
    said: list[str] = []
    wide = signed_in(browser, desk, said, viewport={"width": 1280, "height": 900}, locale="en-US")
    narrow = signed_in(browser, desk, said, viewport={"width": 390, "height": 844}, locale="de-DE", color_scheme="dark")
    for template in PAGES:
        path = template.format(iccid=desk.seeded.iccid(1))
        wide.goto(at(desk, path))
        wide.evaluate(AXE.read_text())
        found = wide.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
        assert serious == [], path
        narrow.goto(at(desk, path))
        wide_ones = (
            "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth)"
        )
        assert narrow.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
            path,
            narrow.evaluate(f"{wide_ones}.map((e) => e.outerHTML.slice(0, 90))"),
        )
        assert narrow.evaluate("document.documentElement.lang") == "de"
        said[:] = [one for one in said if not (path.endswith("7000000000000000000") and "404" in one)]
        assert said == [], path


def test_pages_are_used_by_keyboard(browser: Any, desk: Desk) -> None:  # noqa: F811
    said: list[str] = []
    page = signed_in(browser, desk, said, locale="en-US")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator(".plot").first.focus()
    page.keyboard.press("Home")
    assert page.locator("figure [aria-live]").first.inner_text().startswith("2026-01-09, used 13.75 MB")
    page.goto(at(desk, "/sims"))
    page.keyboard.press("/")
    page.keyboard.type("default-7")
    playwright.expect(page.locator("table.sims tbody tr")).to_have_count(1)
    assert "words=default-7" in page.url
    assert said == []
