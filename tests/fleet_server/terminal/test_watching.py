"""Following a rollout: a line for each change, and an exit code that a script can use."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime

import pytest

from contracts.ids import RolloutId
from fleet_server.client import FleetClient
from fleet_server.readmodel import RolloutView
from fleet_server.rollouts.states import RolloutState, WaveState
from fleet_server.terminal.screen import Screen
from fleet_server.terminal.watching import watch
from signing.errors import ServerRefused, ServerUnreachable
from tests.fleet_server.fake_api import TOKEN, FakeApi, fake_api
from tests.fleet_server.views import NOW, ROLLOUT, a_rollout

PATH = f"/api/v1/rollouts/{ROLLOUT}"


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api() as api:
        yield api


def clock() -> datetime:
    return NOW


def follow(api: FakeApi, *, terminal: bool = False, pause: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Watch until it is over; return the exit code and what was shown."""
    out = io.StringIO()
    screen = Screen(out=out, is_terminal=terminal, width=100)
    code = watch(FleetClient.at(api.url, TOKEN), ROLLOUT, screen=screen, now=clock, pause=pause)
    return code, out.getvalue()


def a_soaking_rollout(verdict: str) -> RolloutView:
    """Return a rollout whose second wave soaks, with that verdict."""
    view = a_rollout()
    soaking = replace(view.waves[1], state=WaveState.SOAKING, verdict=verdict)
    return replace(view, waves=(view.waves[0], soaking))


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (RolloutState.COMPLETED, 0),
        (RolloutState.ABORTED, 2),
        (RolloutState.HALTED, 3),
        (RolloutState.ROLLED_BACK, 3),
    ],
)
def test_the_exit_code_tells_how_it_ended(state: RolloutState, code: int, api: FakeApi) -> None:
    api.answer_in_turn("GET", PATH, [a_rollout(), a_rollout(RolloutState.PAUSED), a_rollout(state)])

    ended, _ = follow(api)

    assert ended == code
    assert len(api.asked) == 3


def test_a_file_gets_one_line_for_each_change(api: FakeApi) -> None:
    running, done = a_rollout(), a_rollout(RolloutState.COMPLETED)
    api.answer_in_turn("GET", PATH, [running, running, running, done])

    _, shown = follow(api)

    lines = shown.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("12:00:00  ▶ running  wave 2 open  ✓ 3 healthy  ↓ 4 downloading  ○ 3 queued")
    assert lines[1].startswith("12:00:00  ✓ completed")


def test_a_soaking_wave_says_what_it_waits_for_but_not_every_second(api: FakeApi) -> None:
    api.answer_in_turn(
        "GET",
        PATH,
        [
            a_soaking_rollout("soaking, 2 s to go"),
            a_soaking_rollout("soaking, 1 s to go"),
            a_soaking_rollout("soaked; waiting for evidence: 0 rows of 100 from the wave"),
            a_rollout(RolloutState.COMPLETED),
        ],
    )

    _, shown = follow(api)

    assert shown.count("s to go") == 1
    assert "waiting for evidence: 0 rows of 100 from the wave" in shown


def test_a_terminal_is_redrawn_and_keeps_the_last_page(api: FakeApi) -> None:
    api.answer_in_turn("GET", PATH, [a_rollout(), a_rollout(RolloutState.HALTED, reason="wave 2 failed")])

    code, shown = follow(api, terminal=True)

    assert code == 3
    assert "\x1b[" in shown
    assert "wave 2 failed" in shown


def test_a_server_that_restarts_does_not_end_the_watch(api: FakeApi) -> None:
    with fake_api() as late:
        late.answer("GET", PATH, a_rollout(RolloutState.COMPLETED))
        client = _FlakyClient(FleetClient.at(late.url, TOKEN), silences=5)
        out = io.StringIO()

        code = watch(client, ROLLOUT, screen=Screen(out=out, is_terminal=False), now=clock, pause=lambda: None)

    assert code == 0


def test_a_server_that_stays_silent_ends_the_watch() -> None:
    with fake_api() as gone:
        client = FleetClient.at(gone.url, TOKEN)

    with pytest.raises(ServerUnreachable):
        watch(client, ROLLOUT, screen=Screen(out=io.StringIO(), is_terminal=False), now=clock, pause=lambda: None)


def test_an_unknown_rollout_ends_the_watch_at_once(api: FakeApi) -> None:
    with pytest.raises(ServerRefused, match="no answer for GET"):
        follow(api)


class _FlakyClient(FleetClient):
    """Does not answer the first ``silences`` times."""

    def __init__(self, inner: FleetClient, *, silences: int) -> None:
        super().__init__(inner._connection)
        self._silences = silences

    def rollout(self, rollout: RolloutId) -> RolloutView:
        self._silences -= 1
        if self._silences >= 0:
            raise ServerUnreachable("no answer")
        return super().rollout(rollout)
