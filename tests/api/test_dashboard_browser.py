"""The dashboard in a real browser: nothing in its console, nothing that axe-core finds serious, usable by keyboard.

Runs where Playwright is installed (requirements-browser.txt) and Debian's Chromium is, in either of its packages:
`apt install chromium-headless-shell` is the smaller one.
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

pytestmark = pytest.mark.browser
CHROMIUM = (Path("/usr/bin/chromium-headless-shell"), Path("/usr/bin/chromium"))
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
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
# charts follow the width of the window a moment later
FITS = """async () => {
  for (let tries = 0; tries < 500 && document.documentElement.scrollWidth > innerWidth; tries++)
    await new Promise((resolve) => setTimeout(resolve, 20));
  return document.documentElement.scrollWidth <= innerWidth;
}"""
NO_SANDBOX = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync", "--disable-gpu"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # looked for when the tests run: CI installs both meanwhile
    playwright = pytest.importorskip("playwright.sync_api")
    found = [path for path in CHROMIUM if path.exists()]
    if not found:
        pytest.skip("Debian's Chromium is not installed")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(
            executable_path=str(found[0]), chromium_sandbox=os.geteuid() != 0, args=NO_SANDBOX
        )
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def summary(desk: Desk) -> None:  # noqa: F811
    desk.seeded.run(
        "INSERT INTO predictions.fleet_summaries SELECT organization_id, '2026-01-10', "
        f"'{orjson.dumps(SUMMARY).decode()}', now() FROM core.organizations WHERE slug = 'default'"
    )


def at(desk: Desk, path: str) -> str:  # noqa: F811
    return f"{str(desk.admin.base_url).rstrip('/')}{path}"


@pytest.fixture
def said() -> list[str]:
    """What the console and the loads of the page complain of."""
    return []


@pytest.fixture
def page(browser: Any, desk: Desk, summary: None, said: list[str]) -> Iterator[Any]:  # noqa: F811
    """A page that is signed in, in German, whose texts are longer."""
    context = browser.new_context(viewport=WIDE, locale="de-DE")
    opened = context.new_page()
    # a page that is not there is told of by the browser itself
    opened.on("console", lambda one: said.append(one.text) if one.type in ("error", "warning") else None)
    opened.on("pageerror", lambda one: said.append(str(one)))
    opened.goto(at(desk, f"/sign-in#{desk.seeded.keys['desk']}"))
    opened.wait_for_selector("nav")
    yield opened
    context.close()


def test_pages_are_silent_accessible_and_fit_a_phone(page: Any, desk: Desk, said: list[str]) -> None:  # noqa: F811
    axe = AXE.read_text()
    for template in PAGES:
        path = template.format(iccid=desk.seeded.iccid(1))
        page.goto(at(desk, path))
        assert page.evaluate("document.documentElement.lang") == "de"
        page.evaluate(axe)
        found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]
        assert serious == [], path
        page.set_viewport_size(PHONE)
        page.emulate_media(color_scheme="dark")
        wide_ones = (
            "[...document.querySelectorAll('main *')].filter((e) => e.getBoundingClientRect().right > innerWidth)"
        )
        assert page.evaluate(FITS), (
            path,
            page.evaluate(f"{wide_ones}.map((e) => e.outerHTML.slice(0, 90))"),
        )
        found = page.evaluate("axe.run({runOnly: ['color-contrast'], resultTypes: ['violations']})")["violations"]
        assert [one["nodes"][0]["html"] for one in found] == [], path
        page.set_viewport_size(WIDE)
        page.emulate_media(color_scheme="light")
        said[:] = [one for one in said if not (path.endswith("7000000000000000000") and "404" in one)]
        assert said == [], path


def test_pages_are_used_by_keyboard(page: Any, desk: Desk, said: list[str]) -> None:  # noqa: F811
    page.goto(at(desk, "/"))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator(".plot").first.focus()
    page.keyboard.press("Home")
    assert page.locator("figure [aria-live]").first.inner_text().startswith("2026-01-09, verbraucht 13,75 MB")
    page.goto(at(desk, "/sims"))
    page.keyboard.press("/")
    page.keyboard.type("default-7", delay=60)  # as a person does: at once, all may come before the page listens
    rows = page.locator("table.sims tbody tr")
    rows.nth(1).wait_for(state="detached")
    assert rows.count() == 1
    assert "words=default-7" in page.url
    assert said == []
