"""How a device joins and stays: a certificate for a one-time token, and a new one before it expires, over HTTPS (JSON).

The token is ``SECRET.FINGERPRINT``: only the secret is sent, and only after the authority that the server shows
was found to have that fingerprint [wire-7.1].
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from contracts.ids import DeviceId, GroupName, ProfileName, TenantId

_TOKEN = re.compile(r"([A-Za-z0-9_-]{8,200})\.([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentToken:
    """The operator's word to a device. ``fingerprint`` is the SHA-256 of the authority's certificate (DER).

    >>> str(EnrollmentToken(secret="12345678", fingerprint="ab" * 32))[:12]
    '12345678.aba'
    """

    secret: str = field(repr=False)
    fingerprint: str

    def __str__(self) -> str:
        """Return it as it is handed over."""
        return f"{self.secret}.{self.fingerprint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityAnswer:
    """Server to device: the authority's certificate, PEM. Not to be believed unless its fingerprint is known."""

    authority: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentRequest:
    """Device to server. ``csr`` is a PKCS #10 request, PEM, for the device's ed25519 key; names in it are ignored.

    Where ``site`` is empty, the group stands in.
    """

    token: str = field(repr=False)
    device: DeviceId
    profile: ProfileName
    csr: str
    agent_version: str
    site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NonceAnswer:
    """Server to device: what the next request for a certificate must carry as its challenge password."""

    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalRequest:
    """Device to server: a ``csr`` (PKCS #10, PEM) that the enrolled key has signed over a fresh nonce."""

    tenant: TenantId
    device: DeviceId
    csr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrollmentAnswer:
    """Server to device: who it is now, its certificate, and where its broker listens.

    ``authorities`` are the certificates (PEM) to trust from now on: one, or two while the server changes its own.
    """

    tenant: TenantId
    device: DeviceId
    group: GroupName
    broker_host: str
    broker_port: int
    certificate: str
    authorities: str


def parse_enrollment_token(text: str) -> EnrollmentToken:
    """Return the token's two halves.

    Raises:
        ValueError: it has not the form of one.
    """
    found = _TOKEN.fullmatch(text.strip())
    if found is None:
        raise ValueError("an enrollment token is SECRET.FINGERPRINT, with 64 hexadecimal characters after the dot")
    return EnrollmentToken(secret=found[1], fingerprint=found[2])
