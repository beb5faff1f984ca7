import gzip
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.ids import DeviceId, ModelName, ReleaseId
from contracts.retrain import MovedFeature
from contracts.update import UpdateState
from fleet_server.console.rendering import StaticFiles
from fleet_server.readmodel import AlertState, ReleaseView, SignedRoleView, TrustView
from fleet_server.rollouts.states import RolloutState
from tests.fleet_server.console.browsing import FRAGMENT, signed_in
from tests.fleet_server.console.fake_fleet import FakeFleet
from tests.fleet_server.console.fixtures import a_device, a_part, a_rollout, an_alert

MARKUP = "<img src=x onerror=alert(1)>{{7*7}}"
EVERY_PAGE = ("/", "/devices", "/devices/pi-0007", "/rollouts", "/rollouts/r-118", "/rollouts/r-118/rollback", "/alerts",
              "/retrain-requests/rt-1", "/trust", "/login", "/devices/nobody")  # fmt: skip


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_page_has_a_strict_policy_and_nothing_inline(busy_fleet: FakeFleet, page: str) -> None:
    answer = signed_in(busy_fleet).get(page)

    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'; script-src 'self'; style-src 'self'" in policy
    assert "frame-ancestors 'none'; base-uri 'none'; form-action 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(
        r"<style|\sstyle=|\son[a-z]+=|javascript:|hx-on|<script(?! type=\"module\" src=\"/static)", answer.text
    )


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_page_asks_nothing_of_another_origin(busy_fleet: FakeFleet, page: str) -> None:
    text = signed_in(busy_fleet).get(page).text

    assert re.findall(r'(?:src|href|action|hx-get|hx-post)="(?!/|#|\?|data:image/svg)[^"]*"', text) == []


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_page_has_one_heading_a_language_and_a_title(busy_fleet: FakeFleet, page: str) -> None:
    text = signed_in(busy_fleet).get(page).text

    assert '<html lang="en"' in text
    assert re.search(r"<title>[^<]+ · edgeship</title>", text)
    assert len(re.findall(r"<h1[ >]", text)) == 1 or "/rollback" in page


