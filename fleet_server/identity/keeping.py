"""What a running server holds of its identity: the authority, two kinds of TLS, and the revocations.

The certificates renew themselves, and TLS that is in use takes the new ones for the connections to come.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_server.errors import DataDirUnusable
from fleet_server.identity.authority import Authority, load_authority
from fleet_server.identity.certificates import keep_certificates, link_tls, listener_tls
from fleet_server.identity.folder import IdentityFolder
from fleet_server.identity.revocation import RevocationWatch, Tell

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from fleet_server.clock import Clock
    from fleet_server.config import ServerConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The parts; ``listener_tls`` is for the device listener, ``link_tls`` for the server's line to the broker."""

    folder: IdentityFolder
    authority: Authority
    names: tuple[str, ...]
    clock: Clock
    listener_tls: ssl.SSLContext
    link_tls: ssl.SSLContext
    revocations: RevocationWatch

    @classmethod
    def open(cls, config: ServerConfig, engine: Engine, clock: Clock) -> Identity:
        """Return the server's identity; its certificates and its revocation list are written where they must be.

        Raises:
            ConfigError: the authority is missing or damaged.
            DataDirUnusable: the folder cannot be written.
        """
        folder = IdentityFolder.of(config.data_dir)
        authority = load_authority(folder)
        keep_certificates(authority, folder, names=config.identity.names, now=clock.now())
        revocations = RevocationWatch(engine, clock, authority, folder)
        try:
            revocations.write_list()
        except OSError as error:
            raise DataDirUnusable(f"cannot write to {folder.path}: {error.strerror}; free some room") from error
        return cls(
            folder=folder,
            authority=authority,
            names=config.identity.names,
            clock=clock,
            listener_tls=listener_tls(folder),
            link_tls=link_tls(folder),
            revocations=revocations,
        )

    def renew(self, tell: Tell) -> None:
        """Renew the server's certificates where they are due, use them, and tell the broker.

        Raises:
            DataDirUnusable: the folder cannot be written.
        """
        if keep_certificates(self.authority, self.folder, names=self.names, now=self.clock.now()):
            self.listener_tls.load_cert_chain(self.folder.server)
            self.link_tls.load_cert_chain(self.folder.link)
            tell()
            log.info("server certificates renewed")
