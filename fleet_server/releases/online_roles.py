"""The server's own TUF roles: snapshot and timestamp, signed online, renewed before they expire.

The key is made by ``edgeship server init`` (DATA/online.pem, mode 0600); its public half
(DATA/online.pub.json) goes to the release engineer, whose offline root names it. With it the server
can say which signed targets are the newest, and nothing else.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from contracts.codec import to_plain
from contracts.ids import TenantId
from contracts.metadata import MetadataName
from fleet_server.errors import ConfigError, DataDirUnusable
from fleet_server.releases import store
from signing.keys import PublicKey

if TYPE_CHECKING:
    from pathlib import Path

    from securesystemslib.signer import CryptoSigner
    from sqlalchemy.orm import Session
    from tuf.api.metadata import Metadata, Snapshot, Timestamp

PRIVATE_FILE = "online.pem"
PUBLIC_FILE = "online.pub.json"
TIMESTAMP_LIFETIME = timedelta(days=1)
SNAPSHOT_LIFETIME = timedelta(days=7)
_KEPT_VERSIONS = 8
"""Older versions that stay readable for a device in the middle of a refresh."""


@dataclass(frozen=True, slots=True)
class OnlineKey:
    """The key with which the server signs snapshot and timestamp."""

    signer: CryptoSigner

    @property
    def public(self) -> PublicKey:
        """The public half, as it is handed to the release engineer."""
        key = self.signer.public_key
        return PublicKey(keyid=key.keyid, keytype=key.keytype, scheme=key.scheme, public=str(key.keyval["public"]))


def create_online_key(data_dir: Path) -> OnlineKey:
    """Make the key, write both halves, and return it.

    Raises:
        DataDirUnusable: there is one already, or the folder cannot be written.
    """
    from securesystemslib.signer import CryptoSigner

    key = OnlineKey(CryptoSigner.generate_ed25519())
    path = data_dir / PRIVATE_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise DataDirUnusable(f"{path} exists: this server has its key; use another --data folder") from error
    except OSError as error:
        raise DataDirUnusable(f"cannot write {path}: {error.strerror}; choose another --data folder") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.signer.private_bytes)
        public = json.dumps(to_plain(key.public), indent=2) + "\n"
        (data_dir / PUBLIC_FILE).write_text(public, encoding="utf-8")
    except OSError as error:
        remove_online_key(data_dir)
        raise DataDirUnusable(f"cannot write {path}: {error.strerror}; free some room and run it again") from error
    return key


def remove_online_key(data_dir: Path) -> None:
    """Take back a key that no release repository has seen yet: a server that could not be made to the end."""
    (data_dir / PUBLIC_FILE).unlink(missing_ok=True)
    (data_dir / PRIVATE_FILE).unlink(missing_ok=True)


def load_online_key(data_dir: Path) -> OnlineKey:
    """Return the server's key.

    Raises:
        ConfigError: no key there, or a file that is none.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    path = data_dir / PRIVATE_FILE
    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise ConfigError(f"no server in {data_dir}; make one with 'edgeship server init --data {data_dir}'") from error
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} is no readable key; restore it from your backup") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(f"{path} is no ed25519 key; restore it from your backup")
    return OnlineKey(CryptoSigner(private))


def sign_online_roles(session: Session, tenant: TenantId, key: OnlineKey, now: datetime) -> None:
    """Sign a new snapshot of the newest targets, and a timestamp of it."""
    from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

    targets = store.newest_document(session, tenant, MetadataName.TARGETS)
    if targets is None:
        return
    snapshot = Metadata(
        Snapshot(
            version=_next_version(session, tenant, MetadataName.SNAPSHOT),
            expires=_whole(now + SNAPSHOT_LIFETIME),
            meta={"targets.json": MetaFile.from_data(targets.version, targets.text.encode(), ["sha256"])},
        )
    )
    data = _put(session, tenant, MetadataName.SNAPSHOT, snapshot, key=key, now=now)
    timestamp = Metadata(
        Timestamp(
            version=_next_version(session, tenant, MetadataName.TIMESTAMP),
            expires=_whole(now + TIMESTAMP_LIFETIME),
            snapshot_meta=MetaFile.from_data(snapshot.signed.version, data, ["sha256"]),
        )
    )
    _put(session, tenant, MetadataName.TIMESTAMP, timestamp, key=key, now=now)


def renew_online_roles(session: Session, tenant: TenantId, key: OnlineKey, now: datetime) -> bool:
    """Sign both roles anew where one of them is past half of its life; say whether that was so."""
    lives = ((MetadataName.TIMESTAMP, TIMESTAMP_LIFETIME), (MetadataName.SNAPSHOT, SNAPSHOT_LIFETIME))
    newest = [(store.newest_document(session, tenant, role), life) for role, life in lives]
    if not any(document is not None and document.received_at + life / 2 <= now for document, life in newest):
        return False
    sign_online_roles(session, tenant, key, now)
    return True


def _put(
    session: Session,
    tenant: TenantId,
    role: MetadataName,
    metadata: Metadata[Snapshot] | Metadata[Timestamp],
    *,
    key: OnlineKey,
    now: datetime,
) -> bytes:
    metadata.sign(key.signer)
    data = metadata.to_bytes()
    version = metadata.signed.version
    store.put_document(session, tenant, role, version=version, text=data.decode(), now=now)
    store.drop_documents(session, tenant, role, older_than=version - _KEPT_VERSIONS)
    return data


def _next_version(session: Session, tenant: TenantId, role: MetadataName) -> int:
    newest = store.newest_document(session, tenant, role)
    return newest.version + 1 if newest else 1


def _whole(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
