from datetime import timedelta

import pytest

from fleet_server.console.access import MOST_FAILURES, Failures, local_path
from fleet_server.errors import TooManyTries
from tests.fleet_server.console.browsing import FRAGMENT, a_stranger, signed_in
from tests.fleet_server.console.fake_fleet import START, FakeFleet

PAGES = ("/", "/devices", "/devices/pi-0001", "/rollouts", "/rollouts/r-118", "/alerts", "/retrain-requests/rt-1")


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


def test_failures_forget_the_longest_untouched_key() -> None:
    failures = Failures()
    for place in range(10_001):
        failures.note(f"name {place}", START)
    for _ in range(MOST_FAILURES):
        failures.note("name 10000", START)

    failures.check("name 0", START)

    with pytest.raises(TooManyTries):
        failures.check("name 10000", START + timedelta(seconds=1))


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
