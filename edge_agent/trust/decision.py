"""What both repositories name, and whether this device may take it: no disk, no network, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from contracts.codec import Plain, from_plain
from contracts.errors import DecodeError, InvalidId
from contracts.ids import parse_digest
from contracts.release import ReleasedArtifact, TargetCustom, parse_target_path
from edge_agent.trust.errors import (
    AgentTooOld,
    BelowFloor,
    DirectorDisagrees,
    ProfileMismatch,
    ReleaseUnknown,
    RuntimeMissing,
)
from edge_agent.version import AGENT_VERSION, version_key

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

    from contracts.ids import DeviceId, ProfileName, ReleaseId, TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """For whom it is judged: the device's place, its profile, and the model formats whose runtime is installed."""

    tenant: TenantId
    device: DeviceId
    profile: ProfileName
    runtimes: frozenset[str]


def agreed(path: str, named: TargetFile, released: TargetFile | None) -> ReleasedArtifact:
    """Return the artifact that the director and the model repository name alike.

    Raises:
        ReleaseUnknown: nothing released has that path, or its entry cannot be read.
        DirectorDisagrees: length, hashes or custom differ.
        ProfileMismatch: it is signed as something else than its path says.
    """
    if released is None:
        raise ReleaseUnknown(
            f"{path} is not in the signed metadata of the model repository, though the director names it; "
            "sign and publish it first"
        )
    for what, ours, theirs in (
        ("length", released.length, named.length),
        ("hashes", released.hashes, named.hashes),
        ("custom", released.custom, named.custom),
    ):
        if ours != theirs:
            raise DirectorDisagrees(
                f"{path}: the model repository states {what} {str(ours)[:120]}, the director {str(theirs)[:120]}; "
                "nothing is installed: look after the director's key"
            )
    return _read(path, released)


def check_fits(artifact: ReleasedArtifact, subject: Subject, *, floor: int) -> None:
    """Return where the device may install it.

    Raises:
        ProfileMismatch: it was made for other devices.
        RuntimeMissing: its runtime is not installed.
        AgentTooOld: it needs a newer agent.
        BelowFloor: it was revoked.
    """
    custom = artifact.custom
    if custom.profile != subject.profile:
        raise ProfileMismatch(
            f"{artifact.path} was made for profile {custom.profile}, this device is a {subject.profile}; "
            "assign what was made for it"
        )
    if custom.runtime not in subject.runtimes:
        raise RuntimeMissing(
            f"{custom.release} needs the runtime {custom.runtime or '(none stated: sign it again)'}, installed here: "
            f"{', '.join(sorted(subject.runtimes)) or 'none'}; install it on the device, or release another format"
        )
    if version_key(custom.min_agent_version) > version_key(AGENT_VERSION):
        raise AgentTooOld(
            f"{custom.release} needs agent {custom.min_agent_version}, this is {AGENT_VERSION}; update the agent first"
        )
    check_floor(custom.release, custom.counter, floor)


def check_floor(release: ReleaseId, counter: int, floor: int) -> None:
    """Return where the counter is not below the floor.

    Raises:
        BelowFloor: it is.
    """
    if counter < floor:
        raise BelowFloor(
            f"{release} has release counter {counter}, below the security floor of {floor}: it was revoked; "
            "take a newer release"
        )


def _read(path: str, target: TargetFile) -> ReleasedArtifact:
    try:
        custom = from_plain(TargetCustom, cast("Plain", target.custom))
        digest = parse_digest(target.hashes["sha256"])
        release, profile = parse_target_path(path)
    except (DecodeError, InvalidId, KeyError) as error:
        raise ReleaseUnknown(f"the signed entry of {path} cannot be read ({error}); sign the release again") from error
    if (custom.release, custom.profile) != (release, profile):
        raise ProfileMismatch(
            f"{path} is signed as {custom.release} for {custom.profile}, not as {release} for {profile}; "
            "sign the release again"
        )
    return ReleasedArtifact(path=path, profile=profile, digest=digest, length=target.length, custom=custom)
