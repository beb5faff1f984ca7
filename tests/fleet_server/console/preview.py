"""Look at the console without a server: ``python -m tests.fleet_server.console.preview PORT``; sign in as ana.

A made-up fleet moves a little each second.
"""

from __future__ import annotations

import random
import sys
import threading
from dataclasses import replace
from datetime import timedelta

import uvicorn
from fastapi import FastAPI

from contracts.update import UpdateState
from fleet_server.console.pages import router
from fleet_server.console.parts import Console
from fleet_server.readmodel import RolloutView
from tests.fleet_server.console.fake_fleet import FakeFleet, TestClock
from tests.fleet_server.console.fixtures import a_busy_fleet

NEXT = {
    UpdateState.QUEUED: UpdateState.DOWNLOADING,
    UpdateState.DOWNLOADING: UpdateState.VERIFYING,
    UpdateState.VERIFYING: UpdateState.INSTALLING,
    UpdateState.INSTALLING: UpdateState.PROBATION,
    UpdateState.PROBATION: UpdateState.HEALTHY,
}


def app_over(fleet: FakeFleet, console: Console | None = None) -> FastAPI:
    """Return an app that has nothing but the console over the fleet."""
    app = FastAPI()
    app.state.console = console or Console.over(fleet, fleet, people=fleet, clock=fleet.clock)
    app.include_router(router)
    return app


def move(fleet: FakeFleet, chance: random.Random, *, steps: int = 12) -> None:
    """Take some devices of the running rollout one state further."""
    rollout = fleet.rollout_views[0]
    parts = list(rollout.devices)
    waiting = [place for place, part in enumerate(parts) if part.wave < 3 and part.state in NEXT]
    for place in chance.sample(waiting, min(steps, len(waiting))):
        parts[place] = replace(parts[place], state=NEXT[parts[place].state], updated_at=fleet.clock.now())
    fleet.put_rollout(recount(replace(rollout, devices=tuple(parts))))


def recount(rollout: RolloutView) -> RolloutView:
    """Return the rollout with its waves' counts taken from its devices."""
    waves = []
    for wave in rollout.waves:
        states = [part.state for part in rollout.devices if part.wave == wave.index]
        waves.append(replace(wave, counts={state: states.count(state) for state in UpdateState if state in states}))
    return replace(rollout, waves=tuple(waves))


def main() -> None:
    clock = TestClock()
    fleet = a_busy_fleet(clock)
    still, stop, chance = "--still" in sys.argv, threading.Event(), random.Random(1)

    def live() -> None:
        while not stop.wait(1.0):
            clock.at += timedelta(seconds=1)
            move(fleet, chance)

    if not still:
        threading.Thread(target=live, daemon=True).start()
    uvicorn.run(
        app_over(fleet), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", timeout_graceful_shutdown=1
    )


if __name__ == "__main__":
    main()
