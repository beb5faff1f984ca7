"""One of the two repositories, verified from the root down by python-tuf's own rules [wire-5.2].

The chain starts at the root that the device was configured with and goes root by root to the newest; each step is
signed by the root before it and by itself. Then timestamp, snapshot, targets and, on demand, one team's targets. What
was verified lies in a folder, so that it need not be asked for again; what expired there, or was signed by keys that
a root has replaced, is asked for anew and stops nothing. Below what the memory holds nothing is taken.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, cast

from contracts.metadata import LIMITS_BYTES, MetadataName, MetadataRequest, RepositoryName
from edge_agent.errors import ConfigError, MetadataMissing, Refused
from edge_agent.trust.errors import (
    MetadataExpired,
    MetadataMalformed,
    MetadataMixed,
    MetadataRollback,
    MetadataTooLong,
    RoleRemoved,
    RootSkipped,
    SignatureRefused,
    TooManyRotations,
)
from edge_agent.trust.memory import Memory, version_of
from edge_agent.trust.spelling import check_spelling
from edge_agent.trust.teams import check_keys, check_no_further, check_teams

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tuf.api.metadata import DelegatedRole, Root, Signed, Snapshot, Targets
    from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet

    from edge_agent.disk import Disk
    from edge_agent.trust.source import MetadataSource

ROOT_ROTATIONS_LIMIT = 64
_WRONG_VERSIONS: Mapping[type[Refused], str] = {
    RootSkipped: "not the next version",
    MetadataRollback: "older than what this device has seen",
    MetadataMixed: "not the version that is named above them",
}


class Repository:
    """One repository as this device has verified it so far; made anew for each refresh."""

    def __init__(self, name: RepositoryName, root: Path, folder: Path, disk: Disk) -> None:
        """Start from the configured root and the newer ones that lie in the folder.

        Raises:
            ConfigError: the configured root cannot be used.
        """
        self.name = name
        self._folder = folder
        self._disk = disk
        self._trusted = self._start(root)

    @property
    def root_version(self) -> int:
        """The version of the newest root that is trusted."""
        return self._trusted.root.version

    def keys(self, role: str) -> tuple[str, ...]:
        """Return the ids of the keys that the newest root names for the role."""
        return tuple(self._trusted.root.roles[role].keyids)

    def judge_at(self, now: datetime) -> None:
        """Let expiry be judged by that time from now on."""
        self._trusted.reference_time = now

    def update_root(self, source: MetadataSource, memory: Memory) -> Memory:
        """Follow the chain to the newest root; an expired one leads to the next like any other.

        Raises:
            Refused: a root that is not signed by both thresholds, skips a version, or is older than one seen before.
        """
        for followed in count():
            version = self._trusted.root.version + 1
            try:
                data = self._ask(source, MetadataName.ROOT, version=version)
            except MetadataMissing:
                break
            if followed == ROOT_ROTATIONS_LIMIT:
                raise TooManyRotations(
                    f"{self.name} has more than {ROOT_ROTATIONS_LIMIT} new roots at once; those up to version "
                    f"{version - 1} were taken, the next offer goes on from there"
                )
            with _our_words(self._called(MetadataName.ROOT), RootSkipped):
                _check_root_keys(data)
                self._trusted.update_root(data)
            self._disk.write(self._path(f"{version}.root"), data)
        return self._remember(memory, MetadataName.ROOT, self._trusted.root.version, ())

    def ask_timestamp(self, source: MetadataSource, *, nonce: bytes = b"") -> tuple[bytes, Mapping[str, object]]:
        """Return a timestamp that is signed as it must be and not yet judged, with its fields of ours.

        Raises:
            SignatureRefused: it is not signed by the keys that the root names.
        """
        data = self._ask(source, MetadataName.TIMESTAMP, nonce=nonce)
        return data, self._signed(MetadataName.TIMESTAMP, data).unrecognized_fields

    def update_timestamp(self, data: bytes, memory: Memory) -> Memory:
        """Take the timestamp, judged by the time that was set.

        Raises:
            MetadataRollback: it is older than one seen before, or names an older snapshot.
            MetadataExpired: it, or the newest root, is past its date.
        """
        from tuf.api.exceptions import EqualVersionNumberError, RepositoryError

        path = self._path(MetadataName.TIMESTAMP)
        with contextlib.suppress(RepositoryError, OSError):  # expired or re-keyed: a floor if it verifies, else nothing
            self._trusted.update_timestamp(path.read_bytes())
        with _our_words(self._called(MetadataName.TIMESTAMP), MetadataRollback):
            try:
                version = self._trusted.update_timestamp(data).version
            except EqualVersionNumberError:  # the one that lies here, which may have expired meanwhile
                self._check_timestamp_date()
                return memory
        memory = self._remember(memory, MetadataName.TIMESTAMP, version, self.keys("timestamp"))
        self._disk.write(path, data)
        return memory

    def update_snapshot(self, source: MetadataSource, memory: Memory) -> Memory:
        """Take the snapshot that the timestamp names.

        Raises:
            MetadataMixed: it is another one.
            MetadataRollback: it names older targets than one seen before.
            RoleRemoved: it no longer names targets that one seen before named.
        """
        from tuf.api.exceptions import RepositoryError

        path, stated = self._path(MetadataName.SNAPSHOT), self._trusted.timestamp.snapshot_meta.version
        try:
            self._trusted.update_snapshot(path.read_bytes(), trusted=True)
        except (OSError, RepositoryError):
            data = self._ask(source, MetadataName.SNAPSHOT, version=stated)
            self._take_snapshot(data, stated)
            memory = self._remember(memory, MetadataName.SNAPSHOT, stated, self.keys("snapshot"))
            self._disk.write(path, data)
        return self._remember(memory, MetadataName.SNAPSHOT, stated, self.keys("snapshot"))

    def update_targets(self, source: MetadataSource, memory: Memory) -> tuple[Targets, Memory]:
        """Return the top targets that the snapshot names.

        Raises:
            MetadataMixed: they are others.
            DelegationRefused: they give a team more than a team may have.
        """
        targets = self._update_targets(source, MetadataName.TARGETS, "root")
        check_teams(targets)
        return targets, self._remember(memory, MetadataName.TARGETS, targets.version, self.keys("targets"))

    def update_team(self, source: MetadataSource, team: DelegatedRole, memory: Memory) -> tuple[Targets, Memory]:
        """Return the team's targets that the snapshot names.

        Raises:
            MetadataMixed: they are others.
            RoleRemoved: the snapshot does not name them.
            DelegationRefused: they delegate further.
        """
        targets = self._update_targets(source, team.name, MetadataName.TARGETS)
        check_no_further(team.name, targets)
        return targets, self._remember(memory, team.name, targets.version, team.keyids)

    def _start(self, root: Path) -> TrustedMetadataSet:
        from tuf.api.exceptions import RepositoryError
        from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
        from tuf.ngclient.config import EnvelopeType

        key = "trust_root" if self.name is RepositoryName.MODELS else "director_root"
        try:
            data = root.read_bytes()
            _check_root_keys(data)
            trusted = TrustedMetadataSet(data, EnvelopeType.METADATA)
        except OSError as error:
            raise ConfigError(
                f"cannot read {key} {root}: {error.strerror}; copy the root of the {self.name} repository there"
            ) from error
        except (RepositoryError, Refused) as error:
            raise ConfigError(f"{key} {root} is no TUF root that verifies itself: {error}") from error
        with contextlib.suppress(RepositoryError, OSError):
            while True:
                trusted.update_root(self._path(f"{trusted.root.version + 1}.root").read_bytes())
        return trusted

    def _check_timestamp_date(self) -> None:
        from tuf.api.exceptions import ExpiredMetadataError

        if self._trusted.timestamp.is_expired(self._trusted.reference_time):
            raise ExpiredMetadataError("timestamp.json is expired")

    def _take_snapshot(self, data: bytes, stated: int) -> None:
        from tuf.api.metadata import Snapshot

        new = cast("Snapshot", self._signed(MetadataName.SNAPSHOT, data))
        if new.version != stated:
            raise MetadataMixed(
                f"{self.name} snapshot has version {new.version}, the timestamp names {stated}; "
                "nothing was installed: someone mixes files, or the server lost its newest"
            )
        before = set(self._trusted.snapshot.meta) if Snapshot.type in self._trusted else set()
        if removed := sorted(before - set(new.meta)):
            raise RoleRemoved(
                f"{self.name} snapshot {stated} no longer names {', '.join(removed)}; nothing was installed: a "
                "snapshot names each targets file for ever, also those of teams that were revoked"
            )
        with _our_words(self._called(MetadataName.SNAPSHOT), MetadataRollback):
            self._trusted.update_snapshot(data)

    def _signed(self, name: MetadataName, data: bytes) -> Signed:
        """Return what the file says, its signatures verified by the newest root, its version and date not judged."""
        from tuf.api.metadata import Metadata

        with _our_words(self._called(name), MetadataMixed):
            metadata: Metadata[Root] = Metadata.from_bytes(data)  # of whatever role it says: that is checked next
            if metadata.signed.type != name:
                raise SignatureRefused(f"{self._called(name)} metadata are signed as {metadata.signed.type} metadata")
            self._trusted.root.verify_delegate(name, metadata.signed_bytes, metadata.signatures)
        return metadata.signed

    def _update_targets(self, source: MetadataSource, role: str, delegator: str) -> Targets:
        from tuf.api.exceptions import RepositoryError

        path = self._path(role)
        with contextlib.suppress(OSError, RepositoryError):
            return self._trusted.update_delegated_targets(path.read_bytes(), role, delegator)
        stated = self._trusted.snapshot.meta.get(f"{role}.json")
        if stated is None:
            raise RoleRemoved(f"{self.name} snapshot does not name {role}.json, which is delegated to; sign it anew")
        team = role if delegator != "root" else ""
        data = self._ask(source, MetadataName.TARGETS, version=stated.version, team=team)
        with _our_words(self._called(role), MetadataMixed):
            targets = self._trusted.update_delegated_targets(data, role, delegator)
        self._disk.write(path, data)
        return targets

    def _remember(self, memory: Memory, role: str, version: int, keys: Iterable[str]) -> Memory:
        mark = version_of(self.name, role)
        if version < (held := memory.held(mark, keys)):
            raise MetadataRollback(
                f"{self._called(role)} metadata are older than what this device has seen (version {version}, after "
                f"{held}); nothing was installed: someone replays old metadata, or the server lost its newest"
            )
        return memory.raised(mark, version, keys=keys)

    def _ask(
        self, source: MetadataSource, name: MetadataName, *, version: int = 0, team: str = "", nonce: bytes = b""
    ) -> bytes:
        limit = LIMITS_BYTES[name]
        asked = MetadataRequest(name=name, request=0, version=version, repository=self.name, team=team, nonce=nonce)
        data = source.metadata(asked, limit_bytes=limit)
        called = self._called(team or name)
        if len(data) > limit:
            raise MetadataTooLong(f"{called} metadata have more than {limit} bytes; they were not parsed")
        check_spelling(data, called)
        return data

    def _called(self, role: str) -> str:
        return f"{self.name} {role}"

    def _path(self, role: str) -> Path:
        return self._folder / f"{role}.json"


def _check_root_keys(data: bytes) -> None:
    from tuf.api.metadata import Metadata, Root

    signed = Metadata[Root].from_bytes(data).signed
    if isinstance(signed, Root):  # what is no root is refused as such, later
        check_keys(signed.keys, "root")


@contextmanager
def _our_words(called: str, wrong_version: type[Refused]) -> Iterator[None]:
    from tuf.api import exceptions
    from tuf.api.serialization import DeserializationError

    end = "nothing was installed"
    try:
        yield
    except exceptions.ExpiredMetadataError as error:
        raise MetadataExpired(f"{called} metadata are past their date ({error}); {end}: sign or renew them") from error
    except exceptions.BadVersionNumberError as error:
        raise wrong_version(
            f"{called} metadata are {_WRONG_VERSIONS[wrong_version]} ({error}); {end}: someone replays old metadata or "
            "mixes files, or the server lost its newest"
        ) from error
    except exceptions.LengthOrHashMismatchError as error:
        raise MetadataMixed(f"{called} metadata are not the file that is named above them ({error}); {end}") from error
    except exceptions.UnsignedMetadataError as error:
        raise SignatureRefused(
            f"{called} metadata are not signed by the keys that the trusted root names ({error}); {end}"
        ) from error
    except (DeserializationError, ValueError) as error:
        raise MetadataMalformed(f"{called} metadata cannot be read ({error}: {error.__cause__}); {end}") from error
    except exceptions.RepositoryError as error:
        raise SignatureRefused(f"{called} metadata are not what was signed ({error}); {end}") from error
