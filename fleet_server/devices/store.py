"""Devices in the database: the registry, the offers, and how chunks went to whom.

Who may run what is decided in ``rollouts``; here an offer is only written down, together with the
message that tells the device of it, in the caller's transaction.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import and_, exists, func, or_, select

from contracts.codec import encode
from contracts.ids import (
    BootId,
    DeviceId,
    GroupName,
    ModelName,
    ReleaseId,
    RolloutId,
    TenantId,
    parse_model_name,
    parse_release_id,
    split_release_id,
)
from contracts.topics import Channel, device_topic
from contracts.update import Offer
from fleet_server.config import OFFLINE_AFTER_S
from fleet_server.database.tables import (
    AlertRow,
    DeviceGroupRow,
    DeviceRow,
    InboundRow,
    OutboxRow,
    RolloutDeviceRow,
)
from fleet_server.errors import AlreadyExists, NotFound
from fleet_server.readmodel import AlertState, DeviceStatus, DeviceView, GroupView
from fleet_server.releases.standing import barred_releases, why_barred
from fleet_server.rollouts.states import FORWARD, WENT_BACK_BY_ITSELF

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from contracts.health import Heartbeat

OFFER_AGAIN_AFTER = timedelta(seconds=15)
"""How long a device may not know of an offer before it is sent again, and the least time between copies."""

GENERATION_LIMIT = 2**53
"""What a device says from here on is no generation: ours would soon have no room above it."""


def create_group(session: Session, tenant: TenantId, name: GroupName, now: datetime) -> None:
    """Make the group.

    Raises:
        AlreadyExists: there is one of that name.
    """
    if session.get(DeviceGroupRow, (tenant, name)) is not None:
        raise AlreadyExists(f"group {name!r} exists already")
    session.add(DeviceGroupRow(tenant=tenant, name=name, created_at=now))
    session.flush()


def list_groups(
    session: Session, tenant: TenantId, now: datetime, *, offline_after_s: float = OFFLINE_AFTER_S
) -> tuple[GroupView, ...]:
    """Return all groups by name, with how many devices each has and how many are heard of."""
    heard_since = now - timedelta(seconds=offline_after_s)
    rows = session.execute(
        select(
            DeviceGroupRow.name,
            func.count(DeviceRow.id),
            func.count(DeviceRow.id).filter(DeviceRow.last_seen_at >= heard_since),
        )
        .outerjoin(
            DeviceRow,
            and_(DeviceRow.tenant == DeviceGroupRow.tenant, DeviceRow.group_name == DeviceGroupRow.name),
        )
        .where(DeviceGroupRow.tenant == tenant)
        .group_by(DeviceGroupRow.name)
        .order_by(DeviceGroupRow.name)
    )
    return tuple(GroupView(name=name, devices=devices, online=online) for name, devices, online in rows)


def find_device(session: Session, tenant: TenantId, device: DeviceId) -> DeviceRow:
    """Return the device's row.

    Raises:
        NotFound: no device of that name is enrolled.
    """
    row = session.get(DeviceRow, (tenant, device))
    if row is None:
        raise NotFound("device", device, "'edgeship fleet device ls' lists them")
    return row


def list_devices(
    session: Session,
    tenant: TenantId,
    now: datetime,
    *,
    group: GroupName | None = None,
    status: DeviceStatus | None = None,
    offline_after_s: float = OFFLINE_AFTER_S,
) -> tuple[DeviceView, ...]:
    """Return the devices by name; only those of the group and the status, where they are named."""
    views = _views(session, tenant, now, group=group, offline_after_s=offline_after_s)
    return tuple(view for view in views if status is None or view.status is status)


def get_device(
    session: Session,
    tenant: TenantId,
    device: DeviceId,
    *,
    now: datetime,
    offline_after_s: float = OFFLINE_AFTER_S,
) -> DeviceView:
    """Return one device.

    Raises:
        NotFound: no device of that name is enrolled.
    """
    find_device(session, tenant, device)
    return next(_views(session, tenant, now, device=device, offline_after_s=offline_after_s))


def record_seen(
    session: Session, tenant: TenantId, device: DeviceId, *, boot: BootId, at: datetime, now: datetime
) -> bool:
    """Return whether a boot's newest report is the device's newest word, which then was seen now.

    It is not where a younger boot has spoken, or where it was made before what was heard last: then somebody
    held it back, and it says nothing about now.
    """
    row = find_device(session, tenant, device)
    if boot != row.boot and (_is_older(session, row, boot) or (row.heard_at is not None and at < row.heard_at)):
        return False
    row.last_seen_at = now
    row.boot = boot
    row.heard_at = min(at, now)  # a clock that was ahead must not silence the device once it is right
    return True


def record_heartbeat(session: Session, tenant: TenantId, device: DeviceId, heartbeat: Heartbeat, now: datetime) -> None:
    """Write down the device's own word about itself: the reported truth.

    Raises:
        NotFound: no device of that name is enrolled.
        InvalidId: a model or release name in it has not the form of its kind.
    """
    running = {parse_model_name(model): parse_release_id(release) for model, release in heartbeat.running.items()}
    row = find_device(session, tenant, device)
    row.last_seen_at = now
    row.agent_version = heartbeat.agent_version[:64]
    row.uptime_s = heartbeat.uptime_s
    row.memory_bytes = heartbeat.memory_bytes
    row.requests = heartbeat.requests
    row.errors = heartbeat.errors
    row.latency_p50_ms = heartbeat.latency_p50_ms
    row.latency_p95_ms = heartbeat.latency_p95_ms
    row.running = {str(model): str(release) for model, release in running.items()}
    if 0 <= heartbeat.generation < GENERATION_LIMIT:
        row.reported_generation = heartbeat.generation
    if row.reported_generation > row.generation:
        _outbid(session, row, now)
    elif row.offered_at is not None and now - row.offered_at > OFFER_AGAIN_AFTER:
        _offer_again(session, row, now)


def record_generation(session: Session, tenant: TenantId, device: DeviceId, generation: int, now: datetime) -> None:
    """Take it that the device knows that generation; one that was never offered is outbid.

    Raises:
        NotFound: no device of that name is enrolled.
    """
    row = find_device(session, tenant, device)
    if row.generation < generation < GENERATION_LIMIT:
        row.reported_generation = generation
        _outbid(session, row, now)


def offer(
    session: Session,
    tenant: TenantId,
    device: DeviceId,
    *,
    release: ReleaseId,
    rollout: RolloutId,
    attempt: int,
    max_bytes_s: int,
    now: datetime,
) -> int:
    """Make the release what the device should run, queue the retained message, return its generation.

    Raises:
        NotFound: no device of that name is enrolled.
    """
    row = find_device(session, tenant, device)
    row.offered_release = release
    row.offered_rollout = rollout
    row.offered_attempt = attempt
    row.offered_max_bytes_s = max_bytes_s
    _queue_offer(session, row, now)
    return row.generation


def current_offers(session: Session) -> Iterator[tuple[str, bytes]]:
    """Yield topic and body of every device's newest offer that stands: what a broker that forgot must retain."""
    query = select(DeviceRow).where(DeviceRow.offered_release.is_not(None), DeviceRow.revoked_at.is_(None))
    rows = session.scalars(query).all()
    barred = {tenant: barred_releases(session, tenant) for tenant in {row.tenant for row in rows}}
    for row in rows:
        if row.offered_release not in barred[row.tenant]:
            yield _offer_message(row)


