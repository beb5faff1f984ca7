"""``edgeship fleet`` and ``edgeship drift`` as an operator types them, against real HTTP."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from contracts.codec import to_plain
from contracts.ids import ModelName, ReleaseId, parse_rollout_id
from fleet_server.cli_fleet import drift, fleet
from fleet_server.readmodel import AlertState
from fleet_server.rollouts.spec import GateSpec
from fleet_server.rollouts.states import RolloutState
from signing.errors import NotLoggedIn, ServerRefused
from signing.session import session_path
from tests.fleet_server.fake_api import TOKEN, FakeApi, fake_api
from tests.fleet_server.views import (
    NOW,
    ROLLOUT,
    a_device,
    a_group,
    a_plan,
    a_retrain_request,
    a_rollout,
    a_sketch,
    a_transfer,
    an_alert,
    an_overview,
    some_devices,
    some_releases,
)


@pytest.fixture
def api(tmp_path: Path) -> Iterator[FakeApi]:
    (tmp_path / "token").write_text(TOKEN)
    with fake_api() as api:
        yield api


@pytest.fixture
def run(api: FakeApi, tmp_path: Path) -> Runner:
    return Runner(api.url, tmp_path)


class Runner:
    """Types ``edgeship fleet ...`` with server and token from the environment."""

    def __init__(self, url: str, home: Path) -> None:
        self._environment = {
            "EDGESHIP_SERVER": url,
            "EDGESHIP_TOKEN_FILE": str(home / "token"),
            "HOME": str(home),
        }

    def __call__(self, *arguments: str, group: click.Group = fleet, **changes: str | None) -> Result:
        environment = {**self._environment, **changes}
        return CliRunner(env=environment).invoke(group, arguments)


READS = (
    (("status",), "/overview", an_overview()),
    (("device", "ls"), "/devices", some_devices()),
    (("device", "show", "pi-01"), "/devices/pi-01", a_device()),
    (("device", "transfers", "pi-01"), "/devices/pi-01/transfers", (a_transfer(),)),
    (("group", "ls"), "/groups", (a_group(),)),
    (("release", "ls"), "/releases", some_releases()),
    (("rollout", "ls"), "/rollouts", (a_rollout(),)),
    (("rollout", "show", ROLLOUT), f"/rollouts/{ROLLOUT}", a_rollout()),
    (("alert", "ls"), "/alerts", (an_alert(),)),
    (("retrain", "ls"), "/retrain-requests", (a_retrain_request(),)),
    (("retrain", "show", "t-55"), "/retrain-requests/t-55", a_retrain_request()),
)


@pytest.mark.parametrize(("words", "path", "value"), READS, ids=["-".join(read[0]) for read in READS])
def test_every_read_prints_json_for_programs_and_text_for_people(
    words: tuple[str, ...], path: str, value: object, api: FakeApi, run: Runner
) -> None:
    api.answer("GET", f"/api/v1{path}", value)

    spoken = run(*words, "--json")
    shown = run(*words)

    assert (spoken.exit_code, shown.exit_code) == (0, 0), shown.output
    assert json.loads(spoken.output) == to_plain(value)
    assert shown.output
    assert "\x1b" not in shown.output


def test_login_tries_the_token_and_keeps_it_for_its_owner(api: FakeApi, run: Runner, tmp_path: Path) -> None:
    api.answer("GET", "/api/v1/overview", an_overview())

    signed_in = run("login")
    later = run("status", EDGESHIP_SERVER=None, EDGESHIP_TOKEN_FILE=None)

    assert (signed_in.exit_code, later.exit_code) == (0, 0)
    assert "✓ signed in" in signed_in.output
    assert TOKEN not in signed_in.output
    assert session_path(tmp_path).stat().st_mode & 0o777 == 0o600


def test_login_with_a_wrong_token_keeps_nothing(api: FakeApi, run: Runner, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("wrong")

    signed_in = run("login")

    assert isinstance(signed_in.exception, ServerRefused)
    assert not session_path(tmp_path).exists()


def test_without_a_session_the_next_step_is_named(run: Runner) -> None:
    asked = run("status", EDGESHIP_SERVER=None, EDGESHIP_TOKEN_FILE=None)

    assert isinstance(asked.exception, NotLoggedIn)
    assert "edgeship fleet login" in str(asked.exception)


def test_device_ls_filters_as_the_console_does(api: FakeApi, run: Runner) -> None:
    api.answer("GET", "/api/v1/devices", some_devices())

    listed = run("device", "ls", "status:offline")

    assert "coral-01" in listed.output
    assert "pi-01" not in listed.output


def test_a_bare_word_that_finds_nothing_is_hinted_with_its_key(api: FakeApi, run: Runner) -> None:
    api.answer("GET", "/api/v1/devices", [a_device()])

    listed = run("device", "ls", "offline")

    assert listed.exit_code == 0
    assert "did you mean status:offline?" in listed.stderr


@pytest.mark.parametrize(("running", "notes"), [({}, 1), ({"digits": "digits@1.0.0"}, 0)])
def test_a_first_install_is_told_that_there_is_nothing_to_compare(
    running: dict[ModelName, ReleaseId], notes: int, api: FakeApi, run: Runner
) -> None:
    api.answer("GET", "/api/v1/devices", [a_device(running=running)])
    api.answer("POST", "/api/v1/rollouts", a_rollout())

    created = run("rollout", "create", "digits@1.1.0", "--to", "lyon")

    assert created.exit_code == 0, created.output
    assert created.stderr.count("first install: no device of lyon runs") == notes
    assert created.stderr.count("add --min-rows 0 to skip the comparison") == notes


def test_rollout_show_without_an_id_shows_the_newest(api: FakeApi, run: Runner) -> None:
    older = dataclasses.replace(a_rollout(), id=parse_rollout_id("r-older"), created_at=NOW - timedelta(days=1))
    api.answer("GET", "/api/v1/rollouts", [older, a_rollout()])
    api.answer("GET", f"/api/v1/rollouts/{ROLLOUT}", a_rollout())

    shown = run("rollout", "show")

    assert shown.exit_code == 0, shown.output
    assert ROLLOUT in shown.output


def test_a_rollout_is_created_from_words(api: FakeApi, run: Runner) -> None:
    api.answer("POST", "/api/v1/rollouts", a_rollout())

    created = run(
        "rollout", "create", "digits@1.1.0", "--to", "lyon", "--waves", "1, 25%,100%", "--max-fail", "5%",
        "--min-devices", "20", "--soak", "90", "--min-rows", "0", "--max-bytes-s", "50000", "--halt-on-failure",
    )  # fmt: skip

    sent = json.loads(api.asked[0].body)
    assert created.exit_code == 0, created.output
    assert (sent["release"], sent["group"], sent["waves"]) == ("digits@1.1.0", "lyon", ["1", "25%", "100%"])
    assert sent["gate"]["max_failed_ratio"] == 0.05
    assert (sent["gate"]["min_devices"], sent["gate"]["soak_s"], sent["gate"]["min_rows"]) == (20, 90.0, 0)
    assert sent["gate"]["patience_s"] == 900.0
    assert (sent["max_bytes_s"], sent["roll_back_on_failure"]) == (50000, False)
    assert f"edgeship fleet rollout watch {ROLLOUT}" in created.output


def test_the_help_says_how_long_a_gate_waits_by_itself(run: Runner) -> None:
    shown = run("rollout", "create", "--help")

    words = " ".join(shown.output.split())
    assert f"after that; else {GateSpec().patience_s:g}." in words
    assert f"before judgement; else {GateSpec().soak_s:g}." in words
    assert f"on each side (0: none); else {GateSpec().min_rows}." in words
    assert f"class mix may depart; else {GateSpec().max_class_distance:.0%}." in words
    assert f"confidence may depart; else {GateSpec().max_confidence_shift:.0%}." in words


@pytest.mark.parametrize("share", ["120%", "-1%", "many", "1.5"])
def test_a_share_that_is_none_is_wrong_usage(share: str, api: FakeApi, run: Runner) -> None:
    created = run("rollout", "create", "digits@1.1.0", "--to", "lyon", "--max-fail", share)

    assert created.exit_code == 2
    assert "write it as 5% or 0.05" in created.output
    assert api.asked == []


@pytest.mark.parametrize("action", ["pause", "resume", "abort"])
def test_steering_says_how_it_stands_now(action: str, api: FakeApi, run: Runner) -> None:
    api.answer("POST", f"/api/v1/rollouts/{ROLLOUT}/{action}", a_rollout(RolloutState.PAUSED))

    steered = run("rollout", action, ROLLOUT)

    assert steered.exit_code == 0
    assert "‖ paused" in steered.output


def test_a_rollback_without_a_terminal_needs_yes(api: FakeApi, run: Runner) -> None:
    api.answer("GET", f"/api/v1/rollouts/{ROLLOUT}", a_rollout())
    api.answer("POST", f"/api/v1/rollouts/{ROLLOUT}/rollback", a_rollout(RolloutState.ROLLING_BACK))

    silent = run("rollout", "rollback", ROLLOUT)
    sure = run("rollout", "rollback", ROLLOUT, "--yes")

    assert (silent.exit_code, sure.exit_code) == (2, 0)
    assert "add --yes" in silent.output
    assert [path for path in api.paths() if path.startswith("POST")] == [f"POST /api/v1/rollouts/{ROLLOUT}/rollback"]


def test_watch_hands_the_exit_code_on(api: FakeApi, run: Runner) -> None:
    api.answer("GET", f"/api/v1/rollouts/{ROLLOUT}", a_rollout(RolloutState.HALTED, reason="wave 2 failed"))

    watched = run("rollout", "watch", ROLLOUT)

    assert watched.exit_code == 3
    assert "wave 2 failed" in watched.output


def test_tokens_groups_and_acknowledgements(api: FakeApi, run: Runner) -> None:
    api.answer("POST", "/api/v1/enrollment-tokens", {"token": "join-me"})
    api.answer("POST", "/api/v1/groups", a_group())
    api.answer(
        "POST", "/api/v1/alerts/a-101/acknowledge", an_alert(state=AlertState.ACKNOWLEDGED, acknowledged_by="ana")
    )

    token = run("device", "token", "create", "--group", "lyon", "--uses", "6", "--hours", "0.5")
    group = run("group", "create", "lyon")
    acknowledged = run("alert", "ack", "a-101")

    assert token.output == "join-me\n"
    assert json.loads(api.asked[0].body) == {"group": "lyon", "uses": 6, "ttl_s": 1800}
    assert "✓ group lyon exists" in group.output
    assert "a-101 is acknowledged, by ana" in acknowledged.output


def test_alert_ls_leaves_out_what_somebody_looks_after(api: FakeApi, run: Runner) -> None:
    api.answer("GET", "/api/v1/alerts", [an_alert(state=AlertState.ACKNOWLEDGED)])

    listed, everything = run("alert", "ls"), run("alert", "ls", "--all")

    assert listed.output == "No alert is open.\n"
    assert "a-101" in everything.output


def test_drift_ls_names_the_inputs_that_moved(api: FakeApi, run: Runner) -> None:
    api.answer("GET", "/api/v1/alerts", [an_alert()])

    listed = run("ls", group=drift)

    assert "image.mean PSI 1.31 (0.313 → 0.522); image.region.5 PSI 0.42" in listed.output


def test_drift_show_draws_then_and_now(api: FakeApi, run: Runner) -> None:
    api.answer("GET", "/api/v1/devices/pi-02", a_device("pi-02"))
    api.answer("GET", "/api/v1/sketches?device=pi-02", [a_sketch(a_plan())])
    api.answer("GET", "/api/v1/releases/digits@1.0.0/sketch-plans/raspberry-pi-4", a_plan())

    shown, spoken = run("show", "pi-02", group=drift), run("show", "pi-02", "--json", group=drift)

    assert "≈ moved   image.mean" in shown.output
    assert json.loads(spoken.output)["features"][0]["moved"] is True


def test_drift_show_of_a_device_without_sketches_says_so(api: FakeApi, run: Runner) -> None:
    api.answer("GET", "/api/v1/devices/pi-02", a_device("pi-02"))
    api.answer("GET", "/api/v1/sketches?device=pi-02", [])

    shown = run("show", "pi-02", group=drift)

    assert shown.exit_code == 0
    assert "has sent no sketch yet" in shown.output


def test_a_device_id_that_is_none_never_reaches_the_server(api: FakeApi, run: Runner) -> None:
    shown = run("device", "show", "../groups")

    assert shown.exit_code == 1
    assert api.asked == []
