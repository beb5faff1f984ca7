import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from fastapi.testclient import TestClient

from fleet_server.console.access import (
    MOST_FAILURES,
    MOST_FROM_ADDRESS,
    MOST_KEYS,
    MOST_OF_NAME,
    Failures,
    local_path,
)
from fleet_server.console.parts import CHECKS_AT_ONCE, Console
from fleet_server.errors import NotSignedIn, TooManyTries
from fleet_server.people.user import User
from tests.fleet_server.console.browsing import FRAGMENT, SAME_ORIGIN, a_stranger, signed_in
from tests.fleet_server.console.fake_fleet import START, FakeFleet, TestClock
from tests.fleet_server.console.preview import app_over

PAGES = ("/", "/devices", "/devices/pi-0001", "/rollouts", "/rollouts/r-118", "/alerts", "/retrain-requests/rt-1")


class SlowPeople:
    """Knows nobody, takes a while to say so, and counts how many it says so to at once."""

    def __init__(self) -> None:
        self._now = 0
        self._lock = threading.Lock()
        self.most_at_once = 0

    def sign_in(self, name: str, password: str) -> str:
        del name, password
        with self._lock:
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        time.sleep(0.02)
        with self._lock:
            self._now -= 1
        raise NotSignedIn("name or password is wrong")

    def user(self, cookie: str) -> User:
        raise NotSignedIn(cookie)

    def sign_out(self, cookie: str) -> None:
        del cookie


def a_console(fleet: FakeFleet) -> Console:
    return Console.over(fleet, fleet, people=fleet, clock=fleet.clock)


def a_browser(console: Console, address: str) -> TestClient:
    app = app_over(FakeFleet(TestClock()), console)
    return TestClient(app, headers=SAME_ORIGIN, follow_redirects=False, client=(address, 50_000))


def recorded(pauses: list[float]) -> Callable[[float], Awaitable[None]]:
    async def pause(pause_s: float) -> None:
        pauses.append(pause_s)

    return pause


@pytest.mark.parametrize("page", PAGES)
def test_page_leads_a_stranger_to_sign_in_and_back(empty_fleet: FakeFleet, page: str) -> None:
    answer = a_stranger(empty_fleet).get(page)

    assert answer.status_code == 303
    assert answer.headers["location"] == f"/login?next={page}"


def test_fragment_leads_a_stranger_to_sign_in_by_header_and_back_to_the_page(empty_fleet: FakeFleet) -> None:
    headers = FRAGMENT | {"HX-Current-URL": "http://testserver/devices?q=lyon"}

    answer = a_stranger(empty_fleet).get("/devices?q=lyon&page=1", headers=headers)

    assert answer.status_code == 401
    assert answer.headers["hx-redirect"] == "/login?next=/devices%3Fq%3Dlyon"
    assert answer.text == ""


def test_stream_refuses_a_stranger(empty_fleet: FakeFleet) -> None:
    assert a_stranger(empty_fleet).get("/live").status_code == 401


def test_sign_in_sets_a_cookie_that_no_script_reads_and_goes_on(empty_fleet: FakeFleet) -> None:
    form = {"name": "ana", "password": "correct horse", "next": "/rollouts/r-118?q=pi"}

    answer = a_stranger(empty_fleet).post("/login", data=form)

    assert answer.status_code == 303
    assert answer.headers["location"] == "/rollouts/r-118?q=pi"
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=lax" in answer.headers["set-cookie"]


def test_wrong_password_is_told_in_place_and_sets_no_cookie(empty_fleet: FakeFleet) -> None:
    answer = a_stranger(empty_fleet).post("/login", data={"name": "ana", "password": "wrong"})

    assert answer.status_code == 401
    assert "name or password is wrong" in answer.text
    assert 'value="ana"' in answer.text
    assert "wrong&#34;" not in answer.text
    assert "set-cookie" not in answer.headers


def test_sixth_wrong_password_in_a_minute_has_to_wait(empty_fleet: FakeFleet) -> None:
    browser = a_stranger(empty_fleet)
    statuses = [browser.post("/login", data={"name": "ana", "password": "wrong"}).status_code for _ in range(5)]

    refused = browser.post("/login", data={"name": "ana", "password": "correct horse"})
    empty_fleet.clock.advance(61)
    later = browser.post("/login", data={"name": "ana", "password": "correct horse"})

    assert statuses == [401] * MOST_FAILURES
    assert refused.status_code == 429
    assert "wait a minute" in refused.text
    assert later.status_code == 303


def test_failures_elsewhere_keep_nobody_out(empty_fleet: FakeFleet) -> None:
    console = a_console(empty_fleet)
    stranger, owner = a_browser(console, "198.51.100.7"), a_browser(console, "192.0.2.1")
    statuses = [stranger.post("/login", data={"name": "ana", "password": "wrong"}).status_code for _ in range(6)]

    answer = owner.post("/login", data={"name": "ana", "password": "correct horse"})

    assert statuses == [401] * MOST_FAILURES + [429]
    assert answer.status_code == 303


def test_a_name_that_failed_everywhere_is_held_back_but_let_in(empty_fleet: FakeFleet) -> None:
    pauses: list[float] = []
    console = replace(a_console(empty_fleet), pause=recorded(pauses))
    for place in range(MOST_OF_NAME + 2):
        console.failures.begin("ana", f"198.51.100.{place}", empty_fleet.clock.now())

    answer = a_browser(console, "192.0.2.1").post("/login", data={"name": "ana", "password": "correct horse"})

    assert answer.status_code == 303
    assert pauses == [1.0]