def _is_older(session: Session, row: DeviceRow, boot: BootId) -> bool:
    """Return whether the boot was first heard of before the one that speaks for the device."""
    heard = session.get(InboundRow, (row.tenant, row.id, boot))
    speaks = session.get(InboundRow, (row.tenant, row.id, row.boot)) if row.boot else None
    return heard is not None and speaks is not None and heard.first_seen_at < speaks.first_seen_at


def _outbid(session: Session, row: DeviceRow, now: datetime) -> None:
    """Make the newest offer anew, above a generation that was never ours, unless the device runs it or gave it up.

    Offers carry no trust: whoever forges one of a high generation would otherwise keep the device from all of
    ours [wire-4.1].
    """
    session.flush()
    session.refresh(row, with_for_update=True)
    release = row.offered_release
    if release is None or row.running.get(split_release_id(release)[0]) == release:
        return
    if why_barred(session, row.tenant, release):
        return
    part = session.get(RolloutDeviceRow, (row.tenant, row.offered_rollout, row.id))
    if part is None or (part.attempt, part.generation) != (row.offered_attempt, row.generation):
        _queue_offer(session, row, now)
    elif part.attempt != FORWARD or part.state not in WENT_BACK_BY_ITSELF:
        _queue_offer(session, row, now)
        part.generation = row.generation
        session.flush()


