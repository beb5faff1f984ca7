"""The server's own certificates: made, renewed at two thirds of their life, and turned into TLS.

One is shown to devices (by the device listener and by the broker that edgeship starts), the other to the broker.
Key and certificate share one file, so that no reader ever finds a pair that does not belong together.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fleet_server.errors import DataDirUnusable
from fleet_server.identity.authority import Authority, private_pem
from fleet_server.identity.folder import IdentityFolder, write_private

SERVER_LIFE = timedelta(days=90)
RENEW_AFTER = 2 / 3


def keep_certificates(authority: Authority, folder: IdentityFolder, *, names: Sequence[str], now: datetime) -> bool:
    """Make the server's certificates where they are missing, due, or under other names; return whether any was.

    Raises:
        DataDirUnusable: the folder cannot be written.
    """
    shown = _found(folder.server)
    linked = _found(folder.link)
    stale = shown is None or _is_due(shown, authority, now) or _names(shown) != sorted(names)
    stale_link = linked is None or _is_due(linked, authority, now)
    try:
        if stale:
            key = ec.generate_private_key(ec.SECP256R1())
            made = authority.for_server(names, key.public_key(), now=now, life=SERVER_LIFE)
            _write(folder.server, key, made, authority)
        if stale_link:
            key = ec.generate_private_key(ec.SECP256R1())
            made = authority.for_link(key.public_key(), now=now, life=SERVER_LIFE)
            _write(folder.link, key, made, authority)
    except OSError as error:
        raise DataDirUnusable(f"cannot write to {folder.path}: {error.strerror}; free some room") from error
    return stale or stale_link


def listener_tls(folder: IdentityFolder) -> ssl.SSLContext:
    """Return the TLS of a listener for devices: a client may show a certificate; one that is not ours ends it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(folder.authority)
    context.load_cert_chain(folder.server)
    return context


def link_tls(folder: IdentityFolder) -> ssl.SSLContext:
    """Return the TLS of the server's own connection to the broker: our authority and no other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(folder.authority)
    context.load_cert_chain(folder.link)
    return context


def _found(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _is_due(certificate: x509.Certificate, authority: Authority, now: datetime) -> bool:
    began, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return certificate.issuer != authority.certificate.subject or now >= began + (ends - began) * RENEW_AFTER


def _names(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = [str(address) for address in found.get_values_for_type(x509.IPAddress)]
    return sorted([*addresses, *found.get_values_for_type(x509.DNSName)])


def _write(path: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, authority: Authority) -> None:
    shown = certificate.public_bytes(serialization.Encoding.PEM)
    write_private(path, private_pem(key) + shown + authority.pem.encode("ascii"))
