"""What a device may ask of the device listener without a certificate: to join, and to stay."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends

from contracts.enrollment import AuthorityAnswer, EnrollmentAnswer, EnrollmentRequest, NonceAnswer, RenewalRequest
from fleet_server.database.session import transaction
from fleet_server.database.tables import DeviceRow
from fleet_server.devices import enrollment_store
from fleet_server.identity.issuing import issue, renew
from fleet_server.identity.nonces import new_nonce
from fleet_server.people.store import record_act
from fleet_server.wiring import Wiring, wiring_of

router = APIRouter()
Shared = Annotated[Wiring, Depends(wiring_of)]


@router.get("/authority")
def get_authority(wiring: Shared) -> AuthorityAnswer:
    """Show the authority's certificate; a device compares it with the fingerprint in its token."""
    return AuthorityAnswer(authority=wiring.authority.pem)


@router.post("/enroll")
def enroll_device(request: EnrollmentRequest, wiring: Shared) -> EnrollmentAnswer:
    """Let the device in and give it its first certificate."""
    now = wiring.clock.now()
    with transaction(wiring.engine) as session:
        row = enrollment_store.enroll(session, request, now)
        certificate = issue(session, row, authority=wiring.authority, life=_life(wiring), now=now)
        record_act(session, row.tenant, actor=f"device {row.id}", action="device.enroll", thing=row.id, now=now)
    return _answer(wiring, row, certificate)


@router.get("/renew")
def get_nonce(wiring: Shared) -> NonceAnswer:
    """Give out a nonce for a renewal."""
    return NonceAnswer(nonce=new_nonce(wiring.authority, wiring.clock.now()))


@router.post("/renew")
def renew_certificate(request: RenewalRequest, wiring: Shared) -> EnrollmentAnswer:
    """Give the device a new certificate; also after its old one has expired."""
    now = wiring.clock.now()
    with transaction(wiring.engine) as session:
        row, certificate = renew(session, request, authority=wiring.authority, life=_life(wiring), now=now)
    return _answer(wiring, row, certificate)


def _life(wiring: Wiring) -> timedelta:
    return timedelta(days=wiring.config.identity.certificate_days)


def _answer(wiring: Wiring, row: DeviceRow, certificate: str) -> EnrollmentAnswer:
    broker = wiring.config.broker
    return EnrollmentAnswer(
        tenant=row.tenant,
        device=row.id,
        group=row.group_name,
        broker_host=broker.host,
        broker_port=broker.port,
        certificate=certificate,
        authorities=wiring.authority.pem,
    )