def _queue_offer(session: Session, row: DeviceRow, now: datetime) -> None:
    row.generation = max(row.generation, row.reported_generation) + 1
    row.offered_at = now
    topic, body = _offer_message(row)
    session.add(OutboxRow(topic=topic, body=body, retain=True, created_at=now))
    session.flush()


def _offer_again(session: Session, row: DeviceRow, now: datetime) -> None:
    """Queue the newest offer once more where the device does not know of it and no copy is on its way [wire-2.3]."""
    if row.reported_generation >= row.generation or row.offered_release is None:
        return
    if why_barred(session, row.tenant, row.offered_release):
        return
    session.flush()
    session.refresh(row, with_for_update=True)  # so that no copy of an older offer follows a newer one
    topic, body = _offer_message(row)
    sent_lately = OutboxRow.sent_at > now - OFFER_AGAIN_AFTER
    on_its_way = exists().where(OutboxRow.topic == topic, or_(OutboxRow.sent_at.is_(None), sent_lately))
    if not session.scalar(select(on_its_way)):
        session.add(OutboxRow(topic=topic, body=body, retain=True, created_at=now))
        session.flush()


def _offer_message(row: DeviceRow) -> tuple[str, bytes]:
    if row.offered_release is None or row.offered_rollout is None:
        raise NotFound("offer to device", row.id)
    message = Offer(
        generation=row.generation,
        model=split_release_id(row.offered_release)[0],
        release=row.offered_release,
        rollout=row.offered_rollout,
        attempt=row.offered_attempt,
        max_bytes_s=row.offered_max_bytes_s,
    )
    return device_topic(row.tenant, row.id, Channel.OFFER), encode(message)


def _views(
    session: Session,
    tenant: TenantId,
    now: datetime,
    *,
    device: DeviceId | None = None,
    group: GroupName | None = None,
    offline_after_s: float,
) -> Iterator[DeviceView]:
    open_alerts = (
        select(AlertRow.device, func.count().label("count"))
        .where(AlertRow.tenant == tenant, AlertRow.state == AlertState.OPEN)
        .group_by(AlertRow.device)
        .subquery()
    )
    query = (
        select(DeviceRow, RolloutDeviceRow, open_alerts.c.count)
        .outerjoin(
            RolloutDeviceRow,
            and_(
                RolloutDeviceRow.tenant == DeviceRow.tenant,
                RolloutDeviceRow.rollout == DeviceRow.offered_rollout,
                RolloutDeviceRow.device == DeviceRow.id,
            ),
        )
        .outerjoin(open_alerts, open_alerts.c.device == DeviceRow.id)
        .where(DeviceRow.tenant == tenant)
        .order_by(DeviceRow.id)
    )
    if device is not None:
        query = query.where(DeviceRow.id == device)
    if group is not None:
        query = query.where(DeviceRow.group_name == group)
    for row, part, alerts in session.execute(query):
        yield _view(row, part, alerts or 0, heard_since=now - timedelta(seconds=offline_after_s))


def _view(row: DeviceRow, part: RolloutDeviceRow | None, open_alerts: int, *, heard_since: datetime) -> DeviceView:
    return DeviceView(
        id=row.id,
        group=row.group_name,
        profile=row.profile,
        status=_status(row, heard_since),
        last_seen_at=row.last_seen_at,
        enrolled_at=row.enrolled_at,
        agent_version=row.agent_version,
        boot=row.boot,
        running={ModelName(model): ReleaseId(release) for model, release in row.running.items()},
        offered=row.offered_release,
        update_state=part.state if part else None,
        update_code=part.code if part else "",
        update_detail=part.detail if part else "",
        memory_bytes=row.memory_bytes,
        latency_p50_ms=row.latency_p50_ms,
        latency_p95_ms=row.latency_p95_ms,
        requests=row.requests,
        open_alerts=open_alerts,
    )


def _status(row: DeviceRow, heard_since: datetime) -> DeviceStatus:
    last_seen_at = row.last_seen_at
    if row.revoked_at is not None:
        return DeviceStatus.REVOKED
    if last_seen_at is None:
        return DeviceStatus.ENROLLED
    return DeviceStatus.ONLINE if last_seen_at >= heard_since else DeviceStatus.OFFLINE
