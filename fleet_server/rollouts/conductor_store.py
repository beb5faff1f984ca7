"""What the conductor reads and writes: the rollouts that are due, their waves and the devices' parts.

It decides nothing. Rows it returns belong to the caller's transaction, which holds the rollout's lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from contracts.ids import DeviceId, ModelName, ProfileName, ReleaseId, RolloutId, TenantId, split_release_id
from contracts.update import UpdateState
from fleet_server.database.tables import ArtifactRow, DeviceRow, RolloutDeviceRow, RolloutRow, WaveRow
from fleet_server.devices.store import offer
from fleet_server.rollouts.outcome import Outcome
from fleet_server.rollouts.states import BACK, BUSY, FORWARD, UNDER_WAY, WaveEvent, step_wave
from fleet_server.rollouts.store import spec_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def due_rollouts(session: Session, now: datetime) -> tuple[tuple[TenantId, RolloutId], ...]:
    """Return the rollouts in which something may happen now, oldest first."""
    query = (
        select(RolloutRow.tenant, RolloutRow.id)
        .where(RolloutRow.state.in_(UNDER_WAY), RolloutRow.next_tick_at <= now)
        .order_by(RolloutRow.created_at, RolloutRow.id)
    )
    return tuple((tenant, rollout) for tenant, rollout in session.execute(query))


def claim_rollout(session: Session, tenant: TenantId, rollout: RolloutId) -> RolloutRow | None:
    """Return the rollout's row, locked for this transaction; None where another replica holds it or it has ended."""
    return session.scalar(
        select(RolloutRow)
        .where(RolloutRow.tenant == tenant, RolloutRow.id == rollout, RolloutRow.state.in_(UNDER_WAY))
        .with_for_update(skip_locked=True)
    )


def waves_of(session: Session, row: RolloutRow) -> tuple[WaveRow, ...]:
    """Return the rollout's waves in order."""
    query = select(WaveRow).where(WaveRow.tenant == row.tenant, WaveRow.rollout == row.id).order_by(WaveRow.index)
    return tuple(session.scalars(query))


def parts_of(session: Session, row: RolloutRow, *, wave: int | None = None) -> tuple[RolloutDeviceRow, ...]:
    """Return the devices' parts in the rollout, or in one wave of it."""
    query = select(RolloutDeviceRow).where(RolloutDeviceRow.tenant == row.tenant, RolloutDeviceRow.rollout == row.id)
    if wave is not None:
        query = query.where(RolloutDeviceRow.wave == wave)
    return tuple(session.scalars(query.order_by(RolloutDeviceRow.wave, RolloutDeviceRow.device)))


def count_states(parts: Iterable[RolloutDeviceRow]) -> dict[UpdateState, int]:
    """Return how many parts are in each state."""
    return dict(Counter(part.state for part in parts))


def move_wave(session: Session, wave: WaveRow, event: WaveEvent, *, verdict: str) -> None:
    """Take the wave to the state after the event, with what is to be said of it.

    Raises:
        TransitionRefused: the table has no such pair.
    """
    wave.state = step_wave(wave.state, event)
    wave.verdict = verdict
    session.flush()


def open_wave(session: Session, row: RolloutRow, wave: WaveRow, now: datetime) -> None:
    """Offer the release to each device of the wave that still waits, and note until when it may take."""
    timeout = timedelta(seconds=spec_of(row).device_timeout_s)
    move_wave(session, wave, WaveEvent.OPEN, verdict="")
    wave.opened_at = now
    wave.deadline_at = now + timeout
    model = split_release_id(row.release)[0]
    for part in parts_of(session, row, wave=wave.index):
        if part.state is UpdateState.QUEUED:
            device = session.get_one(DeviceRow, (row.tenant, part.device))
            part.previous_release = _previous(device, model, row.release)
            _offer(session, row, part, release=row.release, attempt=FORWARD, now=now)
            part.state = UpdateState.OFFERED
    session.flush()


def send_back(
    session: Session, row: RolloutRow, part: RolloutDeviceRow, *, previous: ReleaseId, reason: str, now: datetime
) -> None:
    """Offer the device its previous release; where it has not gone back by itself, its part begins again."""
    _offer(session, row, part, release=previous, attempt=BACK, now=now)
    if part.state in BUSY or part.state in (UpdateState.HEALTHY, UpdateState.TIMED_OUT):
        part.state = UpdateState.OFFERED
        part.code = Outcome.TAKEN_BACK.value
        part.detail = reason[:500]
    session.flush()


def keep_release(session: Session, part: RolloutDeviceRow, release: ReleaseId, *, why: str) -> None:
    """Note that the device keeps the release, because there is none to go back to, and why."""
    part.code = Outcome.NO_PREVIOUS_RELEASE.value
    part.detail = f"keeps {release}: {why}"[:500]
    session.flush()


