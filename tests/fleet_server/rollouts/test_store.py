"""Asking for a rollout: what is written down, and what is refused with the next action."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from contracts.ids import DEFAULT_TENANT, DeviceId, GroupName, ProfileName, ReleaseId
from contracts.update import UpdateState
from fleet_server.database.session import reading, transaction
from fleet_server.database.tables import AuditRow
from fleet_server.devices.store import get_device
from fleet_server.errors import NotFound
from fleet_server.identity.store import revoke_device
from fleet_server.readmodel import RolloutView
from fleet_server.rollouts import store
from fleet_server.rollouts.errors import RolloutInTheWay, SpecRefused, TransitionRefused
from fleet_server.rollouts.spec import GateSpec, RolloutSpec
from fleet_server.rollouts.states import RolloutEvent, RolloutState
from tests.fleet_server.small_fleet import GROUP, V1, V2, Fleet, fleet_at

NO_TRAFFIC = GateSpec(soak_s=0.0, min_rows=0)
SPEC = RolloutSpec(release=V1, group=GROUP)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Return three devices that run nothing yet, one of a profile that nothing is made for."""
    fleet = fleet_at(tmp_path)
    fleet.publish(V1)
    fleet.publish(V2)
    fleet.enroll("pi-1", "pi-2")
    fleet.enroll("mcu-1", profile=ProfileName("stm32h743"))
    return fleet


def create(fleet: Fleet, spec: RolloutSpec) -> RolloutView:
    """Ask for the rollout."""
    with transaction(fleet.engine) as session:
        return store.create_rollout(session, DEFAULT_TENANT, spec, created_by="ada", now=fleet.clock.now())


def test_a_new_rollout_has_its_waves_and_lists_who_cannot_take_part(fleet: Fleet) -> None:
    view = create(fleet, SPEC)

    assert (view.state, view.spec, view.created_by) == (RolloutState.RUNNING, SPEC, "ada")
    assert [wave.size for wave in view.waves] == [1, 1]
    assert {part.state for part in view.devices} == {UpdateState.QUEUED}
    assert view.incompatible == ("mcu-1",)


def test_a_revoked_device_takes_no_part(fleet: Fleet) -> None:
    with transaction(fleet.engine) as session:
        revoke_device(session, DEFAULT_TENANT, DeviceId("pi-2"), fleet.clock.now())

    view = create(fleet, SPEC)

    assert [part.device for part in view.devices] == ["pi-1"]


def test_who_asked_for_it_is_in_the_audit(fleet: Fleet) -> None:
    view = create(fleet, SPEC)

    with reading(fleet.engine) as session:
        entries = session.execute(select(AuditRow.actor, AuditRow.action, AuditRow.object, AuditRow.detail)).all()
    assert [tuple(entry) for entry in entries] == [("ada", "rollout.create", view.id, "digits@1.0 to lab")]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (replace(SPEC, release=ReleaseId("digits@9.0")), "no release 'digits@9.0'; publish it first"),
        (replace(SPEC, group=GroupName("attic")), "no group 'attic'"),
    ],
)
def test_what_is_not_there_cannot_be_rolled_out(fleet: Fleet, spec: RolloutSpec, words: str) -> None:
    with pytest.raises(NotFound, match=words):
        create(fleet, spec)


def test_a_release_for_nobody_in_the_group_is_refused(tmp_path: Path) -> None:
    fleet = fleet_at(tmp_path)
    fleet.publish(V1)
    fleet.enroll("mcu-1", profile=ProfileName("stm32h743"))

    with pytest.raises(SpecRefused, match=r"none of the 1 devices of lab can run digits@1\.0, which is for raspberry"):
        create(fleet, SPEC)


def test_a_second_rollout_of_the_model_waits_for_the_first(fleet: Fleet) -> None:
    first = create(fleet, SPEC)

    with pytest.raises(RolloutInTheWay, match=f"rollout {first.id} of digits@1.0 to lab is running"):
        create(fleet, replace(SPEC, release=V2))


def test_after_an_abort_the_next_rollout_may_begin(fleet: Fleet) -> None:
    first = create(fleet, SPEC)
    fleet.change(first.id, RolloutEvent.ABORT)

    second = create(fleet, replace(SPEC, release=V2))

    assert second.state is RolloutState.RUNNING


def test_an_act_that_the_state_forbids_is_refused(fleet: Fleet) -> None:
    rollout = create(fleet, SPEC)

    with pytest.raises(TransitionRefused, match="running does not take 'resume'; possible now: pause, abort, rollback"):
        fleet.change(rollout.id, RolloutEvent.RESUME)


def test_what_a_device_says_it_runs_is_known_at_once(fleet: Fleet) -> None:
    fleet.roll_out(V1, gate=NO_TRAFFIC, waves=("100%",))

    fleet.report(DeviceId("pi-1"), UpdateState.HEALTHY)

    with reading(fleet.engine) as session:
        device = get_device(session, DEFAULT_TENANT, DeviceId("pi-1"), now=fleet.clock.now())
    assert device.running == {"digits": V1}


def test_a_devices_words_are_cut_and_freed_of_control_characters(fleet: Fleet) -> None:
    rollout = fleet.roll_out(V1, gate=NO_TRAFFIC, waves=("100%",))

    fleet.report(DeviceId("pi-1"), UpdateState.DOWNLOADING, code="disk\x00full\x1b[31m" + "x" * 100)

    assert fleet.part(rollout, DeviceId("pi-1")).code == ("disk full [31m" + "x" * 100)[:64]


def test_rollouts_are_listed_newest_first(fleet: Fleet) -> None:
    first = create(fleet, SPEC)
    fleet.change(first.id, RolloutEvent.ABORT)
    fleet.clock.pass_s(1.0)
    second = create(fleet, SPEC)

    with reading(fleet.engine) as session:
        every = store.list_rollouts(session, DEFAULT_TENANT)
        running = store.list_rollouts(session, DEFAULT_TENANT, states=[RolloutState.RUNNING])
    assert [view.id for view in every] == [second.id, first.id]
    assert [view.id for view in running] == [second.id]