def test_an_address_that_tries_many_names_has_to_wait() -> None:
    failures = Failures()
    for place in range(MOST_FROM_ADDRESS):
        failures.begin(f"name {place}", "198.51.100.7", START)

    with pytest.raises(TooManyTries) as refused:
        failures.begin("ana", "198.51.100.7", START + timedelta(seconds=20))

    assert refused.value.retry_after_s == 40


def test_a_try_counts_before_its_password_was_looked_at() -> None:
    failures = Failures()
    for _ in range(MOST_FAILURES):
        failures.begin("ana", "192.0.2.1", START)

    with pytest.raises(TooManyTries):
        failures.begin("ana", "192.0.2.1", START)

    failures.take_back("ana", "192.0.2.1", START)
    assert failures.begin("ana", "192.0.2.1", START) == 0.0


def test_parallel_wrong_passwords_pass_no_limit_and_two_are_checked_at_once(empty_fleet: FakeFleet) -> None:
    people = SlowPeople()
    console = replace(a_console(empty_fleet), people=people)

    async def try_often() -> list[int]:
        browser = httpx.AsyncClient(
            transport=httpx.ASGITransport(app_over(empty_fleet, console)),
            base_url="http://testserver",
            headers=SAME_ORIGIN,
        )
        tries = [browser.post("/login", data={"name": "ana", "password": "wrong"}) for _ in range(30)]
        return sorted(answer.status_code for answer in await asyncio.gather(*tries))

    statuses = asyncio.run(try_often())

    assert statuses == [401] * MOST_FAILURES + [429] * (30 - MOST_FAILURES)
    assert people.most_at_once == CHECKS_AT_ONCE


def test_whom_no_place_is_free_for_is_told_when_to_try_again(empty_fleet: FakeFleet) -> None:
    console = replace(a_console(empty_fleet), checks=asyncio.Semaphore(0), check_patience_s=0.01)

    answer = a_browser(console, "192.0.2.1").post("/login", data={"name": "ana", "password": "correct horse"})

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")
    assert console.failures.begin("ana", "192.0.2.1", empty_fleet.clock.now()) == 0.0


def test_failures_forget_the_longest_untouched_key() -> None:
    failures = Failures()
    for _ in range(MOST_FAILURES):
        failures.begin("ana", "192.0.2.1", START)
    for place in range(10_000):
        failures.begin(f"name {place}", f"address {place}", START)

    assert failures.begin("ana", "192.0.2.1", START) == 0.0
    assert len(failures._moments) == MOST_KEYS


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "/\\evil.example", "https://evil.example/", "javascript:alert(1)", "", "/\nx"]
)
def test_sign_in_never_leads_to_another_site(wanted: str) -> None:
    assert local_path(wanted) == "/"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_change_from_another_site_is_refused(busy_fleet: FakeFleet, site: str) -> None:
    browser = signed_in(busy_fleet)

    answer = browser.post("/rollouts/r-118/pause", headers={"Sec-Fetch-Site": site})

    assert answer.status_code == 403
    assert busy_fleet.done == []


def test_change_without_a_word_of_where_from_is_refused(busy_fleet: FakeFleet) -> None:
    browser = signed_in(busy_fleet)
    del browser.headers["Sec-Fetch-Site"]

    silent = browser.post("/rollouts/r-118/pause")
    elsewhere = browser.post("/rollouts/r-118/pause", headers={"Origin": "https://evil.example"})

    assert (silent.status_code, elsewhere.status_code) == (403, 403)
    assert busy_fleet.done == []


def test_change_with_our_own_origin_is_taken_from_an_old_browser(busy_fleet: FakeFleet) -> None:
    browser = signed_in(busy_fleet)
    del browser.headers["Sec-Fetch-Site"]

    answer = browser.post("/rollouts/r-118/pause", headers={"Origin": "http://testserver"})

    assert answer.status_code == 303


def test_sign_in_from_another_site_is_refused(empty_fleet: FakeFleet) -> None:
    form = {"name": "ana", "password": "correct horse"}

    answer = a_stranger(empty_fleet).post("/login", data=form, headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_viewer_sees_no_buttons_and_cannot_act(busy_fleet: FakeFleet) -> None:
    browser = signed_in(busy_fleet, "vera")

    page = browser.get("/rollouts/r-118").text
    queue = browser.get("/alerts").text
    pause = browser.post("/rollouts/r-118/pause")
    acknowledge = browser.post("/alerts/a-1/acknowledge")

    assert "Pause" not in page
    assert "Acknowledge<" not in queue
    assert (pause.status_code, acknowledge.status_code) == (403, 403)
    assert "vera may look, not act" in pause.text
    assert busy_fleet.done == []


def test_sign_out_ends_the_session_on_the_server(busy_fleet: FakeFleet) -> None:
    browser = signed_in(busy_fleet)

    answer = browser.post("/logout")

    assert answer.headers["location"] == "/login"
    assert busy_fleet.sessions == {}


def test_theme_is_written_into_the_next_page_so_that_nothing_flashes(empty_fleet: FakeFleet) -> None:
    browser = signed_in(empty_fleet)

    browser.post("/theme", data={"theme": "dark"})

    assert '<html lang="en" data-theme="dark">' in browser.get("/").text


def test_theme_cookie_that_is_no_theme_is_not_written_into_the_page(empty_fleet: FakeFleet) -> None:
    browser = signed_in(empty_fleet)
    browser.cookies.set("edgeship_theme", "x onload=alert(1)")

    assert "onload" not in browser.get("/").text
