"""The console in a real browser: what only a browser can show."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn

from contracts.update import UpdateState
from fleet_server.console.parts import Console, end_streams
from fleet_server.rollouts.states import RolloutState
from tests.fleet_server.console.fake_fleet import FakeFleet, TestClock
from tests.fleet_server.console.fixtures import a_busy_fleet
from tests.fleet_server.console.preview import app_over, recount

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Error, Page, Request

pytestmark = [pytest.mark.system, pytest.mark.slow]

PAGES = ("/", "/devices", "/devices/pi-0007", "/rollouts", "/rollouts/r-118", "/alerts", "/retrain-requests/rt-1")
AXE = Path(__file__).parents[3] / "web" / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")
PAGE_WEIGHT_BYTES = 120_000


class _EndingServer(uvicorn.Server):
    """Ends the live streams before it waits for connections to close, as the fleet server's own does."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        end_streams(self.config.app)  # type: ignore[arg-type]  # uvicorn takes any ASGI app; ours is FastAPI's
        await super().shutdown(sockets)


class Site:
    """A console over a fleet that listens on loopback until it is stopped; port 0 takes a free one."""

    def __init__(self, fleet: FakeFleet, *, port: int = 0) -> None:
        self.fleet = fleet
        self.console = Console.over(fleet, fleet, people=fleet, clock=fleet.clock)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        self.port = int(listener.getsockname()[1])
        self.address = f"http://127.0.0.1:{self.port}"
        app = app_over(fleet, self.console)
        self._server = _EndingServer(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]})
        self._thread.start()

    def stop(self) -> None:
        """Let it go; its port may be taken again at once."""
        self._server.should_exit = True
        self._thread.join()


@dataclass(kw_only=True)
class Watched:
    """What a page did: requests to other origins, and words in the browser's console."""

    strangers: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site(a_busy_fleet(TestClock()))
    yield site
    site.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    program = next((path for path in CHROMIUM if Path(path).exists()), None)
    if program is None:
        pytest.fail("chromium is not installed; 'make test' says how to get it")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(15_000)
    yield context
    context.close()


def test_person_signs_in_and_comes_to_the_page_that_was_asked_for(site: Site, context: BrowserContext) -> None:
    page = context.new_page()

    page.goto(f"{site.address}/rollouts/r-118")
    page.fill("#name", "ana")
    page.fill("#password", "correct horse")
    page.keyboard.press("Enter")

    page.wait_for_url(f"{site.address}/rollouts/r-118")
    assert page.inner_text("h1") == "digits@1.4.0"


def test_rollout_page_follows_the_fleet_without_a_reload(site: Site, context: BrowserContext) -> None:
    page = _signed_in(site, context)
    page.goto(f"{site.address}/rollouts/r-118")
    page.wait_for_selector("[data-link=live]")
    before = page.inner_text(".figures .hero")
    page.evaluate("window.notReloaded = true")
    cells = page.get_attribute("fleet-grid", "cells")

    _finish_wave(site.fleet)

    page.wait_for_function("before => document.querySelector('.figures .hero').innerText !== before", arg=before)
    page.wait_for_function("before => document.querySelector('fleet-grid').getAttribute('cells') !== before", arg=cells)
    assert page.inner_text(".figures .hero") == "10 % finished"
    assert page.evaluate("window.notReloaded") is True


def test_what_was_typed_selected_and_opened_survives_a_refresh(site: Site, context: BrowserContext) -> None:
    page = _signed_in(site, context)
    page.goto(f"{site.address}/rollouts/r-118")
    page.wait_for_selector("[data-link=live]")
    page.click("#rate-table summary")
    page.fill("#q", "status:healthy")
    before = page.inner_text(".figures .hero")

    _finish_wave(site.fleet)

    page.wait_for_function("before => document.querySelector('.figures .hero').innerText !== before", arg=before)
    page.wait_for_timeout(500)
    assert page.input_value("#q") == "status:healthy"
    assert page.evaluate("document.activeElement.id") == "q"
    assert page.get_attribute("#rate-table", "open") is not None
    assert "downloading" not in page.inner_text("#rollout-devices")


