"""The figures of the fleet: what is under way is told however much else there was."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from contracts.codec import to_plain
from contracts.ids import DEFAULT_TENANT, RolloutId
from fleet_server.database.session import reading, transaction
from fleet_server.database.tables import RolloutRow
from fleet_server.overview import overview
from fleet_server.rollouts.spec import GateSpec, RolloutSpec
from fleet_server.rollouts.states import RolloutState
from fleet_server.rollouts.store import LIST_LIMIT
from tests.fleet_server.small_fleet import GROUP, V1, V2, Fleet, fleet_at


def add_ended(fleet: Fleet, count: int) -> None:
    """Add so many rollouts that were begun later and have ended."""
    began_at = fleet.clock.now() + timedelta(seconds=1)
    spec = to_plain(RolloutSpec(release=V1, group=GROUP))
    assert isinstance(spec, dict)
    with transaction(fleet.engine) as session:
        session.add_all(
            RolloutRow(
                tenant=DEFAULT_TENANT,
                id=RolloutId(f"r-{number}"),
                spec=spec,
                release=V1,
                group_name=GROUP,
                state=RolloutState.COMPLETED,
                created_by="ada",
                created_at=began_at,
                next_tick_at=began_at,
            )
            for number in range(count)
        )


def test_a_rollout_under_way_is_not_hidden_by_newer_ones_that_ended(tmp_path: Path) -> None:
    fleet = fleet_at(tmp_path)
    fleet.publish(V1)
    fleet.publish(V2)
    fleet.enroll("pi-1", running=V1)
    rollout = fleet.roll_out(V2, gate=GateSpec(min_rows=0))
    add_ended(fleet, LIST_LIMIT)

    with reading(fleet.engine) as session:
        view = overview(session, DEFAULT_TENANT, fleet.clock.now())

    assert [active.id for active in view.active_rollouts] == [rollout]
