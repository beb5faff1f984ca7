"""Sketches in the database: windows come in, stay as they were sent, and are added up when somebody looks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

from sqlalchemy import select, update

from contracts.codec import decode, encode
from contracts.ids import DeviceId, Digest, ReleaseId, TenantId, parse_release_id
from contracts.sketch import Sketch, SketchPlan, merge
from fleet_server.database.tables import ArtifactRow, DeviceRow, SketchRow
from fleet_server.drift.baseline import fits, plan_of
from fleet_server.errors import RequestRefused

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

LIST_LIMIT = 200
EVIDENCE_LIMIT = 20_000


class SketchRefused(RequestRefused):
    """A window was not taken under the plan that it claims."""

    code: ClassVar[str] = "sketch_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Whose windows add up: one device, one release, one plan."""

    tenant: TenantId
    device: DeviceId
    release: ReleaseId
    plan: Digest


def record_sketch(session: Session, tenant: TenantId, device: DeviceId, sketch: Sketch, now: datetime) -> None:
    """Write the window down as it was sent; that it comes once is the inbox's care.

    Raises:
        InvalidId: the release's name has not the form of one.
        SketchRefused: it was not taken under the plan of the release's artifact for the device's profile.
    """
    release = parse_release_id(sketch.release)
    header = _header(session, tenant, device, release)
    if header is None or not fits(sketch, header):
        raise SketchRefused(
            f"a window of {device} under {release} does not fit the sketch plan of that release for its profile; "
            "is the release published here, and the agent its own?"
        )
    session.add(
        SketchRow(
            tenant=tenant,
            device=device,
            release=release,
            plan=sketch.plan,
            started_at=sketch.started_at,
            ended_at=sketch.ended_at,
            received_at=now,
            rows=sketch.rows,
            body=encode(sketch),
        )
    )
    session.flush()


def recent_sketches(
    session: Session,
    tenant: TenantId,
    *,
    device: DeviceId | None = None,
    release: ReleaseId | None = None,
    limit: int = LIST_LIMIT,
) -> tuple[Sketch, ...]:
    """Return the newest windows, newest first; only the device's and the release's, where they are named."""
    query = select(SketchRow.body).where(SketchRow.tenant == tenant)
    if device is not None:
        query = query.where(SketchRow.device == device)
    if release is not None:
        query = query.where(SketchRow.release == release)
    return tuple(decode(Sketch, body) for body in session.scalars(query.order_by(SketchRow.id.desc()).limit(limit)))


def recent_windows(session: Session, source: Source, *, limit: int) -> tuple[Sketch, ...]:
    """Return the newest windows that add up, newest first."""
    query = (
        select(SketchRow.body)
        .where(
            SketchRow.tenant == source.tenant,
            SketchRow.device == source.device,
            SketchRow.release == source.release,
            SketchRow.plan == source.plan,
        )
        .order_by(SketchRow.id.desc())
        .limit(limit)
    )
    return tuple(decode(Sketch, body) for body in session.scalars(query))


def merged_recent(
    session: Session, tenant: TenantId, *, device: DeviceId, release: ReleaseId, limit: int = 20
) -> tuple[Sketch, int] | None:
    """Return the device's newest windows of the release added up, and how many they are; None where there are none.

    Windows under the plan of the newest one alone count.
    """
    windows = recent_sketches(session, tenant, device=device, release=release, limit=limit)
    same = [window for window in windows if window.plan == windows[0].plan]
    return (reduce(merge, same), len(same)) if same else None


def sketches_since(
    session: Session,
    tenant: TenantId,
    *,
    devices: Collection[DeviceId],
    releases: Collection[ReleaseId],
    since: datetime,
) -> tuple[tuple[DeviceId, Sketch], ...]:
    """Return the windows of those devices under those releases that came in after that moment.

    The server's own clock decides: a device's may be wrong.
    """
    if not devices or not releases:
        return ()
    query = (
        select(SketchRow.device, SketchRow.body)
        .where(
            SketchRow.tenant == tenant,
            SketchRow.release.in_(releases),
            SketchRow.received_at > since,
            SketchRow.device.in_(devices),
        )
        .order_by(SketchRow.id.desc())
        .limit(EVIDENCE_LIMIT)
    )
    return tuple((device, decode(Sketch, body)) for device, body in session.execute(query))


def unexamined_sources(session: Session, *, limit: int) -> tuple[tuple[Source, int], ...]:
    """Return whose windows came in since the watch last looked, each with the id of its newest one."""
    query = (
        select(SketchRow.id, SketchRow.tenant, SketchRow.device, SketchRow.release, SketchRow.plan)
        .where(SketchRow.examined_at.is_(None))
        .order_by(SketchRow.id)
        .limit(limit)
    )
    newest: dict[Source, int] = {}
    for place, tenant, device, release, plan in session.execute(query):
        newest[Source(tenant=tenant, device=device, release=release, plan=plan)] = place
    return tuple(newest.items())


def mark_examined(session: Session, source: Source, *, up_to: int, now: datetime) -> None:
    """Note that the watch has seen the source's windows up to and with that id."""
    session.execute(
        update(SketchRow)
        .where(
            SketchRow.tenant == source.tenant,
            SketchRow.device == source.device,
            SketchRow.release == source.release,
            SketchRow.plan == source.plan,
            SketchRow.examined_at.is_(None),
            SketchRow.id <= up_to,
        )
        .values(examined_at=now)
    )


def fitting(session: Session, source: Source, windows: Sequence[Sketch]) -> tuple[SketchPlan | None, list[Sketch]]:
    """Return the plan that the source's artifact states, and the windows taken under it.

    None where no artifact of that release is known for the device's profile; a window whose plan or counts are not
    the artifact's is left out.
    """
    header = _header(session, source.tenant, source.device, source.release)
    if header is None:
        return None, []
    return plan_of(header), [window for window in windows if fits(window, header)]


def _header(session: Session, tenant: TenantId, device: DeviceId, release: ReleaseId) -> bytes | None:
    return session.scalar(
        select(ArtifactRow.header)
        .join(DeviceRow, (DeviceRow.tenant == ArtifactRow.tenant) & (DeviceRow.profile == ArtifactRow.profile))
        .where(ArtifactRow.tenant == tenant, ArtifactRow.release == release, DeviceRow.id == device)
    )
