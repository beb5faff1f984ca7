"""What lies where in DATA/identity, and writing it: private, durable, and never half.

ca.pem            the authority's certificate: what devices pin, and brokers check devices against
ca.key.pem        the authority's private key
server.pem        key and certificate with which server and broker show themselves to devices
link.pem          key and certificate with which the server shows itself to the broker
crl.pem           certificates that count no more, for the broker
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from signing.durable_file import write_durably


@dataclass(frozen=True, slots=True)
class IdentityFolder:
    """The folder ``path`` and the paths in it; nothing is made by asking."""

    path: Path

    @classmethod
    def of(cls, data_dir: Path) -> IdentityFolder:
        """Return that of the server in the data folder."""
        return cls(data_dir / "identity")

    @property
    def authority(self) -> Path:
        """The authority's certificate."""
        return self.path / "ca.pem"

    @property
    def authority_key(self) -> Path:
        """The authority's private key."""
        return self.path / "ca.key.pem"

    @property
    def server(self) -> Path:
        """Key and certificate shown to devices."""
        return self.path / "server.pem"

    @property
    def link(self) -> Path:
        """Key and certificate shown to the broker."""
        return self.path / "link.pem"

    @property
    def revoked(self) -> Path:
        """The certificate revocation list."""
        return self.path / "crl.pem"


def write_private(path: Path, data: bytes) -> None:
    """Make the file hold exactly these bytes, for its owner alone, all at once.

    Raises:
        OSError: the folder cannot be written.
    """
    write_durably(path, data, mode=0o600)
