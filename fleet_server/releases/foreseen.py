"""Which deltas the devices of a rollout will ask for: from what they say they run, the most frequent first."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import select

from contracts.ids import Digest, ProfileName, ReleaseId, RolloutId, TenantId, split_release_id
from fleet_server.database.tables import ArtifactRow, DeviceRow, RolloutDeviceRow, RolloutRow
from fleet_server.rollouts.states import RolloutState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

Begun = tuple[TenantId, RolloutId]


def running_rollouts(session: Session) -> dict[Begun, ReleaseId]:
    """Return the release of each rollout that is under way."""
    query = select(RolloutRow.tenant, RolloutRow.id, RolloutRow.release).where(RolloutRow.state == RolloutState.RUNNING)
    return {(tenant, rollout): release for tenant, rollout, release in session.execute(query.order_by(RolloutRow.id))}


def pairs_of(session: Session, begun: Begun, release: ReleaseId) -> Iterator[tuple[Digest, Digest]]:
    """Yield base and target of each delta that the rollout's devices will ask for."""
    tenant, rollout = begun
    model = split_release_id(release)[0]
    devices = session.execute(
        select(DeviceRow.profile, DeviceRow.running)
        .join(
            RolloutDeviceRow, (RolloutDeviceRow.tenant == DeviceRow.tenant) & (RolloutDeviceRow.device == DeviceRow.id)
        )
        .where(RolloutDeviceRow.tenant == tenant, RolloutDeviceRow.rollout == rollout)
    )
    counted = Counter((profile, ReleaseId(running[model])) for profile, running in devices if model in running)
    for (profile, before), _ in sorted(counted.items(), key=lambda item: (-item[1], item[0])):
        base, target = (_digest(session, tenant, one, profile) for one in (before, release))
        if base and target and base != target:
            yield base, target


def _digest(session: Session, tenant: TenantId, release: ReleaseId, profile: ProfileName) -> Digest | None:
    return session.scalar(
        select(ArtifactRow.digest).where(
            ArtifactRow.tenant == tenant, ArtifactRow.release == release, ArtifactRow.profile == profile
        )
    )
