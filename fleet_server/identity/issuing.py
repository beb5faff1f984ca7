"""Giving out device certificates: at enrollment for a token, later for a request signed with the enrolled key.

A renewal needs no certificate, so that a device that was off for months comes back; what it needs is a request that
the enrolled key has signed over a nonce of ours, fresh and used once [wire-7.3]. The nonce is the request's challenge
password (RFC 2985), so that one signature covers key and nonce. Names in requests are ignored: who a device is, the
database says.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import AttributeOID

from contracts.ids import parse_device_id, parse_tenant_id
from fleet_server.database.tables import DeviceRow
from fleet_server.errors import RenewalRefused, RequestRefused
from fleet_server.identity import store
from fleet_server.identity.nonces import check_nonce

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from contracts.enrollment import RenewalRequest
    from fleet_server.identity.authority import Authority

LONGEST_REQUEST = 4096


def key_of(request: str) -> Ed25519PublicKey:
    """Return the key that signed the certificate request (PEM).

    Raises:
        RequestRefused: it is no request, not signed by its own key, or the key is not ed25519.
    """
    return _public_key(_read(request))


def issue(
    session: Session, row: DeviceRow, *, authority: Authority, life: timedelta, now: datetime, nonce: str | None = None
) -> str:
    """Return a new certificate for the device's enrolled key, as PEM; it is written down.

    Raises:
        RenewalRefused: the nonce was used before.
        TooManyTries: the device asks too often.
    """
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(row.public_key))
    made = authority.for_device(row.tenant, row.id, key, now=now, life=life)
    store.record_certificate(session, row, made, nonce=nonce, now=now)
    return made.public_bytes(serialization.Encoding.PEM).decode("ascii")


def renew(
    session: Session, request: RenewalRequest, *, authority: Authority, life: timedelta, now: datetime
) -> tuple[DeviceRow, str]:
    """Return the device's row and a new certificate.

    Raises:
        RenewalRefused: no such device, another key, a nonce that does not count, or a revoked device.
        RequestRefused: the request is none.
    """
    asked = _read(request.csr)
    nonce = _nonce(asked)
    check_nonce(authority, nonce, now)
    row = session.get(DeviceRow, (parse_tenant_id(request.tenant), parse_device_id(request.device)))
    if row is None or _public_key(asked).public_bytes_raw().hex() != row.public_key:
        raise RenewalRefused(f"the request is not signed with the key that device {request.device!r} enrolled with")
    if row.revoked_at is not None:
        raise RenewalRefused(f"device {request.device!r} is revoked; enroll it anew under another name")
    return row, issue(session, row, authority=authority, life=life, now=now, nonce=nonce)


def _read(request: str) -> x509.CertificateSigningRequest:
    if len(request) > LONGEST_REQUEST:
        raise RequestRefused(f"the certificate request is over {LONGEST_REQUEST} characters")
    try:
        asked = x509.load_pem_x509_csr(request.encode())
        signed = asked.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise RequestRefused("csr is no certificate request in PEM, or not for an ed25519 key") from error
    if not signed:
        raise RequestRefused("the certificate request is not signed with its own key")
    return asked


def _public_key(asked: x509.CertificateSigningRequest) -> Ed25519PublicKey:
    try:
        key = asked.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RequestRefused("the certificate request holds no key that can be read") from error
    if not isinstance(key, Ed25519PublicKey):
        raise RequestRefused("the certificate request is not for an ed25519 key")
    return key


def _nonce(asked: x509.CertificateSigningRequest) -> str:
    try:
        return asked.attributes.get_attribute_for_oid(AttributeOID.CHALLENGE_PASSWORD).value.decode("ascii")
    except (x509.AttributeNotFound, ValueError) as error:
        raise RenewalRefused("the request carries no nonce; ask for one and sign it, too") from error
