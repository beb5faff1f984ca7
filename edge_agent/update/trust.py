"""Which metadata this device believes: python-tuf's rules, our transport, our words [wire-5.2].

The chain starts at the root that the device was built with and goes root by root to the newest; each
step is signed by the root before it and by itself. Then timestamp, snapshot, targets. What was
verified is kept in a folder and is the floor for the next time: an older version is a rollback,
whoever sent it. Nothing here trusts the server, the broker or the offer.

Expired metadata stop new installs, never a model that serves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, cast

from contracts.codec import Plain, from_plain
from contracts.errors import DecodeError, InvalidId
from contracts.ids import ProfileName, ReleaseId, parse_digest, split_release_id
from contracts.metadata import LIMITS_BYTES, MetadataName
from contracts.release import ReleasedArtifact, TargetCustom, parse_target_path, target_path
from edge_agent.errors import (
    AgentTooOld,
    ConfigError,
    MetadataExpired,
    MetadataMissing,
    MetadataRollback,
    ProfileMismatch,
    ReleaseUnknown,
    SignatureRefused,
)
from edge_agent.version import AGENT_VERSION, version_key

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tuf.api.metadata import TargetFile, Targets
    from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet

    from edge_agent.disk import Disk

ROOT_ROTATIONS_LIMIT = 64


class MetadataSource(Protocol):
    """Whoever can be asked for metadata files."""

    def metadata(self, name: MetadataName, *, limit_bytes: int, version: int = 0, digest: str = "") -> bytes:
        """Return the file as it was given, or raise MetadataMissing."""
        ...


class Trust:
    """The trusted root's file, and the folder of what was verified under it."""

    def __init__(self, root: Path, folder: Path, disk: Disk) -> None:
        self._root = root
        self._folder = folder
        self._disk = disk

    def refresh(self, source: MetadataSource, *, now: datetime) -> TrustedTargets:
        """Return the newest signed targets, verified from the root down and kept as the new floor.

        Args:
            source: asked for what is newer than the floor.
            now: what expiry is judged by.

        Raises:
            SignatureRefused: a file is not signed by the keys that the root names, or is no metadata.
            MetadataRollback: a file is older than one that was verified here before.
            MetadataExpired: a file is past its date.
            MetadataMissing: the source lacks a file that must exist.
            ConfigError: the device's own root cannot be used.
        """
        trusted = self._start(now)
        self._update_root(trusted, source)
        self._update_timestamp(trusted, source)
        self._update_snapshot(trusted, source)
        self._update_targets(trusted, source)
        return TrustedTargets(trusted.targets)

    def check_root(self, *, now: datetime) -> int:
        """Return the version of the newest root that is trusted here.

        Raises:
            ConfigError: the device's own root cannot be used.
        """
        return self._start(now).root.version

    def _start(self, now: datetime) -> TrustedMetadataSet:
        from tuf.api.exceptions import RepositoryError
        from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
        from tuf.ngclient.config import EnvelopeType

        try:
            trusted = TrustedMetadataSet(self._root.read_bytes(), EnvelopeType.METADATA)
        except OSError as error:
            raise ConfigError(
                f"cannot read trust_root {self._root}: {error.strerror}; copy the release engineer's root.json there"
            ) from error
        except RepositoryError as error:
            raise ConfigError(f"trust_root {self._root} is no TUF root that verifies itself: {error}") from error
        trusted.reference_time = now
        with contextlib.suppress(RepositoryError, OSError):
            while True:
                trusted.update_root(self._path(MetadataName.ROOT, trusted.root.version + 1).read_bytes())
        return trusted

    def _update_root(self, trusted: TrustedMetadataSet, source: MetadataSource) -> None:
        for _ in range(ROOT_ROTATIONS_LIMIT):
            version = trusted.root.version + 1
            try:
                data = _ask(source, MetadataName.ROOT, version)
            except MetadataMissing:
                return
            with _our_words(MetadataName.ROOT):
                trusted.update_root(data)
            self._disk.write(self._path(MetadataName.ROOT, version), data)

    def _update_timestamp(self, trusted: TrustedMetadataSet, source: MetadataSource) -> None:
        from tuf.api.exceptions import EqualVersionNumberError, RepositoryError

        path = self._path(MetadataName.TIMESTAMP)
        with contextlib.suppress(RepositoryError, OSError):  # expired or re-keyed: a floor if it verifies, else nothing
            trusted.update_timestamp(path.read_bytes())
        data = _ask(source, MetadataName.TIMESTAMP)
        with _our_words(MetadataName.TIMESTAMP), contextlib.suppress(EqualVersionNumberError):
            trusted.update_timestamp(data)
            self._disk.write(path, data)

    def _update_snapshot(self, trusted: TrustedMetadataSet, source: MetadataSource) -> None:
        from tuf.api.exceptions import RepositoryError

        path = self._path(MetadataName.SNAPSHOT)
        try:
            trusted.update_snapshot(path.read_bytes(), trusted=True)
        except (OSError, RepositoryError):
            data = _ask(source, MetadataName.SNAPSHOT, trusted.timestamp.snapshot_meta.version)
            with _our_words(MetadataName.SNAPSHOT):
                trusted.update_snapshot(data)
            self._disk.write(path, data)

    def _update_targets(self, trusted: TrustedMetadataSet, source: MetadataSource) -> None:
        from tuf.api.exceptions import RepositoryError

        path = self._path(MetadataName.TARGETS)
        try:
            trusted.update_targets(path.read_bytes())
        except (OSError, RepositoryError):
            stated = trusted.snapshot.meta.get("targets.json")
            data = _ask(source, MetadataName.TARGETS, stated.version if stated else 0)
            with _our_words(MetadataName.TARGETS):
                trusted.update_targets(data)
            self._disk.write(path, data)

    def _path(self, name: MetadataName, version: int = 0) -> Path:
        return self._folder / (f"{version}.{name}.json" if version else f"{name}.json")


