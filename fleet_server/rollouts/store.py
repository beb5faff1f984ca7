"""Rollouts in the database: what people ask for, what devices report, what everybody reads.

Every change of a state is an UPDATE that names the state (and, for a device, attempt and generation) it
starts from, so a replayed, late or reordered message, or a second replica, changes nothing.
What happens by itself over time is in ``conductor`` and ``conductor_store``.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from contracts.codec import Plain, encode, from_plain, to_plain
from contracts.ids import (
    DeviceId,
    ProfileName,
    RolloutId,
    TenantId,
    parse_release_id,
    parse_rollout_id,
    split_release_id,
)
from contracts.update import UpdateReport, UpdateState
from fleet_server.alerts.store import open_alert
from fleet_server.database.tables import (
    ArtifactRow,
    DeviceGroupRow,
    DeviceRow,
    ReleaseRow,
    RolloutDeviceRow,
    RolloutRow,
    WaveRow,
)
from fleet_server.errors import NotFound
from fleet_server.people.store import record_act
from fleet_server.readmodel import AlertKind, RolloutDeviceView, RolloutView, WaveView
from fleet_server.releases.standing import why_barred
from fleet_server.rollouts.errors import ReleaseBarred, RolloutInTheWay, SpecRefused, TransitionRefused
from fleet_server.rollouts.plan import check_spec, plan_waves
from fleet_server.rollouts.spec import RolloutSpec
from fleet_server.rollouts.states import (
    BACK,
    BUSY,
    UNDER_WAY,
    RolloutEvent,
    RolloutState,
    WaveState,
    after_going_back,
    step_rollout,
    takes_report,
)

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

LIST_LIMIT = 100

MAX_CHUNKS = 2**24

_CODE_LENGTH, _DETAIL_LENGTH = 64, 500


def create_rollout(
    session: Session, tenant: TenantId, spec: RolloutSpec, *, created_by: str, now: datetime
) -> RolloutView:
    """Write the rollout down, its waves planned, its devices queued; the conductor begins at its next tick.

    Raises:
        SpecRefused: the spec cannot be carried out, or no device of the group can run the release.
        NotFound: no such release or group.
        ReleaseBarred: the release was revoked, or is below the security floor.
        RolloutInTheWay: another rollout of the model is under way in the group.
    """
    check_spec(spec)
    if session.get(ReleaseRow, (tenant, spec.release)) is None:
        raise NotFound("release", spec.release, "publish it first; 'edgeship fleet release ls' lists what there is")
    barred = why_barred(session, tenant, spec.release)
    if barred:
        raise ReleaseBarred(f"{spec.release} may not be offered: {barred}; choose another release")
    # locked, so that of two rollouts asked for at once the second sees the first
    if session.get(DeviceGroupRow, (tenant, spec.group), with_for_update=True) is None:
        raise NotFound("group", spec.group, "'edgeship fleet group ls' lists them")
    _refuse_second(session, tenant, spec)
    compatible, incompatible = _devices_of(session, tenant, spec)
    identity = hashlib.sha256(b"\x00".join((encode(spec), created_by.encode(), now.isoformat().encode())))
    rollout = RolloutId(f"r-{identity.hexdigest()[:10]}")
    session.add(
        RolloutRow(
            tenant=tenant,
            id=rollout,
            spec=_spec_plain(spec),
            release=spec.release,
            group_name=spec.group,
            state=RolloutState.RUNNING,
            incompatible=list(incompatible),
            created_by=created_by,
            created_at=now,
            next_tick_at=now,
        )
    )
    session.flush()
    for index, wave in enumerate(plan_waves(rollout, spec.waves, compatible)):
        session.add(WaveRow(tenant=tenant, rollout=rollout, index=index, state=WaveState.PENDING))
        session.add_all(
            RolloutDeviceRow(
                tenant=tenant, rollout=rollout, device=device, wave=index, state=UpdateState.QUEUED, updated_at=now
            )
            for device in wave
        )
    detail = f"{spec.release} to {spec.group}"
    record_act(session, tenant, actor=created_by, action="rollout.create", thing=rollout, now=now, detail=detail)
    session.flush()
    return get_rollout(session, tenant, rollout)


def change_rollout(
    session: Session, tenant: TenantId, rollout: RolloutId, event: RolloutEvent, *, by: str, now: datetime
) -> RolloutView:
    """Carry out a person's pause, resume, abort or rollback, and return the rollout.

    After an abort nothing more is offered and devices stay as they are. A rollback is begun here
    and carried out by the conductor.

    Raises:
        NotFound: no such rollout.
        TransitionRefused: its state forbids it, or somebody else changed it at the same moment.
    """
    row = _find(session, tenant, rollout, lock=True)
    reason = "" if event is RolloutEvent.RESUME else f"{event.value} by {by}"
    move_rollout(session, row, event, reason=reason, now=now)
    if event is RolloutEvent.ABORT:
        cancel_queued(session, row, now)
    record_act(session, tenant, actor=by, action=f"rollout.{event.value}", thing=rollout, now=now)
    session.flush()
    return get_rollout(session, tenant, rollout)


def move_rollout(session: Session, row: RolloutRow, event: RolloutEvent, *, reason: str, now: datetime) -> None:
    """Take the rollout to the state after the event.

    Raises:
        TransitionRefused: the table has no such pair, or the row changed since it was read.
    """
    before, after = row.state, step_rollout(row.state, event)
    changed = session.scalar(
        update(RolloutRow)
        .where(
            RolloutRow.tenant == row.tenant,
            RolloutRow.id == row.id,
            RolloutRow.state == before,
            RolloutRow.version == row.version,
        )
        .values(
            state=after,
            reason=reason,
            version=row.version + 1,
            finished_at=None if after in UNDER_WAY else now,
        )
        .returning(RolloutRow.id)
        .execution_options(synchronize_session=False)
    )
    if changed is None:
        raise TransitionRefused("rollout", "being changed by somebody else", event, ("try again",))
    session.refresh(row)


def cancel_queued(session: Session, row: RolloutRow, now: datetime) -> None:
    """Withdraw the rollout from the devices that it was not offered to."""
    session.execute(
        update(RolloutDeviceRow)
        .where(
            RolloutDeviceRow.tenant == row.tenant,
            RolloutDeviceRow.rollout == row.id,
            RolloutDeviceRow.state == UpdateState.QUEUED,
        )
        .values(state=UpdateState.CANCELLED, updated_at=now)
    )


def record_update(
    session: Session, tenant: TenantId, device: DeviceId, report: UpdateReport, *, is_newest: bool, now: datetime
) -> None:
    """Take in the device's account of one attempt: how far it is, if it is news.

    What it runs is taken down where the report is the newest of its boot [wire-3.5]: a later one knows
    better. A report of another attempt or generation than the newest, and any report after the end of an
    attempt, leaves the attempt as it is.

    Raises:
        InvalidId: a release's or the rollout's name has not the form of one.
    """
    rollout = parse_rollout_id(report.rollout)
    if is_newest:
        _record_running(session, tenant, device, report)
    part = session.get(RolloutDeviceRow, (tenant, rollout, device))
    if part is None or not takes_report(part.state, report.state):
        return
    if (part.attempt, part.generation) != (report.attempt, report.generation):
        return
    going_back = part.attempt == BACK
    values: dict[str, object] = {"updated_at": now}
    values["state"] = after_going_back(report.state) if going_back else report.state
    if report.code or not going_back:  # on the way back the reason for going back stays
        values |= {"code": _one_line(report.code, _CODE_LENGTH), "detail": _one_line(report.detail, _DETAIL_LENGTH)}
    if 0 <= report.chunks_done <= report.chunks_total <= MAX_CHUNKS and report.chunks_total:
        values |= {"chunks_done": report.chunks_done, "chunks_total": report.chunks_total}
    if report.state is UpdateState.HEALTHY:
        values["healthy_at"] = now
    changed = session.scalar(
        update(RolloutDeviceRow)
        .where(
            RolloutDeviceRow.tenant == tenant,
            RolloutDeviceRow.rollout == rollout,
            RolloutDeviceRow.device == device,
            RolloutDeviceRow.attempt == part.attempt,
            RolloutDeviceRow.generation == part.generation,
            RolloutDeviceRow.state.in_(BUSY),
        )
        .values(**values)
        .returning(RolloutDeviceRow.device)
        .execution_options(synchronize_session=False)
    )
    session.refresh(part)
    if changed is not None and report.state is UpdateState.REFUSED:
        _alert_refusal(session, tenant, device, report, now)


def list_rollouts(
    session: Session, tenant: TenantId, *, states: Collection[RolloutState] | None = None
) -> tuple[RolloutView, ...]:
    """Return the newest rollouts, newest first; only those in the states, where they are named."""
    query = select(RolloutRow).where(RolloutRow.tenant == tenant)
    if states is not None:
        query = query.where(RolloutRow.state.in_(states))
    rows = session.scalars(query.order_by(RolloutRow.created_at.desc(), RolloutRow.id).limit(LIST_LIMIT)).all()
    return _views(session, tenant, rows)


def get_rollout(session: Session, tenant: TenantId, rollout: RolloutId) -> RolloutView:
    """Return the rollout.

    Raises:
        NotFound: no such rollout.
    """
    return _views(session, tenant, [_find(session, tenant, rollout, lock=False)])[0]


def _find(session: Session, tenant: TenantId, rollout: RolloutId, *, lock: bool) -> RolloutRow:
    row = session.get(RolloutRow, (tenant, rollout), with_for_update=lock or None)
    if row is None:
        raise NotFound("rollout", rollout, "'edgeship fleet rollout ls' lists them")
    return row


def spec_of(row: RolloutRow) -> RolloutSpec:
    """Return what was asked for."""
    return from_plain(RolloutSpec, row.spec)


def _refuse_second(session: Session, tenant: TenantId, spec: RolloutSpec) -> None:
    model = split_release_id(spec.release)[0]
    others = session.execute(
        select(RolloutRow.id, RolloutRow.state, RolloutRow.release).where(
            RolloutRow.tenant == tenant, RolloutRow.group_name == spec.group, RolloutRow.state.in_(UNDER_WAY)
        )
    )
    for other, state, release in others:
        if split_release_id(release)[0] == model:
            raise RolloutInTheWay(
                f"rollout {other} of {release} to {spec.group} is {state}; wait for it, or abort it first"
            )


def _devices_of(
    session: Session, tenant: TenantId, spec: RolloutSpec
) -> tuple[tuple[DeviceId, ...], tuple[DeviceId, ...]]:
    made_for = set(
        session.scalars(
            select(ArtifactRow.profile).where(ArtifactRow.tenant == tenant, ArtifactRow.release == spec.release)
        )
    )
    members = session.execute(
        select(DeviceRow.id, DeviceRow.profile)
        .where(DeviceRow.tenant == tenant, DeviceRow.group_name == spec.group, DeviceRow.revoked_at.is_(None))
        .order_by(DeviceRow.id)
    ).all()
    compatible = tuple(device for device, profile in members if profile in made_for)
    if not compatible:
        profiles = ", ".join(sorted(made_for))
        raise SpecRefused(
            f"none of the {len(members)} devices of {spec.group} can run {spec.release}, which is for {profiles}; "
            "enroll devices of those profiles, or release the model for these"
        )
    return compatible, tuple(device for device, profile in members if profile not in made_for)


def _record_running(session: Session, tenant: TenantId, device: DeviceId, report: UpdateReport) -> None:
    row = session.get(DeviceRow, (tenant, device))
    if row is None:
        return
    model = split_release_id(parse_release_id(report.release))[0]
    running = {name: release for name, release in row.running.items() if name != model}
    if report.running:
        running[model] = parse_release_id(report.running)
    if running != row.running:
        row.running = running
        session.flush()


def _alert_refusal(session: Session, tenant: TenantId, device: DeviceId, report: UpdateReport, now: datetime) -> None:
    open_alert(
        session,
        tenant,
        topic=f"refusal/{report.rollout}/{device}/{report.attempt}",
        kind=AlertKind.REFUSAL,
        title=f"{device} refused {report.release}",
        detail=_one_line(f"{report.code}: {report.detail}", _DETAIL_LENGTH),
        now=now,
        about=(device, report.release, report.rollout),
    )


def _views(session: Session, tenant: TenantId, rows: Iterable[RolloutRow]) -> tuple[RolloutView, ...]:
    wanted = list(rows)
    names = [row.id for row in wanted]
    waves: dict[RolloutId, list[WaveRow]] = defaultdict(list)
    for wave in session.scalars(
        select(WaveRow).where(WaveRow.tenant == tenant, WaveRow.rollout.in_(names)).order_by(WaveRow.index)
    ):
        waves[wave.rollout].append(wave)
    parts: dict[RolloutId, list[RolloutDeviceView]] = defaultdict(list)
    for part, profile in session.execute(
        select(RolloutDeviceRow, DeviceRow.profile)
        .join(DeviceRow, (DeviceRow.tenant == RolloutDeviceRow.tenant) & (DeviceRow.id == RolloutDeviceRow.device))
        .where(RolloutDeviceRow.tenant == tenant, RolloutDeviceRow.rollout.in_(names))
        .order_by(RolloutDeviceRow.wave, RolloutDeviceRow.device)
    ):
        parts[part.rollout].append(_part_view(part, profile))
    return tuple(_view(row, waves[row.id], parts[row.id]) for row in wanted)


def _view(row: RolloutRow, waves: Iterable[WaveRow], parts: Iterable[RolloutDeviceView]) -> RolloutView:
    devices = tuple(parts)
    counts: Mapping[int, Counter[UpdateState]] = defaultdict(Counter)
    for part in devices:
        counts[part.wave][part.state] += 1
    return RolloutView(
        id=row.id,
        spec=spec_of(row),
        state=row.state,
        reason=row.reason,
        created_by=row.created_by,
        created_at=row.created_at,
        finished_at=row.finished_at,
        waves=tuple(
            WaveView(
                index=wave.index,
                state=wave.state,
                size=counts[wave.index].total(),
                counts=dict(counts[wave.index]),
                verdict=wave.verdict,
            )
            for wave in waves
        ),
        devices=devices,
        incompatible=tuple(DeviceId(str(device)) for device in row.incompatible),
    )


def _part_view(part: RolloutDeviceRow, profile: ProfileName) -> RolloutDeviceView:
    return RolloutDeviceView(
        device=part.device,
        profile=profile,
        wave=part.wave,
        state=part.state,
        code=part.code,
        detail=part.detail,
        chunks_done=part.chunks_done,
        chunks_total=part.chunks_total,
        updated_at=part.updated_at,
    )


def _spec_plain(spec: RolloutSpec) -> dict[str, Plain]:
    plain = to_plain(spec)
    if not isinstance(plain, dict):
        raise TypeError("a spec becomes a map")
    return plain


def _one_line(text: str, most: int) -> str:
    # a device's own words: no control character reaches a terminal, and none that a database refuses
    return "".join(character if character.isprintable() else " " for character in text[:most])
