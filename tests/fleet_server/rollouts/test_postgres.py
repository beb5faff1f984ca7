"""The conductor on PostgreSQL: the same story, and two conductors at once that never offer twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from contracts.update import UpdateState
from fleet_server.database.session import open_database
from fleet_server.rollouts import conductor
from fleet_server.rollouts.spec import GateSpec
from fleet_server.rollouts.states import RolloutState
from tests.fleet_server.small_fleet import BIASED_MIX, UNSURE, V1, V2, fleet_on

pytestmark = [pytest.mark.system, pytest.mark.slow]


def test_a_biased_canary_goes_back_on_postgresql_too(postgres_url: str) -> None:
    fleet = fleet_on(postgres_url)
    fleet.publish(V1)
    fleet.publish(V2)
    fleet.enroll("pi-1", "pi-2", "pi-3", running=V1)
    rollout = fleet.roll_out(V2, gate=GateSpec(soak_s=3.0, min_rows=200))
    (canary,), rest = fleet.wave(rollout, 0), fleet.wave(rollout, 1)
    fleet.report(canary, UpdateState.HEALTHY)
    fleet.tick(after_s=3.0)
    fleet.window(canary, V2, mix=BIASED_MIX, confidence=UNSURE, shifted=True)
    fleet.window(rest[0], V1)

    fleet.tick()
    fleet.report(canary, UpdateState.HEALTHY)
    fleet.tick()

    assert fleet.rollout(rollout).state is RolloutState.ROLLED_BACK
    assert (fleet.offers(rest[0]), fleet.offers(rest[1])) == ((), ())
    assert len(fleet.alerts()) == 2


def test_two_conductors_at_once_offer_each_device_once(postgres_url: str) -> None:
    fleet = fleet_on(postgres_url)
    fleet.publish(V1)
    fleet.enroll(*(f"pi-{number}" for number in range(20)))
    rollout = fleet.roll_out(V1, gate=GateSpec(soak_s=0.0, min_rows=0), waves=("1", "100%"))
    (canary,), rest = fleet.wave(rollout, 0), fleet.wave(rollout, 1)
    fleet.report(canary, UpdateState.HEALTHY)
    engine = open_database(postgres_url)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda clock: conductor.tick(engine, clock), [fleet.clock] * 20))
    engine.dispose()

    assert [len(fleet.offers(device)) for device in rest] == [1] * 19
