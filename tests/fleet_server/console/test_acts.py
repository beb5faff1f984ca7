import pytest

from contracts.ids import RolloutId
from contracts.update import UpdateState
from fleet_server.console.acting import RolloutAct, acts_for, consequence, touched
from fleet_server.rollouts.states import RolloutState
from tests.fleet_server.console.browsing import FRAGMENT, signed_in
from tests.fleet_server.console.fake_fleet import FakeFleet, TestClock
from tests.fleet_server.console.fixtures import a_busy_fleet, a_part, a_rollout

PARTS = (
    a_part("pi-1", UpdateState.HEALTHY),
    a_part("pi-2", UpdateState.PROBATION),
    a_part("pi-3", UpdateState.FAILED),
    a_part("pi-4", UpdateState.QUEUED, wave=1),
    a_part("pi-5", UpdateState.QUEUED, wave=1),
)


def test_pause_then_resume_reach_the_server_in_the_persons_name(busy_fleet: FakeFleet) -> None:
    browser = signed_in(busy_fleet)

    answers = [browser.post("/rollouts/r-118/pause"), browser.post("/rollouts/r-118/resume")]

    assert [answer.headers["location"] for answer in answers] == ["/rollouts/r-118"] * 2
    assert busy_fleet.done == [("ana", "pause", "r-118"), ("ana", "resume", "r-118")]


def test_second_press_of_a_button_does_nothing_and_says_why(busy_fleet: FakeFleet) -> None:
    browser = signed_in(busy_fleet)
    browser.post("/rollouts/r-118/pause")

    again = browser.post("/rollouts/r-118/pause")

    assert again.status_code == 409
    assert "possible now: resume, abort, rollback" in again.text
    assert len(busy_fleet.done) == 1


def test_question_before_an_act_names_count_and_consequence(empty_fleet: FakeFleet) -> None:
    empty_fleet.rollout_views = [a_rollout(PARTS)]

    text = signed_in(empty_fleet).get("/rollouts/r-118/rollback", headers=FRAGMENT).text

    assert "Roll back 2 devices?" in text
    assert "2 devices that run or are taking digits@1.4.0 go back to the release they had before." in text
    assert "A device that had no release of digits before keeps digits@1.4.0" in text
    assert 'name="typed"' not in text


def test_question_is_a_page_of_its_own_without_a_script(empty_fleet: FakeFleet) -> None:
    empty_fleet.rollout_views = [a_rollout(PARTS)]

    text = signed_in(empty_fleet).get("/rollouts/r-118/abort").text

    assert "<html" in text
    assert '<form method="post" action="/rollouts/r-118/abort">' in text


def test_act_on_more_than_a_hundred_devices_wants_the_rollouts_id_typed() -> None:
    fleet = a_busy_fleet(TestClock(), devices=400)
    browser = signed_in(fleet)

    question = browser.get("/rollouts/r-118/abort").text
    untyped = browser.post("/rollouts/r-118/abort")
    mistyped = browser.post("/rollouts/r-118/abort", data={"typed": "r-117"})
    typed = browser.post("/rollouts/r-118/abort", data={"typed": " r-118 "})

    assert 'name="typed" required' in question
    assert (untyped.status_code, mistyped.status_code, typed.status_code) == (422, 422, 303)
    assert "nothing was done" in untyped.text
    assert fleet.done == [("ana", "abort", "r-118")]


def test_act_that_there_is_not_is_refused(busy_fleet: FakeFleet) -> None:
    assert signed_in(busy_fleet).post("/rollouts/r-118/explode").status_code == 422


def test_acknowledged_alert_leaves_the_queue(busy_fleet: FakeFleet) -> None:
    browser = signed_in(busy_fleet)

    fragment = browser.post("/alerts/a-1/acknowledge", headers=FRAGMENT)
    plain = browser.post("/alerts/a-2/acknowledge", data={"show": "all"})

    assert fragment.status_code == 200
    assert 'id="alert-a-1"' not in fragment.text
    assert 'id="alert-a-2"' in fragment.text
    assert plain.headers["location"] == "/alerts?show=all"
    assert busy_fleet.done == [("ana", "acknowledge", "a-1"), ("ana", "acknowledge", "a-2")]


def test_alert_that_there_is_not_cannot_be_acknowledged(busy_fleet: FakeFleet) -> None:
    assert signed_in(busy_fleet).post("/alerts/a-99/acknowledge").status_code == 404


@pytest.mark.parametrize(
    ("state", "possible"),
    [
        (RolloutState.RUNNING, ("pause", "abort", "rollback")),
        (RolloutState.PAUSED, ("resume", "abort", "rollback")),
        (RolloutState.HALTED, ("abort", "rollback")),
        (RolloutState.COMPLETED, ("rollback",)),
        (RolloutState.ROLLED_BACK, ()),
    ],
)
def test_buttons_are_what_the_state_allows(state: RolloutState, possible: tuple[str, ...]) -> None:
    assert acts_for(a_rollout(state=state)) == possible


@pytest.mark.parametrize(("act", "count"), [("pause", 2), ("resume", 2), ("abort", 3), ("rollback", 2)])
def test_count_of_an_act_is_the_devices_whose_course_it_changes(act: str, count: int) -> None:
    rollout = a_rollout(PARTS, id=RolloutId("r-1"))

    assert touched(rollout, RolloutAct(act)) == count
    assert f"{count} devices" in consequence(rollout, RolloutAct(act))
