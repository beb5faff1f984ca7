"""Alerts in the database.

An alert's ``topic`` says what it is about; while one with that topic is open or acknowledged, the same
trouble opens no second one. Its id follows from the topic and how often it came, so two replicas that
see the same trouble at once cannot both write it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from contracts.codec import from_plain, to_plain
from contracts.ids import DeviceId, ReleaseId, RolloutId, TenantId
from contracts.retrain import MovedFeature
from fleet_server.database.tables import AlertRow
from fleet_server.errors import AlreadyExists, NotFound
from fleet_server.people.store import record_act
from fleet_server.readmodel import AlertKind, AlertState, AlertView

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

LIST_LIMIT = 500

_STANDING = (AlertState.OPEN, AlertState.ACKNOWLEDGED)


def open_alert(
    session: Session,
    tenant: TenantId,
    *,
    topic: str,
    kind: AlertKind,
    title: str,
    detail: str,
    now: datetime,
    about: tuple[DeviceId | None, ReleaseId | None, RolloutId | None] = (None, None, None),
) -> str:
    """Make sure that an alert of that topic stands, and return its id; the one that stands is left as it is.

    ``about`` is the device, the release and the rollout that it concerns.
    """
    standing = standing_alert(session, tenant, topic)
    if standing is not None:
        return standing
    before = session.scalar(
        select(func.count()).select_from(AlertRow).where(AlertRow.tenant == tenant, AlertRow.topic == topic)
    )
    identity = hashlib.sha256(f"{tenant}\x00{topic}\x00{before or 0}".encode()).hexdigest()[:12]
    device, release, rollout = about
    row = AlertRow(
        tenant=tenant,
        id=f"alert-{identity}",
        topic=topic,
        kind=kind,
        state=AlertState.OPEN,
        title=title,
        detail=detail,
        device=device,
        release=release,
        rollout=rollout,
        moved=[],
        opened_at=now,
        updated_at=now,
    )
    session.add(row)
    session.flush()
    return row.id


def attach_evidence(
    session: Session, tenant: TenantId, alert: str, *, moved: Sequence[MovedFeature], retrain: str
) -> None:
    """Note which inputs moved and which retrain request the alert made."""
    row = _find(session, tenant, alert)
    row.moved = [to_plain(feature) for feature in moved]
    row.retrain = retrain


def standing_alert(session: Session, tenant: TenantId, topic: str) -> str | None:
    """Return the id of the topic's alert that is not cleared, if there is one."""
    return session.scalar(
        select(AlertRow.id).where(AlertRow.tenant == tenant, AlertRow.topic == topic, AlertRow.state.in_(_STANDING))
    )


def restate_alert(session: Session, tenant: TenantId, topic: str, *, title: str, detail: str, now: datetime) -> None:
    """Let the topic's alert, if one stands, say how things are now."""
    alert = standing_alert(session, tenant, topic)
    row = _find(session, tenant, alert) if alert is not None else None
    if row is not None and (row.title, row.detail) != (title, detail):
        row.title, row.detail, row.updated_at = title, detail, now


def clear_alert(session: Session, tenant: TenantId, topic: str, *, reason: str, now: datetime) -> None:
    """End the topic's alert, if one stands; the reason is added to its detail."""
    alert = standing_alert(session, tenant, topic)
    if alert is not None:
        row = _find(session, tenant, alert)
        row.state = AlertState.CLEARED
        row.detail = f"{row.detail}; {reason}"
        row.updated_at = now


def standing_topics(session: Session, tenant: TenantId, prefix: str) -> tuple[str, ...]:
    """Return the topics that begin so and whose alert is not cleared."""
    query = select(AlertRow.topic).where(
        AlertRow.tenant == tenant, AlertRow.state.in_(_STANDING), AlertRow.topic.startswith(prefix, autoescape=True)
    )
    return tuple(session.scalars(query))


def acknowledge(session: Session, tenant: TenantId, alert: str, *, by: str, now: datetime) -> AlertView:
    """Note that the person has seen it, and return it; the first name stays.

    Raises:
        NotFound: no alert of that id.
        AlreadyExists: it was cleared meanwhile.
    """
    row = _find(session, tenant, alert)
    if row.state is AlertState.CLEARED:
        raise AlreadyExists(f"alert {alert!r} was cleared meanwhile; nothing is left to acknowledge")
    if row.state is AlertState.OPEN:
        row.state = AlertState.ACKNOWLEDGED
        row.acknowledged_by = by
        row.updated_at = now
        record_act(session, tenant, actor=by, action="alert.acknowledge", thing=alert, now=now)
        session.flush()
    return _view(row)


def list_alerts(session: Session, tenant: TenantId, *, state: AlertState | None = None) -> tuple[AlertView, ...]:
    """Return the newest alerts, newest first; only those in the state, where it is named."""
    query = select(AlertRow).where(AlertRow.tenant == tenant)
    if state is not None:
        query = query.where(AlertRow.state == state)
    rows = session.scalars(query.order_by(AlertRow.opened_at.desc(), AlertRow.id).limit(LIST_LIMIT))
    return tuple(_view(row) for row in rows)


def _find(session: Session, tenant: TenantId, alert: str) -> AlertRow:
    row = session.get(AlertRow, (tenant, alert))
    if row is None:
        raise NotFound("alert", alert, "'edgeship fleet alert ls --all' lists them")
    return row


def _view(row: AlertRow) -> AlertView:
    return AlertView(
        id=row.id,
        kind=row.kind,
        state=row.state,
        title=row.title,
        detail=row.detail,
        device=row.device,
        release=row.release,
        rollout=row.rollout,
        moved=tuple(from_plain(MovedFeature, feature) for feature in row.moved),
        retrain=row.retrain,
        opened_at=row.opened_at,
        acknowledged_by=row.acknowledged_by,
    )
