"""Alerts of trust: metadata that people sign are about to expire, or a device runs what may not be offered any more.

An alert opens 30 days and another 7 days before a role expires, and clears when a later version is published. One
opens for each barred release that devices still run, names them, and clears when none does.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from contracts.ids import ReleaseId, TenantId
from fleet_server.alerts.store import clear_alert, open_alert, restate_alert, standing_topics
from fleet_server.database.session import reading, transaction
from fleet_server.readmodel import AlertKind, SignedRoleView, TrustView
from fleet_server.releases import standing, store
from fleet_server.trust.expiry import describe, stages_reached
from fleet_server.trust.signed_file import read_root, read_targets

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from fleet_server.clock import Clock

_RENEW, _RENEW_ROOT = "edgeship release sign --renew", "edgeship keys renew"
_ROOTS = (("models root", "root"), ("director root", store.DIRECTOR_ROOT))
_EXPIRY, _BARRED = "expiry/", "barred/"
_NAMED = 20
"""Devices named in one alert; of more, their number is said."""


def tick(engine: Engine, clock: Clock) -> None:
    """Open and clear the alerts of every tenant as things are now."""
    now = clock.now()
    with reading(engine) as session:
        tenants = store.tenants(session)
    for tenant in tenants:
        with transaction(engine) as session:
            _watch_expiry(session, tenant, now)
            _watch_barred(session, tenant, now)


def trust_view(session: Session, tenant: TenantId) -> TrustView:
    """Return what is trusted: what people signed and until when, floors, and the server's keys that the roots name."""
    named = {}
    for name, role in _ROOTS:
        row = store.newest_document(session, tenant, role)
        if row is not None:
            named[name] = read_root(row.text).signed.roles["timestamp"].keyids[0]
    return TrustView(roles=signed_roles(session, tenant), floors=standing.floors(session, tenant), server_keys=named)


def signed_roles(session: Session, tenant: TenantId) -> tuple[SignedRoleView, ...]:
    """Return the newest file of every role that people sign, of both repositories."""
    roles = []
    for name, role in _ROOTS:
        row = store.newest_document(session, tenant, role)
        if row is not None:
            root = read_root(row.text).signed
            roles.append(
                SignedRoleView(name=name, version=root.version, expires_at=root.expires, renewed_by=_RENEW_ROOT)
            )
    for name, row in store.counting_files(session, tenant).items():
        targets = read_targets(row.text, name).signed
        said = name if name == store.TARGETS else f"team {name}"
        roles.append(SignedRoleView(name=said, version=targets.version, expires_at=targets.expires, renewed_by=_RENEW))
    return tuple(roles)


def _watch_expiry(session: Session, tenant: TenantId, now: datetime) -> None:
    due = {
        f"{_EXPIRY}{role.name}/{role.version}/{days}": (role, days)
        for role in signed_roles(session, tenant)
        for days in stages_reached(role, now)
    }
    for topic in standing_topics(session, tenant, _EXPIRY):
        if topic not in due:
            clear_alert(session, tenant, topic, reason="a later version is published", now=now)
    for topic, (role, days) in due.items():
        open_alert(
            session,
            tenant,
            topic=topic,
            kind=AlertKind.TRUST,
            title=f"{role.name} expires in less than {days} days",
            detail=f"{describe(role, now)}; once it has expired, devices keep what runs and install nothing new",
            now=now,
        )


def _watch_barred(session: Session, tenant: TenantId, now: datetime) -> None:
    running = standing.devices_running_barred(session, tenant)
    reasons = standing.barred_releases(session, tenant, among=tuple(running))
    for topic in standing_topics(session, tenant, _BARRED):
        if ReleaseId(topic.removeprefix(_BARRED)) not in running:
            clear_alert(session, tenant, topic, reason="no device runs it any more", now=now)
    for release, devices in running.items():
        named = ", ".join(devices[:_NAMED]) + (f" and {len(devices) - _NAMED} more" if len(devices) > _NAMED else "")
        title = f"{len(devices)} device{'s' if len(devices) > 1 else ''} still run {release}"
        detail = f"{reasons.get(release, '')}; it runs on {named}. Roll out a release that stands to them."
        topic = f"{_BARRED}{release}"
        open_alert(
            session,
            tenant,
            topic=topic,
            kind=AlertKind.TRUST,
            title=title,
            detail=detail,
            now=now,
            about=(None, release, None),
        )
        restate_alert(session, tenant, topic, title=title, detail=detail, now=now)