class TrustedTargets:
    """What the verified targets metadata name."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets

    def find(self, release: ReleaseId, profile: ProfileName) -> ReleasedArtifact:
        """Return the release's artifact for the profile, as it was signed.

        Raises:
            ReleaseUnknown: nothing signed has that release.
            ProfileMismatch: it was made for other profiles.
            AgentTooOld: it needs a newer agent.
        """
        path = target_path(*split_release_id(release), profile)
        target = self._targets.targets.get(path)
        if target is None:
            raise self._absent(release, profile)
        artifact = _artifact(path, target)
        custom = artifact.custom
        if custom.release != release or custom.profile != profile:
            raise ProfileMismatch(
                f"{path} is signed as {custom.release} for {custom.profile}, not as {release} for {profile}; "
                "sign the release again"
            )
        if version_key(custom.min_agent_version) > version_key(AGENT_VERSION):
            raise AgentTooOld(
                f"{release} needs agent {custom.min_agent_version}, this is {AGENT_VERSION}; update the agent first"
            )
        return artifact

    def _absent(self, release: ReleaseId, profile: ProfileName) -> ReleaseUnknown | ProfileMismatch:
        others = sorted(other for named, other in self._names() if named == release)
        if others:
            return ProfileMismatch(
                f"{release} has no artifact for profile {profile}; it was made for {', '.join(others)}"
            )
        return ReleaseUnknown(
            f"{release} is not in the signed metadata (targets version {self._targets.version}); "
            "publish it, or offer one that is"
        )

    def _names(self) -> Iterator[tuple[ReleaseId, ProfileName]]:
        for path in self._targets.targets:
            with contextlib.suppress(InvalidId):
                yield parse_target_path(path)


def _artifact(path: str, target: TargetFile) -> ReleasedArtifact:
    try:
        custom = from_plain(TargetCustom, cast("Plain", target.custom))
        digest = parse_digest(target.hashes["sha256"])
    except (DecodeError, InvalidId, KeyError) as error:
        raise ReleaseUnknown(f"the signed entry of {path} cannot be read ({error}); sign the release again") from error
    return ReleasedArtifact(path=path, profile=custom.profile, digest=digest, length=target.length, custom=custom)


def _ask(source: MetadataSource, name: MetadataName, version: int = 0) -> bytes:
    return source.metadata(name, version=version, limit_bytes=LIMITS_BYTES[name])


@contextmanager
def _our_words(name: MetadataName) -> Iterator[None]:
    from tuf.api import exceptions
    from tuf.api.serialization import DeserializationError

    end = "nothing was installed"
    try:
        yield
    except exceptions.ExpiredMetadataError as error:
        raise MetadataExpired(f"metadata are past their date ({error}); {end}: sign or renew them") from error
    except exceptions.BadVersionNumberError as error:
        raise MetadataRollback(
            f"{name} metadata are older than what this device has seen ({error}); {end}: someone replays old metadata, "
            "or the server lost its newest"
        ) from error
    except exceptions.UnsignedMetadataError as error:
        raise SignatureRefused(
            f"{name} metadata are not signed by the keys that the trusted root names ({error}); {end}"
        ) from error
    except (exceptions.RepositoryError, DeserializationError, ValueError) as error:
        raise SignatureRefused(f"{name} metadata are not what was signed ({error}); {end}") from error
