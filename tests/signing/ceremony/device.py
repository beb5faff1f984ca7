"""A device that knew the first root only, by python-tuf's own client rules; the server's part is played here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Targets, Timestamp
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from signing.publish import Submission


@dataclass(kw_only=True)
class OnlineRoles:
    """The server's snapshot and timestamp of what was published last."""

    online: CryptoSigner
    version: int = 0
    metas: dict[str, MetaFile] = field(default_factory=dict)

    def sign(self, submission: Submission, *, now: datetime) -> tuple[bytes, bytes]:
        """Return timestamp and snapshot that name what was submitted; a team once named stays named."""
        self.version += 1
        files = {"targets": submission.targets, **submission.teams}
        for name, text in files.items():
            version = Metadata[Targets].from_bytes(text.encode()).signed.version
            self.metas[f"{name}.json"] = MetaFile(version)
        snapshot = Metadata(Snapshot(version=self.version, expires=now + timedelta(days=7), meta=dict(self.metas)))
        snapshot.sign(self.online)
        timestamp = Metadata(Timestamp(version=self.version, expires=now + timedelta(days=1)))
        timestamp.signed.snapshot_meta = MetaFile(self.version)
        timestamp.sign(self.online)
        return timestamp.to_bytes(), snapshot.to_bytes()


def follow(
    first_root: bytes, submission: Submission, online: OnlineRoles, *, now: datetime, director: bool = False
) -> TrustedMetadataSet:
    """Return what a device with that first root trusts after one look at the server.

    Raises:
        tuf.api.exceptions.RepositoryError: it refuses.
    """
    trusted = TrustedMetadataSet(first_root, EnvelopeType.METADATA)
    trusted.reference_time = now
    for text in submission.director_roots if director else submission.roots:
        if Metadata.from_bytes(text.encode()).signed.version > trusted.root.version:
            trusted.update_root(text.encode())
    if director:
        return trusted
    timestamp, snapshot = online.sign(submission, now=now)
    trusted.update_timestamp(timestamp)
    trusted.update_snapshot(snapshot)
    trusted.update_targets(submission.targets.encode())
    return trusted


def install(trusted: TrustedMetadataSet, teams: Mapping[str, str], path: str) -> str:
    """Return the digest that the trusted metadata name for the path; a team's listing is verified first.

    Raises:
        LookupError: nothing names it.
        tuf.api.exceptions.RepositoryError: the team's listing is refused.
    """
    delegations = trusted.targets.delegations
    owners = [name for name, _ in delegations.get_roles_for_target(path)] if delegations else []
    listing = trusted.update_delegated_targets(teams[owners[0]].encode(), owners[0], "targets") if owners else None
    return (listing or trusted.targets).targets[path].hashes["sha256"]