def test_pause_in_one_tab_is_seen_in_another(site: Site, context: BrowserContext) -> None:
    acting = _signed_in(site, context)
    watching = context.new_page()
    for page in (acting, watching):
        page.goto(f"{site.address}/rollouts/r-118")
        page.wait_for_selector("[data-link=live]")

    acting.click("text=Pause")
    acting.click("dialog[open] button:has-text('Pause')")

    watching.wait_for_selector(".heading .pill:has-text('paused')", timeout=4_000)
    watching.wait_for_selector(".acts >> text=Resume")
    assert site.fleet.done == [("ana", "pause", "r-118")]


def test_dangerous_act_is_asked_about_by_count_and_escape_changes_nothing(site: Site, context: BrowserContext) -> None:
    page = _signed_in(site, context)
    page.goto(f"{site.address}/rollouts/r-118")

    page.click("text=Roll back")
    page.wait_for_selector("dialog[open] #typed:focus")
    question = page.inner_text("dialog[open]")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog#ask:not([open])", state="attached")

    assert re.search(r"Roll back \d+ devices\?", question)
    assert site.fleet.done == []
    assert site.fleet.rollout_views[0].state is RolloutState.RUNNING


def test_eight_tabs_are_all_live_over_one_stream(site: Site, context: BrowserContext) -> None:
    first = _signed_in(site, context)
    tabs = [first, *(context.new_page() for _ in range(7))]

    for tab in tabs:
        tab.goto(f"{site.address}/rollouts/r-118")
        tab.wait_for_selector("[data-link=live]")

    assert len(tabs) == 8
    assert site.console.hub.watching == 1


def test_page_says_that_it_is_stale_and_comes_back_after_the_server_was_away(context: BrowserContext) -> None:
    first = Site(a_busy_fleet(TestClock()))
    page = _signed_in(first, context)
    page.goto(f"{first.address}/rollouts/r-118")
    page.wait_for_selector("[data-link=live]")
    page.fill("#q", "wave:2")

    first.stop()
    page.wait_for_selector("[data-link=reconnecting]", timeout=6_000)
    _finish_wave(first.fleet)
    second = Site(first.fleet, port=first.port)

    page.wait_for_selector("[data-link=live]", timeout=15_000)
    page.wait_for_function("() => document.querySelector('.figures .hero').innerText === '10 % finished'")
    assert page.input_value("#q") == "wave:2"
    second.stop()


def test_tour_leaves_no_origin_breaks_no_policy_and_logs_nothing(site: Site, context: BrowserContext) -> None:
    page = _signed_in(site, context)
    seen = _watch(page, site.address)

    _tour(page, site.address)

    assert seen.strangers == []
    assert seen.complaints == []


def test_cold_rollout_page_is_light(site: Site, context: BrowserContext) -> None:
    page = _signed_in(site, context)
    cold = context.new_page()
    cdp = context.new_cdp_session(cold)
    cdp.send("Network.enable")
    cdp.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sizes: list[float] = []
    cdp.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))

    cold.goto(f"{site.address}/rollouts/r-118")
    cold.wait_for_selector("fleet-grid canvas")
    cold.wait_for_load_state("load")

    assert 30_000 < sum(sizes) < PAGE_WEIGHT_BYTES
    page.close()


@pytest.mark.parametrize("width", [390, 320])
def test_phone_never_scrolls_sideways_and_charts_stay_readable(site: Site, browser: Browser, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844})
    page = _signed_in(site, context)

    widths = {address: _scroll_width(page, site.address + address) for address in PAGES}
    page.goto(f"{site.address}/rollouts/r-118")
    chart = page.wait_for_selector("live-chart canvas")

    assert {address: wide for address, wide in widths.items() if wide > width} == {}
    assert chart is not None
    assert (chart.bounding_box() or {"width": 0})["width"] >= width - 120
    context.close()


