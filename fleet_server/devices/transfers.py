"""How chunks went to a device, as people see it: whole artifacts and deltas, and what the deltas saved."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import select

from contracts.ids import DeviceId, Digest, TenantId
from fleet_server.database.delta_tables import DeltaRow
from fleet_server.database.tables import ArtifactRow, TransferRow
from fleet_server.devices.store import find_device
from fleet_server.readmodel import TransferView

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def list_transfers(session: Session, tenant: TenantId, device: DeviceId) -> tuple[TransferView, ...]:
    """Return how chunks went to the device, newest first.

    Raises:
        NotFound: no device of that name is enrolled.
    """
    find_device(session, tenant, device)
    rows = session.execute(
        select(TransferRow, ArtifactRow.release, ArtifactRow.length, DeltaRow.length)
        .outerjoin(
            ArtifactRow, (ArtifactRow.tenant == TransferRow.tenant) & (ArtifactRow.digest == TransferRow.artifact)
        )
        .outerjoin(
            DeltaRow,
            (DeltaRow.tenant == TransferRow.tenant)
            & (DeltaRow.target == TransferRow.artifact)
            & (DeltaRow.index_digest == TransferRow.index_digest),
        )
        .where(TransferRow.tenant == tenant, TransferRow.device == device)
        .order_by(TransferRow.started_at.desc())
    ).all()
    whole = Counter[Digest]()
    for row, _, _, delta_bytes in rows:
        whole[row.artifact] += row.published_bytes if delta_bytes is None else 0
    return tuple(
        TransferView(
            device=device,
            artifact=row.artifact,
            release=release,
            chunks=row.chunks,
            requested=row.requested,
            distinct=int.from_bytes(row.distinct_places, "little").bit_count(),
            repeated_verified=row.repeated_verified,
            published_bytes=row.published_bytes,
            by_delta=delta_bytes is not None,
            saved_bytes=_saved_bytes(row, length, delta_bytes, beside=whole[row.artifact]),
            started_at=row.started_at,
            updated_at=row.updated_at,
        )
        for row, release, length, delta_bytes in rows
    )


def _saved_bytes(row: TransferRow, length: int | None, delta_bytes: int | None, *, beside: int) -> int:
    """Return what a delta that was asked for in whole spared the device of the artifact; 0 for any other transfer."""
    distinct = int.from_bytes(row.distinct_places, "little").bit_count()
    if length is None or delta_bytes is None or distinct < row.chunks:
        return 0
    return max(0, length - delta_bytes - beside)
