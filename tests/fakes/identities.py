"""A fleet's authority in a folder, and certificates for whoever a test needs: devices, strangers, the server itself."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.ids import DEFAULT_TENANT, DeviceId, TenantId
from edge_agent.identity.tls import pinned_tls
from fleet_server.identity.authority import Authority, Revoked, create_authority
from fleet_server.identity.certificates import keep_certificates, link_tls
from fleet_server.identity.folder import IdentityFolder, write_private

NAMES = ("127.0.0.1", "localhost")


@dataclass(kw_only=True)
class Papers:
    """Implements ``Credentials``: one device's certificate, in a file that never changes."""

    authority: str
    file: Path
    certificate: x509.Certificate
    version: int = 0
    refusals: int = 0

    @property
    def pem(self) -> str:
        """The certificate."""
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def tls(self) -> ssl.SSLContext:
        context = pinned_tls(self.authority)
        context.load_cert_chain(self.file)
        return context

    def note_refusal(self) -> None:
        self.refusals += 1


@dataclass(kw_only=True)
class Registry:
    """One authority and what it has signed."""

    folder: IdentityFolder
    authority: Authority
    revoked: list[Revoked] = field(default_factory=list)

    @classmethod
    def make(cls, folder: Path) -> Registry:
        """Return a new authority with the server's certificates and an empty revocation list."""
        identity = IdentityFolder(folder / "identity")
        now = datetime.now(UTC)
        authority = create_authority(identity, now)
        keep_certificates(authority, identity, names=NAMES, now=now)
        write_private(identity.revoked, authority.revocation_list([], now=now - timedelta(seconds=10)))
        return cls(folder=identity, authority=authority)

    def papers(
        self, device: str, *, tenant: TenantId = DEFAULT_TENANT, key: Ed25519PrivateKey | None = None, age_days: int = 0
    ) -> Papers:
        """Return a certificate of 30 days for the device, issued so many days ago."""
        key = key or Ed25519PrivateKey.generate()
        made = self.authority.for_device(
            tenant,
            DeviceId(device),
            key.public_key(),
            now=datetime.now(UTC) - timedelta(days=age_days),
            life=timedelta(days=30),
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path = self.folder.path / f"{tenant}-{device}-{made.serial_number:x}.pem"
        write_private(path, private + made.public_bytes(serialization.Encoding.PEM))
        return Papers(authority=self.authority.pem, file=path, certificate=made)

    def revoke(self, papers: Papers) -> None:
        """Put the certificate on the revocation list."""
        now = datetime.now(UTC)
        self.revoked.append(Revoked(serial=papers.certificate.serial_number, at=now))
        write_private(self.folder.revoked, self.authority.revocation_list(self.revoked, now=now))

    def server_tls(self) -> ssl.SSLContext:
        """Return what the server shows the broker."""
        return link_tls(self.folder)