def test_phone_cuts_no_table(site: Site, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = _signed_in(site, context)

    cut = {address: _cut_tables(page, site.address + address) for address in PAGES}

    assert {address: count for address, count in cut.items() if count} == {}
    context.close()


def test_wave_of_a_rollout_in_the_list_stays_on_one_line(site: Site, context: BrowserContext) -> None:
    page = _signed_in(site, context)

    page.goto(f"{site.address}/rollouts?show=all")

    wraps = page.locator("td.whole").evaluate_all("cells => cells.map(cell => getComputedStyle(cell).whiteSpace)")
    assert set(wraps) == {"nowrap"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page(site: Site, browser: Browser, scheme: str) -> None:
    if not AXE.exists():
        pytest.fail("axe-core is missing from web/node_modules; run: npm ci --ignore-scripts --prefix web")
    context = browser.new_context(
        viewport={"width": 1280, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]  # parametrized: a str, not a literal
        bypass_csp=True,
    )
    page = _signed_in(site, context)

    found = {address: _axe(page, site.address + address) for address in (*PAGES, "/rollouts/r-118/abort")}

    assert {address: rules for address, rules in found.items() if rules} == {}
    context.close()


def test_keys_filter_and_jump_but_not_while_typing(site: Site, context: BrowserContext) -> None:
    page = _signed_in(site, context)
    page.wait_for_selector("[data-link=live]")

    page.keyboard.press("g")
    page.keyboard.press("d")
    page.wait_for_url("**/devices")
    page.wait_for_selector("[data-link=live]")
    page.keyboard.press("/")
    page.keyboard.type("pi-0133 gr?")
    page.wait_for_url("**/devices?q=pi-0133+gr%3F")
    typed = page.input_value("#q")
    page.locator("#q").blur()
    page.keyboard.press("?")

    page.wait_for_selector("dialog#keys[open]")
    assert typed == "pi-0133 gr?"


def test_theme_toggle_holds_on_the_next_page(site: Site, context: BrowserContext) -> None:
    page = _signed_in(site, context)
    page.wait_for_selector("[data-link=live]")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")

    with page.expect_response("**/theme"):
        page.click("text=Light or dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.goto(f"{site.address}/devices")

    assert dark != light
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


def test_session_that_ends_leads_to_sign_in_and_back(site: Site, context: BrowserContext) -> None:
    page = _signed_in(site, context)
    page.goto(f"{site.address}/rollouts/r-118")
    page.wait_for_selector("[data-link=live]")

    site.fleet.sessions.clear()
    _finish_wave(site.fleet)

    page.wait_for_url("**/login?next=/rollouts/r-118", timeout=8_000)
    assert page.locator("input[type=password]").is_visible()


def test_pages_can_be_read_and_used_without_a_script(site: Site, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = _signed_in(site, context)

    page.goto(f"{site.address}/rollouts/r-118")
    page.click("text=Pause")
    page.click("button:has-text('Pause')")

    assert "paused" in page.inner_text(".heading")
    assert site.fleet.done == [("ana", "pause", "r-118")]
    context.close()


def _signed_in(site: Site, context: BrowserContext) -> Page:
    page = context.new_page()
    page.goto(f"{site.address}/login")
    page.fill("#name", "ana")
    page.fill("#password", "correct horse")
    page.click("button.primary")
    page.wait_for_url(f"{site.address}/")
    return page


def _finish_wave(fleet: FakeFleet) -> None:
    """Make every device of the first two waves healthy: exactly a tenth of all."""
    rollout = fleet.rollout_views[0]
    parts = tuple(replace(part, state=UpdateState.HEALTHY) if part.wave < 2 else part for part in rollout.devices)
    fleet.put_rollout(recount(replace(rollout, devices=parts)))


def _watch(page: Page, address: str) -> Watched:
    seen = Watched()

    def requested(request: Request) -> None:
        if not request.url.startswith((address, "data:")):
            seen.strangers.append(request.url)

    def said(word: ConsoleMessage) -> None:
        if word.type in ("error", "warning"):
            seen.complaints.append(word.text)

    def failed(error: Error) -> None:
        seen.complaints.append(str(error))

    page.on("request", requested)
    page.on("console", said)
    page.on("pageerror", failed)
    return seen


def _tour(page: Page, address: str) -> None:
    for path in PAGES:
        page.goto(address + path)
        page.wait_for_selector("[data-link=live]")
        page.wait_for_timeout(300)


def _scroll_width(page: Page, address: str) -> int:
    page.goto(address)
    page.wait_for_selector("[data-link=live]")
    page.wait_for_timeout(300)
    return int(page.evaluate("document.documentElement.scrollWidth"))


def _cut_tables(page: Page, address: str) -> int:
    page.goto(address)
    return int(page.locator(".scroll").evaluate_all("boxes => boxes.filter(b => b.scrollWidth > b.clientWidth).length"))


def _axe(page: Page, address: str) -> list[str]:
    page.goto(address)
    page.wait_for_timeout(500)
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run().then(found => found.violations.map(one => one.id + ' ' + one.nodes[0].html))")
    return [str(rule) for rule in found]
