"""What the inbox and the outbox keep in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from contracts.ids import BootId, DeviceId, TenantId
from fleet_server.broker.sequence import Heard
from fleet_server.database.tables import DeviceRow, InboundRow, OutboxRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

SENT_KEPT_FOR = timedelta(days=1)
BOOTS_KEPT = 8
"""A device that restarts for ever must not fill the table."""


@dataclass(frozen=True, slots=True)
class Source:
    """One boot of one device."""

    tenant: TenantId
    device: DeviceId
    boot: BootId


def find_heard(session: Session, source: Source) -> Heard:
    """Return which reports of that boot were heard."""
    row = session.get(InboundRow, (source.tenant, source.device, source.boot))
    if row is None:
        return Heard()
    return Heard(contiguous=row.contiguous, beyond=frozenset(row.beyond), gap_since=row.gap_since)


def put_heard(session: Session, source: Source, heard: Heard, now: datetime) -> None:
    """Write down which reports of that boot were heard; of a device's boots the newest few are kept."""
    row = session.get(InboundRow, (source.tenant, source.device, source.boot))
    if row is None:
        row = InboundRow(tenant=source.tenant, device=source.device, boot=source.boot, first_seen_at=now)
        session.add(row)
        _forget_old_boots(session, source)
    row.contiguous = heard.contiguous
    row.beyond = sorted(heard.beyond)
    row.gap_since = heard.gap_since
    session.flush()


def _forget_old_boots(session: Session, newcomer: Source) -> None:
    device = session.get_one(DeviceRow, (newcomer.tenant, newcomer.device))
    others = (
        select(InboundRow.boot)
        .where(
            InboundRow.tenant == newcomer.tenant,
            InboundRow.device == newcomer.device,
            InboundRow.boot.not_in((newcomer.boot, device.boot or newcomer.boot)),
        )
        .order_by(InboundRow.first_seen_at.desc(), InboundRow.boot)
        .offset(BOOTS_KEPT - 2)  # besides the newcomer and the one that speaks for the device now
    )
    session.execute(
        delete(InboundRow).where(
            InboundRow.tenant == newcomer.tenant,
            InboundRow.device == newcomer.device,
            InboundRow.boot.in_(session.scalars(others).all()),
        )
    )


def waiting_messages(session: Session, *, limit: int) -> Sequence[OutboxRow]:
    """Return the messages not yet sent, oldest first."""
    return session.scalars(
        select(OutboxRow).where(OutboxRow.sent_at.is_(None)).order_by(OutboxRow.id).limit(limit)
    ).all()


def mark_sent(session: Session, ids: Sequence[int], now: datetime) -> None:
    """Note that the broker has them; forget those sent more than a day ago."""
    session.execute(update(OutboxRow).where(OutboxRow.id.in_(ids)).values(sent_at=now))
    session.execute(delete(OutboxRow).where(OutboxRow.sent_at < now - SENT_KEPT_FOR))
