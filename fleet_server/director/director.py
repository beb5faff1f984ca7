"""Signing on demand what one device should run now, and the time [wire-8.3].

A device asks for a timestamp with a nonce. The answer is signed for it alone, and so are the snapshot and the targets
that it leads to, where what the device should run has changed or their life is half over. Versions grow for each
device; the device's row is locked meanwhile, so that of two replicas none signs a version that the other signed too.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from contracts.codec import to_plain
from contracts.director import ASSIGNMENT_FIELD, TIME_FIELD, Assignment, TimeAnswer
from contracts.metadata import NONCE_BYTES, MetadataName
from fleet_server.database.session import reading, transaction
from fleet_server.director import store
from fleet_server.director.assigning import assigned_targets
from fleet_server.director.rate import Rate
from fleet_server.errors import MalformedRequest, TooManyTries
from fleet_server.releases.online_roles import next_version
from fleet_server.releases.store import DIRECTOR_ROOT, newest_document
from fleet_server.trust.signed_file import read_root

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session
    from tuf.api.metadata import Snapshot, Targets, Timestamp

    from contracts.ids import DeviceId, TenantId
    from fleet_server.clock import Clock
    from fleet_server.database.tables import DeviceRow
    from fleet_server.database.trust_tables import DirectorFileRow
    from fleet_server.trust.keys import KeyRing

_Signed = TypeVar("_Signed", "Targets", "Snapshot", "Timestamp")

LIFETIMES: Mapping[MetadataName, timedelta] = {
    MetadataName.TARGETS: timedelta(days=7),
    MetadataName.SNAPSHOT: timedelta(days=7),
    MetadataName.TIMESTAMP: timedelta(days=1),
}


class Director:
    """Signs for devices with the director's key."""

    def __init__(self, engine: Engine, clock: Clock, keys: KeyRing) -> None:
        """Sign for the devices in that database."""
        self._engine = engine
        self._clock = clock
        self._keys = keys
        self._rate = Rate()

    def timestamp(self, tenant: TenantId, device: DeviceId, nonce: bytes) -> bytes:
        """Return a fresh timestamp that answers the nonce; empty where there is no such device or no director's root.

        Raises:
            MalformedRequest: the nonce has not its length.
            TooManyTries: the device asks too often.
            ConfigError: the director's root names a key that is not here.
        """
        if len(nonce) != NONCE_BYTES:
            raise MalformedRequest(f"the nonce of {device} has {len(nonce)} bytes, not {NONCE_BYTES}")
        now = self._clock.now()
        if not self._rate.take(tenant, device, now):
            raise TooManyTries(f"{device} asks for a timestamp more than once a second", retry_after_s=1)
        with transaction(self._engine) as session:
            row = store.lock_device(session, tenant, device)
            root = newest_document(session, tenant, DIRECTOR_ROOT)
            if row is None or row.revoked_at is not None or root is None:
                return b""
            signer = self._keys.signer(read_root(root.text).signed.roles[MetadataName.TIMESTAMP].keyids)
            return _Desk(session, row, signer, now).timestamp(nonce)

    def file(self, tenant: TenantId, device: DeviceId, role: MetadataName, *, version: int) -> bytes:
        """Return the targets or the snapshot that was signed for the device; empty where there is no such version."""
        with reading(self._engine) as session:
            row = store.find_file(session, tenant, device, role, version=version)
        return row.text.encode() if row else b""


class _Desk:
    """One device's files at one moment, in a transaction that holds its row."""

    def __init__(self, session: Session, device: DeviceRow, signer: CryptoSigner, now: datetime) -> None:
        self._session = session
        self._device = device
        self._signer = signer
        self._now = now

    def timestamp(self, nonce: bytes) -> bytes:
        from tuf.api.metadata import MetaFile, Timestamp

        snapshot = self._snapshot()
        answer = TimeAnswer(tenant=self._device.tenant, device=self._device.id, nonce=nonce.hex(), at=self._now)
        signed = self._sign(
            Timestamp(
                version=self._next_version(MetadataName.TIMESTAMP),
                expires=self._expiry(MetadataName.TIMESTAMP),
                snapshot_meta=MetaFile.from_data(snapshot.version, snapshot.text.encode(), ["sha256"]),
                unrecognized_fields={TIME_FIELD: to_plain(answer)},
            ),
            MetadataName.TIMESTAMP,
        )
        return signed.text.encode()

    def _snapshot(self) -> DirectorFileRow:
        from tuf.api.metadata import MetaFile, Snapshot

        targets = self._targets()
        meta = {"targets.json": MetaFile.from_data(targets.version, targets.text.encode(), ["sha256"])}
        wanted = {"meta": {name: file.to_dict() for name, file in meta.items()}}
        known = self._current(MetadataName.SNAPSHOT, wanted)
        if known is not None:
            return known
        role = MetadataName.SNAPSHOT
        return self._sign(Snapshot(version=self._next_version(role), expires=self._expiry(role), meta=meta), role)

    def _targets(self) -> DirectorFileRow:
        from tuf.api.metadata import TargetFile, Targets

        named = assigned_targets(self._session, self._device)
        assignment = Assignment(tenant=self._device.tenant, device=self._device.id, generation=self._device.generation)
        wanted = {
            "targets": {path: dict(target) for path, target in named.items()},
            ASSIGNMENT_FIELD: to_plain(assignment),
        }
        known = self._current(MetadataName.TARGETS, wanted)
        if known is not None:
            return known
        role = MetadataName.TARGETS
        return self._sign(
            Targets(
                version=self._next_version(role),
                expires=self._expiry(role),
                targets={path: TargetFile.from_dict(dict(target), path) for path, target in named.items()},
                unrecognized_fields={ASSIGNMENT_FIELD: to_plain(assignment)},
            ),
            role,
        )

    def _current(self, role: MetadataName, wanted: Mapping[str, object]) -> DirectorFileRow | None:
        """Return the newest file where it says that, our key signed it, and less than half of its life is over."""
        from tuf.api.metadata import Metadata

        row = store.newest_file(self._session, self._device.tenant, self._device.id, role)
        if row is None or row.signed_at + LIFETIMES[role] / 2 <= self._now:
            return None
        metadata: Metadata[Targets] = Metadata.from_bytes(row.text.encode())
        said = metadata.signed.to_dict()
        is_ours = self._signer.public_key.keyid in metadata.signatures
        return row if is_ours and all(said.get(name) == value for name, value in wanted.items()) else None

    def _sign(self, signed: _Signed, role: MetadataName) -> DirectorFileRow:
        from tuf.api.metadata import Metadata

        metadata = Metadata(signed)
        metadata.sign(self._signer)
        return store.put_file(
            self._session,
            self._device.tenant,
            self._device.id,
            role,
            version=signed.version,
            text=metadata.to_bytes().decode(),
            now=self._now,
        )

    def _next_version(self, role: MetadataName) -> int:
        row = store.newest_file(self._session, self._device.tenant, self._device.id, role)
        return next_version(row.version if row else 0, self._now)

    def _expiry(self, role: MetadataName) -> datetime:
        return self._now.replace(microsecond=0) + LIFETIMES[role]
