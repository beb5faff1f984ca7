"""The server's own roles in the model repository: snapshot and timestamp, signed online, renewed before they expire.

With the online key the server can say which signed targets are the newest, and nothing else. The snapshot names every
targets file that ever counted: TUF lets none disappear from it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from contracts.ids import TenantId
from contracts.metadata import MetadataName
from fleet_server.errors import TrustMissing
from fleet_server.releases import store
from fleet_server.trust.signed_file import read_root
from signing.metadata import whole_seconds

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner
    from sqlalchemy.orm import Session
    from tuf.api.metadata import Metadata, Snapshot, Timestamp

    from fleet_server.trust.keys import KeyRing

TIMESTAMP_LIFETIME = timedelta(days=1)
SNAPSHOT_LIFETIME = timedelta(days=7)
_KEPT_VERSIONS = 8
"""Older versions that stay readable for a device in the middle of a refresh."""


def sign_online_roles(session: Session, tenant: TenantId, keys: KeyRing, now: datetime) -> None:
    """Sign a new snapshot of the newest targets files, and a timestamp of it; nothing where there are none."""
    from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

    store.lock_tenant(session, tenant)
    files = store.newest_listing(session, tenant)
    if not files:
        return
    signer = _signer(session, tenant, keys)
    snapshot = Metadata(
        Snapshot(
            version=_next_version(session, tenant, MetadataName.SNAPSHOT, now),
            expires=whole_seconds(now + SNAPSHOT_LIFETIME),
            meta={
                f"{name}.json": MetaFile.from_data(row.version, row.text.encode(), ["sha256"])
                for name, row in files.items()
            },
        )
    )
    data = _put(session, tenant, MetadataName.SNAPSHOT, snapshot, signer=signer, now=now)
    timestamp = Metadata(
        Timestamp(
            version=_next_version(session, tenant, MetadataName.TIMESTAMP, now),
            expires=whole_seconds(now + TIMESTAMP_LIFETIME),
            snapshot_meta=MetaFile.from_data(snapshot.signed.version, data, ["sha256"]),
        )
    )
    _put(session, tenant, MetadataName.TIMESTAMP, timestamp, signer=signer, now=now)


def renew_online_roles(session: Session, tenant: TenantId, keys: KeyRing, now: datetime) -> bool:
    """Sign both roles anew where one of them is past half of its life; say whether that was so."""
    store.lock_tenant(session, tenant)
    lives = ((MetadataName.TIMESTAMP, TIMESTAMP_LIFETIME), (MetadataName.SNAPSHOT, SNAPSHOT_LIFETIME))
    newest = [(store.newest_document(session, tenant, role), life) for role, life in lives]
    if not any(document is not None and document.received_at + life / 2 <= now for document, life in newest):
        return False
    sign_online_roles(session, tenant, keys, now)
    return True


def next_version(previous: int, now: datetime) -> int:
    """Return the version after that one, and no lower than the seconds since 1970 [wire-8.5].

    So a server whose database was restored from a backup goes on above all that it ever signed, and no device takes
    its metadata for a replay of old ones.
    """
    return max(previous + 1, int(now.timestamp()))


def _signer(session: Session, tenant: TenantId, keys: KeyRing) -> CryptoSigner:
    root = store.newest_document(session, tenant, MetadataName.ROOT)
    if root is None:
        raise TrustMissing("this server trusts no root; run 'edgeship server trust' on it")
    return keys.signer(read_root(root.text).signed.roles[MetadataName.TIMESTAMP].keyids)


def _put(
    session: Session,
    tenant: TenantId,
    role: MetadataName,
    metadata: Metadata[Snapshot] | Metadata[Timestamp],
    *,
    signer: CryptoSigner,
    now: datetime,
) -> bytes:
    metadata.sign(signer)
    data = metadata.to_bytes()
    version = metadata.signed.version
    store.put_document(session, tenant, role, version=version, text=data.decode(), now=now)
    store.keep_documents(session, tenant, role, newest=_KEPT_VERSIONS)
    return data


def _next_version(session: Session, tenant: TenantId, role: MetadataName, now: datetime) -> int:
    newest = store.newest_document(session, tenant, role)
    return next_version(newest.version if newest else 0, now)
