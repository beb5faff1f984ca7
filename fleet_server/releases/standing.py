"""How published releases stand: listed or not, revoked or not, above the security floor or below.

A release that is taken out of the signed listing is revoked, for good. A release that stands well may be offered and
is named by the director; any other never is.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import select, update
from sqlalchemy.orm import defer

from contracts.ids import ModelName, ProfileName, ReleaseId, TenantId, split_release_id
from contracts.release import target_path
from fleet_server.database.tables import ArtifactRow, DeviceRow, ReleaseRow
from fleet_server.database.trust_tables import SecurityFloorRow
from fleet_server.trust.listing import TOP

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from fleet_server.trust.listing import Listing


def take_in_listing(session: Session, tenant: TenantId, listing: Listing, now: datetime) -> tuple[ReleaseId, ...]:
    """Make the listing what counts: note what is listed, revoke what no longer is, raise floors.

    A release of a team whose file has to be signed anew is not listed, and not revoked either; nor is one whose model
    went to a team that has not signed it yet: only a role that listed it, and still may, takes it back.

    Returns:
        the releases that are revoked now and were not before.
    """
    by_path = {entry.artifact.path: entry for entry in listing.listed}
    kept: set[ReleaseId] = set()
    rows = session.scalars(
        select(ArtifactRow).options(defer(ArtifactRow.header)).where(ArtifactRow.tenant == tenant)
    ).all()
    for row in rows:
        path = target_path(*split_release_id(row.release), row.profile)
        entry = by_path.get(path)
        row.is_listed = entry is not None
        if entry is not None:
            row.listed_by, row.target = entry.role, dict(entry.target)
        moved = listing.responsible(path) not in (TOP, row.listed_by)
        if entry is not None or moved or row.listed_by in listing.unsigned:
            kept.add(row.release)
    _raise_floors(session, tenant, listing.floors, now)
    gone = sorted({row.release for row in rows} - kept)
    revoked = session.scalars(
        update(ReleaseRow)
        .where(ReleaseRow.tenant == tenant, ReleaseRow.id.in_(gone), ReleaseRow.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(ReleaseRow.id)
        .execution_options(synchronize_session="fetch")
    )
    return tuple(sorted(revoked))


def floors(session: Session, tenant: TenantId) -> Mapping[ModelName, int]:
    """Return the security floor of each model that has one."""
    rows = session.execute(
        select(SecurityFloorRow.model, SecurityFloorRow.counter)
        .where(SecurityFloorRow.tenant == tenant)
        .order_by(SecurityFloorRow.model)
    )
    return {model: counter for model, counter in rows}  # noqa: C416 - dict() of rows loses the types


def barred_releases(
    session: Session, tenant: TenantId, *, among: Collection[ReleaseId] | None = None
) -> Mapping[ReleaseId, str]:
    """Return why each release that may not be offered may not be (of those ``among``); the others are not in it."""
    listing = select(ArtifactRow.release).where(ArtifactRow.tenant == tenant, ArtifactRow.is_listed)
    releases = select(ReleaseRow).where(ReleaseRow.tenant == tenant)
    if among is not None:
        listing = listing.where(ArtifactRow.release.in_(among))
        releases = releases.where(ReleaseRow.id.in_(among))
    listed = set(session.scalars(listing))
    lowest = floors(session, tenant)
    barred: dict[ReleaseId, str] = {}
    for row in session.scalars(releases):
        if row.revoked_at is not None:
            barred[row.id] = f"it was revoked at {row.revoked_at:%Y-%m-%d %H:%M} UTC"
        elif row.counter < lowest.get(row.model, 0):
            barred[row.id] = (
                f"its counter {row.counter} is below {lowest[row.model]}, the security floor of {row.model}"
            )
        elif row.id not in listed:
            barred[row.id] = "its team has to sign its metadata anew"
    return barred


def why_barred(session: Session, tenant: TenantId, release: ReleaseId) -> str:
    """Return why the release may not be offered; empty where it may."""
    return barred_releases(session, tenant, among=(release,)).get(release, "")


def offerable_artifacts(
    session: Session, tenant: TenantId, profile: ProfileName, releases: Collection[ReleaseId]
) -> Mapping[ReleaseId, ArtifactRow]:
    """Return the artifact for the profile of each of the releases that may be offered and has one."""
    barred = barred_releases(session, tenant, among=releases)
    rows = session.scalars(
        select(ArtifactRow)
        .options(defer(ArtifactRow.header))
        .where(
            ArtifactRow.tenant == tenant,
            ArtifactRow.profile == profile,
            ArtifactRow.is_listed,
            ArtifactRow.release.in_(releases),
        )
    )
    return {row.release: row for row in rows if row.release not in barred}


def devices_running_barred(session: Session, tenant: TenantId) -> Mapping[ReleaseId, tuple[str, ...]]:
    """Return the devices that say they run a release that may not be offered, by release."""
    barred = barred_releases(session, tenant)
    found: dict[ReleaseId, list[str]] = {}
    if not barred:
        return {}
    rows = session.execute(
        select(DeviceRow.id, DeviceRow.running).where(DeviceRow.tenant == tenant).order_by(DeviceRow.id)
    )
    for device, running in rows:
        for release in running.values():
            if release in barred:
                found.setdefault(ReleaseId(release), []).append(device)
    return {release: tuple(devices) for release, devices in found.items()}


def _raise_floors(session: Session, tenant: TenantId, stated: Mapping[ModelName, int], now: datetime) -> None:
    """Raise the floors to those stated; none ever falls, also where the role that stated it is gone."""
    known = floors(session, tenant)
    for model, counter in stated.items():
        if counter > known.get(model, 0):
            session.merge(SecurityFloorRow(tenant=tenant, model=model, counter=counter, raised_at=now))
    session.flush()
