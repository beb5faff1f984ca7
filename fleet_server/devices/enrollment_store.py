"""How a device joins: a one-time token for a place in a group.

Tokens are random; only their hash is kept. A device that asks again with the key it enrolled with gets
the same answer (its first one may have been lost on the way), and uses nothing up.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import update

from contracts.ids import GroupName, ProfileName, TenantId, parse_device_id, parse_profile_name, parse_site_name
from device_profiles import load_profile
from device_profiles.errors import UnknownProfile
from fleet_server.database.tables import DeviceGroupRow, DeviceRow, EnrollmentTokenRow
from fleet_server.errors import EnrollmentRefused, NotFound, RequestRefused
from fleet_server.identity.authority import device_name
from fleet_server.identity.issuing import key_of
from fleet_server.people.store import new_secret, secret_hash

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from contracts.enrollment import EnrollmentRequest

MOST_USES = 10_000
LONGEST = timedelta(days=366)


def create_enrollment_token(
    session: Session, tenant: TenantId, group: GroupName, *, uses: int, ttl_s: int, actor: str, now: datetime
) -> str:
    """Return a new token that lets so many devices into the group, for so many seconds.

    Raises:
        NotFound: there is no such group.
        RequestRefused: no uses, no time, or too much of either.
    """
    if not 0 < uses <= MOST_USES or not 0 < ttl_s <= LONGEST.total_seconds():
        raise RequestRefused(
            f"a token needs 1 to {MOST_USES} uses and 1 s to {LONGEST.days} days, not {uses} and {ttl_s} s"
        )
    if session.get(DeviceGroupRow, (tenant, group)) is None:
        raise NotFound("group", group, "make it with 'edgeship fleet group create NAME'")
    token = new_secret()
    session.add(
        EnrollmentTokenRow(
            hash=secret_hash(token),
            tenant=tenant,
            group_name=group,
            uses_left=uses,
            created_by=actor,
            created_at=now,
            expires_at=now + timedelta(seconds=ttl_s),
        )
    )
    session.flush()
    return token


def enroll(session: Session, request: EnrollmentRequest, now: datetime) -> DeviceRow:
    """Return the device's row, which is new unless it is the same device again.

    Raises:
        EnrollmentRefused: the token is not valid, or the name belongs to a device with another key.
        InvalidId: device or profile have not the form of a name.
        RequestRefused: the certificate request is none, the name is too long for a certificate, or the catalog has
            no such profile.
    """
    device = parse_device_id(request.device)
    profile = _profile(request.profile)
    public_key = key_of(request.csr).public_bytes_raw().hex()
    site = parse_site_name(request.site) if request.site else None
    token = session.get(EnrollmentTokenRow, secret_hash(request.token))
    if token is None or token.expires_at <= now:
        raise EnrollmentRefused("the enrollment token is not valid or has expired; ask the operator for a new one")
    known = session.get(DeviceRow, (token.tenant, device))
    if known is not None:
        if known.public_key != public_key:
            raise EnrollmentRefused(
                f"device {device!r} is enrolled with another key; choose another name, or have the operator remove it"
            )
        if known.revoked_at is not None:
            raise EnrollmentRefused(f"device {device!r} is revoked; enroll it anew under another name")
        return known
    device_name(token.tenant, device)
    _use(session, token)
    row = DeviceRow(
        tenant=token.tenant,
        id=device,
        group_name=token.group_name,
        profile=profile,
        public_key=public_key,
        site=site,
        agent_version=request.agent_version[:64],
        enrolled_at=now,
        running={},
    )
    session.add(row)
    session.flush()
    return row


def _use(session: Session, token: EnrollmentTokenRow) -> None:
    # one statement, so that two devices at the same moment can't both take the last use
    taken = session.execute(
        update(EnrollmentTokenRow)
        .where(EnrollmentTokenRow.hash == token.hash, EnrollmentTokenRow.uses_left > 0)
        .values(uses_left=EnrollmentTokenRow.uses_left - 1)
        .returning(EnrollmentTokenRow.uses_left)
    ).first()
    if taken is None:
        raise EnrollmentRefused("the enrollment token is used up; ask the operator for a new one")


def _profile(text: str) -> ProfileName:
    try:
        return load_profile(parse_profile_name(text)).name
    except UnknownProfile as error:
        raise RequestRefused(str(error)) from error