def time_out_overdue(session: Session, row: RolloutRow, now: datetime) -> None:
    """End the attempts at the new release of which nothing final was heard in time."""
    timeout_s = spec_of(row).device_timeout_s
    session.execute(
        update(RolloutDeviceRow)
        .where(
            RolloutDeviceRow.tenant == row.tenant,
            RolloutDeviceRow.rollout == row.id,
            RolloutDeviceRow.attempt == FORWARD,
            RolloutDeviceRow.state.in_(BUSY),
            RolloutDeviceRow.deadline_at <= now,
        )
        .values(
            state=UpdateState.TIMED_OUT,
            code=Outcome.TIMED_OUT.value,
            detail=f"nothing final was heard within {timeout_s:g} s of the offer",
            updated_at=now,
        )
    )


def note_gone_back(session: Session, row: RolloutRow, now: datetime) -> None:
    """Take a device's heartbeat as its word that it went back: it knows the offer and runs the previous release."""
    model = split_release_id(row.release)[0]
    query = (
        select(RolloutDeviceRow, DeviceRow)
        .join(DeviceRow, (DeviceRow.tenant == RolloutDeviceRow.tenant) & (DeviceRow.id == RolloutDeviceRow.device))
        .where(
            RolloutDeviceRow.tenant == row.tenant,
            RolloutDeviceRow.rollout == row.id,
            RolloutDeviceRow.attempt == BACK,
            RolloutDeviceRow.state.in_(BUSY),
            DeviceRow.reported_generation >= RolloutDeviceRow.generation,
        )
    )
    for part, device in session.execute(query):
        if device.running.get(model) == part.previous_release:
            part.state = UpdateState.ROLLED_BACK
            part.updated_at = now
    session.flush()


def newest_offers(session: Session, row: RolloutRow) -> dict[DeviceId, RolloutId | None]:
    """Return which rollout made the newest offer to each of the rollout's devices."""
    query = (
        select(DeviceRow.id, DeviceRow.offered_rollout)
        .join(
            RolloutDeviceRow,
            (DeviceRow.tenant == RolloutDeviceRow.tenant) & (DeviceRow.id == RolloutDeviceRow.device),
        )
        .where(RolloutDeviceRow.tenant == row.tenant, RolloutDeviceRow.rollout == row.id)
    )
    return {device: rollout for device, rollout in session.execute(query)}  # noqa: C416 - dict() of rows loses the types


def devices_running(session: Session, row: RolloutRow, releases: Collection[ReleaseId]) -> dict[DeviceId, ProfileName]:
    """Return the group's devices that say they run one of the releases, with their profiles."""
    model = split_release_id(row.release)[0]
    members = session.execute(
        select(DeviceRow.id, DeviceRow.profile, DeviceRow.running).where(
            DeviceRow.tenant == row.tenant, DeviceRow.group_name == row.group_name
        )
    )
    return {device: profile for device, profile, running in members if running.get(model) in releases}


def profiles_of(session: Session, tenant: TenantId, devices: Collection[DeviceId]) -> dict[DeviceId, ProfileName]:
    """Return the profile of each of the devices."""
    query = select(DeviceRow.id, DeviceRow.profile).where(DeviceRow.tenant == tenant, DeviceRow.id.in_(devices))
    return {device: profile for device, profile in session.execute(query)}  # noqa: C416 - dict() of rows loses the types


def headers_of(session: Session, row: RolloutRow, profiles: Collection[ProfileName]) -> tuple[bytes, ...]:
    """Return the encoded header of the release's artifact for each of the profiles."""
    query = (
        select(ArtifactRow.header)
        .where(ArtifactRow.tenant == row.tenant, ArtifactRow.release == row.release, ArtifactRow.profile.in_(profiles))
        .order_by(ArtifactRow.profile)
    )
    return tuple(session.scalars(query))


def _previous(device: DeviceRow, model: ModelName, release: ReleaseId) -> ReleaseId | None:
    running = device.running.get(model)
    return ReleaseId(running) if running is not None and running != release else None


def _offer(
    session: Session, row: RolloutRow, part: RolloutDeviceRow, *, release: ReleaseId, attempt: int, now: datetime
) -> None:
    spec = spec_of(row)
    part.generation = offer(
        session,
        row.tenant,
        part.device,
        release=release,
        rollout=row.id,
        attempt=attempt,
        max_bytes_s=spec.max_bytes_s,
        now=now,
    )
    part.attempt = attempt
    part.offered_at = now
    part.deadline_at = now + timedelta(seconds=spec.device_timeout_s)
    part.updated_at = now
