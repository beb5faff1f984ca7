"""Which device is asking: the FastAPI dependency of every route under ``/api/v1/device``.

The listener leaves the certificate that TLS verified in the request's scope, where the ASGI specification
wants it (``extensions.tls.client_cert_chain``). Whether it still counts, the database says, at every request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cryptography import x509
from cryptography.x509.oid import NameOID
from fastapi import Depends
from starlette.requests import HTTPConnection

from contracts.errors import InvalidId
from contracts.ids import DeviceId, TenantId, parse_device_id, parse_tenant_id
from fleet_server.database.session import reading
from fleet_server.errors import CertificateRefused
from fleet_server.identity import store
from fleet_server.wiring import wiring_of


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownDevice:
    """The device whose certificate the connection shows."""

    tenant: TenantId
    device: DeviceId


def current_device(request: HTTPConnection) -> KnownDevice:
    """Return the device that asks.

    Raises:
        CertificateRefused: no certificate, not a device's, expired, or the device is revoked.
    """
    chain = request.scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", [])
    if not chain:
        raise CertificateRefused("show the device's certificate; 'edgeship agent enroll' gets one")
    certificate = x509.load_pem_x509_certificate(chain[0].encode("ascii"))
    known = named(certificate)
    wiring = wiring_of(request)
    with reading(wiring.engine) as session:
        in_force = store.is_in_force(
            session, known.tenant, known.device, serial=certificate.serial_number, now=wiring.clock.now()
        )
    if not in_force:
        raise CertificateRefused(
            f"the certificate of device {known.device!r} counts no more: it has expired, or the device is revoked"
        )
    return known


def named(certificate: x509.Certificate) -> KnownDevice:
    """Return the device that the certificate names.

    Raises:
        CertificateRefused: it names none.
    """
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    parts = str(names[0].value).split("/") if names else []
    try:
        if len(parts) == 3 and parts[1] == "d":
            return KnownDevice(tenant=parse_tenant_id(parts[0]), device=parse_device_id(parts[2]))
    except InvalidId as error:
        raise CertificateRefused(f"the certificate names no device: {error}") from error
    raise CertificateRefused("the certificate names no device")


CurrentDevice = Annotated[KnownDevice, Depends(current_device)]