def test_overview_shows_four_numbers_each_a_link_to_what_is_behind_it(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/").text

    view = busy_fleet.overview()
    assert _number(text, "/devices?q=status:online") == view.online
    assert _number(text, "/devices?q=health:needs-look") == view.failing > 0
    assert _number(text, "/rollouts?show=active") == 1
    assert _number(text, "/alerts") == 2


def test_failing_devices_behind_the_number_are_as_many_as_it_says(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/devices?q=health:needs-look").text

    assert len(re.findall(r'<tr id="device-', text)) == busy_fleet.overview().failing


def test_overview_names_each_version_with_its_devices(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/").text

    versions = {release: int(count) for count, release in re.findall(r"<b>(\d+)</b> (digits@[\d.]+)</li>", text)}
    assert versions == dict(busy_fleet.overview().versions)


def test_filter_in_the_address_keeps_only_matching_devices(empty_fleet: FakeFleet) -> None:
    empty_fleet.device_views = [a_device("pi-1"), a_device("pi-2", group="porto"), a_device("cam-1", group="porto")]

    text = signed_in(empty_fleet).get("/devices?q=porto -cam").text

    assert re.findall(r'id="device-([\w-]+)"', text) == ["pi-2"]
    assert 'value="porto -cam"' in text
    assert "1 to 1 of 1 matching, 3 in all" in text


def test_filter_with_an_unknown_key_says_which_there_are(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/devices?q=colour:blue").text

    assert (
        "the filter has no key &#39;colour&#39;; use one of group, health, id, profile, running, status, update" in text
    )


def test_long_list_is_shown_a_page_at_a_time_and_keeps_its_filter(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/devices?q=pi&page=2").text

    assert "51 to 100 of 200" in text
    assert 'href="/devices?q=pi&amp;page=1"' in text
    assert 'href="/devices?q=pi&amp;page=3"' in text


def test_htmx_is_given_only_the_part_that_it_swaps(busy_fleet: FakeFleet) -> None:
    answer = signed_in(busy_fleet).get("/devices?q=pi-0001", headers=FRAGMENT)

    assert "<html" not in answer.text
    assert 'id="device-pi-0001"' in answer.text
    assert "HX-Request" in answer.headers["vary"]


def test_going_back_in_history_is_given_the_whole_page(busy_fleet: FakeFleet) -> None:
    headers = FRAGMENT | {"HX-History-Restore-Request": "true"}

    assert "<html" in signed_in(busy_fleet).get("/devices", headers=headers).text


def test_what_devices_and_people_say_is_shown_as_text_everywhere(empty_fleet: FakeFleet) -> None:
    part = a_part("pi-0001", UpdateState.FAILED, code=MARKUP, detail=MARKUP, profile=MARKUP)
    empty_fleet.device_views = [
        a_device("pi-0001", agent_version=MARKUP, update_code=MARKUP, update_detail=MARKUP, running={"digits": MARKUP})
    ]
    empty_fleet.rollout_views = [a_rollout((part,), reason=MARKUP, created_by=MARKUP)]
    empty_fleet.alert_views = [
        an_alert(
            title=MARKUP, detail=MARKUP, device=DeviceId("pi-0001"), moved=(_moved(MARKUP),), acknowledged_by=MARKUP
        )
    ]
    browser = signed_in(empty_fleet)

    texts = [
        browser.get(page).text
        for page in ("/", "/devices", "/devices/pi-0001", "/rollouts", "/rollouts/r-118", "/alerts")
    ]

    assert [text for text in texts if "<img" in text or "49" in re.sub(r"\?v=\w+", "", text)] == []
    assert all("&lt;img src=x onerror=alert(1)&gt;{{7*7}}" in text for text in texts)


def test_filter_that_is_markup_comes_back_as_text(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/devices", params={"q": f'">{MARKUP}'}).text

    assert "<img" not in text
    assert 'value="&#34;&gt;&lt;img' in text


@pytest.mark.parametrize(
    ("page", "why", "command"),
    [
        ("/", "No device has enrolled yet", "edgeship fleet device token create"),
        ("/", "Nothing is being rolled out", "edgeship fleet rollout create"),
        ("/", "Nothing needs a look", "edgeship fleet alert ls"),
        ("/devices", "No device has enrolled yet", "edgeship fleet device token create"),
        ("/rollouts", "Nothing has been rolled out yet", "edgeship fleet rollout create"),
        ("/rollouts?show=active", "No rollout is active now", "edgeship fleet rollout ls"),
        ("/alerts", "Nothing is open", "edgeship fleet alert ls"),
    ],
)
def test_empty_state_says_why_and_what_to_do(empty_fleet: FakeFleet, page: str, why: str, command: str) -> None:
    text = signed_in(empty_fleet).get(page).text

    assert why in text
    assert command in text


def test_no_match_is_told_apart_from_no_device(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/devices?q=nothing-like-it").text

    assert "None of the 200 devices matches this filter" in text
    assert "No device has enrolled" not in text


def test_device_page_shows_newest_update_with_code_and_reason(empty_fleet: FakeFleet) -> None:
    reason = "p95 of 48 ms is over the budget"
    device = a_device(update_state=UpdateState.ROLLED_BACK, update_code="probation_slow", update_detail=reason)
    empty_fleet.device_views = [device]

    text = signed_in(empty_fleet).get("/devices/pi-0001").text

    assert "rolled back" in text
    assert 'title="code probation_slow">probation slow<' in text
    assert reason in text


def test_device_page_draws_each_feature_with_a_table_of_the_same_numbers(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/devices/pi-0007").text

    assert text.count("<dist-overlay") == 5
    assert text.index("image.mean") < text.index("image.region-1-2")
    assert text.count("Show as table") == 5


def test_device_that_there_is_not_is_a_page_of_its_own(busy_fleet: FakeFleet) -> None:
    answer = signed_in(busy_fleet).get("/devices/pi-9999")

    assert answer.status_code == 404
    assert "there is no device &#39;pi-9999&#39;" in answer.text


def test_device_name_that_cannot_be_one_is_refused_in_words(busy_fleet: FakeFleet) -> None:
    answer = signed_in(busy_fleet).get("/devices/PI%20<b>")

    assert answer.status_code == 422
    assert "&lt;b&gt;" in answer.text


def test_rollout_page_shows_progress_gate_waves_causes_and_reasons(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/rollouts/r-118").text

    assert "Failed, limit 5 %" in text
    assert text.count('id="wave-') == 4
    assert re.search(r'cells="h{2}[a-z]+q{180}"', text)
    assert 'waves="2,18,60,120"' in text
    assert "2 devices of the group are incompatible" in text


def test_failures_are_grouped_by_cause(empty_fleet: FakeFleet) -> None:
    slow = {"code": "probation_slow", "detail": "p95 of 48 ms is over the budget"}
    parts = (
        a_part("pi-1", UpdateState.ROLLED_BACK, **slow),
        a_part("pi-2", UpdateState.ROLLED_BACK, **slow),
        a_part("pi-3", UpdateState.FAILED, code="disk_full"),
        a_part("pi-4", UpdateState.HEALTHY),
    )
    empty_fleet.rollout_views = [a_rollout(parts)]

    text = signed_in(empty_fleet).get("/rollouts/r-118").text

    causes = re.findall(r'<li><b class="num">(\d+)</b>.*?title="code (\w+)"', text, re.DOTALL)
    assert causes == [("2", "probation_slow"), ("1", "disk_full")]


def test_rollout_devices_are_filtered_by_wave_and_state(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/rollouts/r-118/devices?q=wave:1 status:healthy").text

    assert len(re.findall(r'id="part-', text)) == 2
    assert "<html" not in text


def test_names_come_in_the_order_of_the_grid(empty_fleet: FakeFleet) -> None:
    empty_fleet.rollout_views = [a_rollout((a_part("b", wave=1), a_part("c", wave=0), a_part("a", wave=1)))]

    assert signed_in(empty_fleet).get("/rollouts/r-118/names").json() == ["c", "a", "b"]


def test_drift_alert_names_the_inputs_that_moved_and_leads_to_the_retrain_request(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/alerts").text

    row = re.search(r'<th scope="row">image.mean</th>(.*?)</tr>', text, re.DOTALL)
    assert row is not None
    assert re.findall(r">([\d.]+)[ <]", row[1]) == ["0.83", "4.88"]
    assert "4.88 → 7.31" in row[1]
    assert 'href="/retrain-requests/rt-1"' in text


def test_retrain_request_shows_its_evidence(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/retrain-requests/rt-1").text

    assert "5,412" in text
    assert 'href="/devices/pi-0031"' in text
    assert "2026-11-20 09:00:00 UTC to 2026-11-20 11:45:00 UTC" in text


def test_alert_tabs_keep_to_their_state(busy_fleet: FakeFleet) -> None:
    browser = signed_in(busy_fleet)

    shown = {
        show: re.findall(r'id="alert-([\w-]+)"', browser.get(f"/alerts?show={show}").text)
        for show in (*AlertState, "all")
    }

    assert shown == {"open": ["a-1", "a-2"], "acknowledged": ["a-3"], "cleared": [], "all": ["a-1", "a-2", "a-3"]}


def test_page_without_a_bundle_says_so_and_still_works(busy_fleet: FakeFleet, tmp_path: Path) -> None:
    browser = signed_in(busy_fleet, static=StaticFiles(tmp_path / "nothing"))

    text = browser.get("/devices").text

    assert "its browser files were not built" in text
    assert "make web" in text
    assert "/static/" not in text
    assert 'id="device-pi-0001"' in text
    assert browser.get("/static/app.js").status_code == 404


def test_static_file_comes_compressed_and_may_be_kept_for_ever(busy_fleet: FakeFleet, tmp_path: Path) -> None:
    (tmp_path / "app.js").write_bytes(b"let one = 1;")
    (tmp_path / "app.js.gz").write_bytes(gzip.compress(b"let one = 1;"))
    browser = signed_in(busy_fleet, static=StaticFiles(tmp_path))

    answer = browser.get("/static/app.js")

    assert answer.headers["content-encoding"] == "gzip"
    assert "immutable" in answer.headers["cache-control"]
    assert answer.text == "let one = 1;"


def test_static_path_cannot_leave_its_folder(busy_fleet: FakeFleet, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "static").mkdir()
    browser = signed_in(busy_fleet, static=StaticFiles(tmp_path / "static"))

    statuses = [browser.get(path).status_code for path in ("/static/..%2Fsecret.txt", "/static/%2e%2e/secret.txt")]

    assert statuses == [404, 404]


def test_rollout_that_is_over_offers_no_pause(busy_fleet: FakeFleet) -> None:
    over = replace(busy_fleet.rollout_views[0], state=RolloutState.COMPLETED)
    busy_fleet.put_rollout(over)

    text = signed_in(busy_fleet).get("/rollouts/r-118").text

    assert "Roll back…" in text
    assert "Pause" not in text


def test_ended_rollout_says_how_it_ended_and_promises_nothing_more(busy_fleet: FakeFleet) -> None:
    running = busy_fleet.rollout_views[0]
    busy_fleet.put_rollout(replace(running, state=RolloutState.ROLLED_BACK, finished_at=running.created_at))

    text = signed_in(busy_fleet).get("/rollouts/r-118").text

    assert '<p class="hero said">rolled back</p>' in text
    assert "This wave, at that speed" not in text
    assert "/min" not in text
    assert text.count("never opened") == 2
    assert "stopped while open" in text


def test_running_rollout_shows_its_speed_and_the_waves_to_come(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/rollouts/r-118").text

    assert "This wave, at that speed" in text
    assert "never opened" not in text


@pytest.mark.parametrize(
    ("roll_back_on_failure", "words"),
    [(True, "A wave that fails is rolled back by itself."), (False, "A wave that fails waits for a person.")],
)
def test_gate_says_what_happens_to_a_wave_that_fails(
    empty_fleet: FakeFleet, *, roll_back_on_failure: bool, words: str
) -> None:
    rollout = a_rollout((a_part("pi-1"),))
    spec = replace(rollout.spec, roll_back_on_failure=roll_back_on_failure)
    empty_fleet.rollout_views = [replace(rollout, spec=spec)]

    assert words in signed_in(empty_fleet).get("/rollouts/r-118").text


def test_code_is_words_on_the_page_and_itself_in_the_title(empty_fleet: FakeFleet) -> None:
    empty_fleet.rollout_views = [a_rollout((a_part("pi-1", UpdateState.OFFERED, code="taken_back", detail="why"),))]

    text = signed_in(empty_fleet).get("/rollouts/r-118").text

    assert '<span class="code" title="code taken_back">taken back</span> · why' in text
    assert ">taken_back" not in text


def test_filter_that_would_find_nothing_is_no_link(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/alerts").text

    assert 'href="/alerts?show=cleared"' not in text
    assert 'href="/alerts?show=acknowledged"' in text
    assert re.search(r'<span class="chip">Cleared <b>0</b></span>', text)


@pytest.mark.parametrize("show", ["acknowledged", "cleared"])
def test_empty_list_of_alerts_names_the_state_that_none_has(empty_fleet: FakeFleet, show: str) -> None:
    assert f"No alert is {show}." in signed_in(empty_fleet).get(f"/alerts?show={show}").text


def test_device_page_says_what_the_words_for_its_inputs_mean(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/devices/pi-0007").text

    assert text.count("PSI under 0.10 steady, 0.10 to 0.25 watch, above moved") == 1
    assert 'row 2, column 3 of a 4 x 4 grid, counted from the top left">image.region-1-2</span>' in text


def test_transfer_names_its_release_beside_the_digest(busy_fleet: FakeFleet) -> None:
    text = signed_in(busy_fleet).get("/devices/pi-0001").text

    assert re.search(r'<b>digits@1\.4\.0</b> <code class="faint" title="\w{64}">', text)


def _number(text: str, href: str) -> int:
    found = re.search(rf'href="{re.escape(href)}"[^>]*><span class="hero">([\d,]+)</span>', text)
    assert found is not None, href
    return int(found[1].replace(",", ""))


def _moved(name: str) -> MovedFeature:
    return MovedFeature(name=name, psi=0.5, reference_mean=1.0, current_mean=2.0)


def test_trust_says_what_expires_soon_and_what_is_never_offered(empty_fleet: FakeFleet) -> None:
    role = SignedRoleView(
        name="team vision",
        version=4,
        expires_at=empty_fleet.clock.now() + timedelta(days=6),
        renewed_by="edgeship release sign --renew",
    )
    empty_fleet.trust_view = TrustView(
        roles=(role,), floors={ModelName("digits"): 3}, server_keys={"director": "ab" * 32}
    )
    empty_fleet.release_views = [
        ReleaseView(
            id=ReleaseId("digits@1.0.0"),
            counter=1,
            published_at=empty_fleet.clock.now(),
            artifacts=(),
            running_on=2,
            barred="its counter 1 is below 3",
        )
    ]

    text = re.sub(r"<[^>]+>", "", signed_in(empty_fleet).get("/trust").text)

    assert "in 6 days" in text
    assert "now: edgeship release sign --renew" in text
    assert "never offered: its counter 1 is below 3" in text
    assert "digits: nothing below counter 3 is installed" in text
    assert "director: " + "ab" * 8 in text


def test_trust_names_the_first_step(empty_fleet: FakeFleet) -> None:
    text = signed_in(empty_fleet).get("/trust").text

    assert "edgeship server trust --data DIR ROOT_JSON DIRECTOR_ROOT_JSON" in text
