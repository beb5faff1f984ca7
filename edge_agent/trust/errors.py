"""What the device does not believe, and why: one class and one stable code for each reason.

    Refused
    ├── SignatureRefused      not signed by enough of the keys that the root names
    ├── KeyRepeated           a key under another name than its own, to be counted twice
    ├── RootSkipped           a root that is not the next one
    ├── TooManyRotations      more new roots at once than a device follows
    ├── MetadataMalformed     not the one spelling of signed metadata
    ├── MetadataTooLong       more bytes than such a file may have
    ├── MetadataRollback      older than what this device has seen
    ├── MetadataMixed         not the file that the one above it names
    ├── MetadataExpired       past its date
    ├── RoleRemoved           a snapshot that hides a file it once named
    ├── DelegationRefused     a team with more power than a team may have
    ├── TimeUnanswered        the director's time does not answer this device's question
    ├── AssignedElsewhere     the director signed it for another device
    ├── AssignmentRefused     the director does not say one clear thing
    ├── ReleaseUnassigned     the director does not want it here
    ├── DirectorDisagrees     the director and the model repository say different things of it
    ├── ReleaseUnknown        no signed metadata name it
    ├── BelowFloor            revoked: older than the security floor
    ├── ProfileMismatch       made for other devices
    ├── RuntimeMissing        needs a runtime that is not installed here
    ├── AgentTooOld           needs a newer agent
    └── MemoryDamaged         what was trusted before cannot be read

A refusal stops an install and nothing else: what served before serves on.
"""

from __future__ import annotations

from typing import ClassVar

from edge_agent.errors import Refused


class SignatureRefused(Refused):
    """Metadata are not signed by enough of the keys that the trusted root names."""

    code: ClassVar[str] = "signature_refused"


class KeyRepeated(Refused):
    """A key stands under another name or in another spelling than its own, so that its signature could count twice."""

    code: ClassVar[str] = "key_repeated"


class RootSkipped(Refused):
    """A root does not have the version that follows the trusted one."""

    code: ClassVar[str] = "root_skipped"


class TooManyRotations(Refused):
    """More new roots follow each other than a device takes at once."""

    code: ClassVar[str] = "too_many_rotations"


class MetadataMalformed(Refused):
    """The bytes are not the one spelling of a metadata file: nested too deeply, a key twice, another form."""

    code: ClassVar[str] = "metadata_malformed"


class MetadataTooLong(Refused):
    """A metadata file has more bytes than one of its name may have; reading stopped there."""

    code: ClassVar[str] = "metadata_too_long"


class MetadataRollback(Refused):
    """Metadata are older than what this device has already seen."""

    code: ClassVar[str] = "metadata_rollback"


class MetadataMixed(Refused):
    """A metadata file is not the one that the file above it names."""

    code: ClassVar[str] = "metadata_mixed"


class MetadataExpired(Refused):
    """Metadata are past their date."""

    code: ClassVar[str] = "metadata_expired"


class RoleRemoved(Refused):
    """A snapshot no longer names a targets file that an older one named."""

    code: ClassVar[str] = "role_removed"


class DelegationRefused(Refused):
    """A delegation gives a team more than a team may have: foreign paths, further teams, or no end."""

    code: ClassVar[str] = "delegation_refused"


class TimeUnanswered(Refused):
    """The director's timestamp does not answer the question that this device has just asked."""

    code: ClassVar[str] = "time_unanswered"


class AssignedElsewhere(Refused):
    """The director signed it for another device."""

    code: ClassVar[str] = "assigned_elsewhere"


class AssignmentRefused(Refused):
    """The director's targets do not say one clear thing for this device."""

    code: ClassVar[str] = "assignment_refused"


class ReleaseUnassigned(Refused):
    """The director does not want the offered release on this device."""

    code: ClassVar[str] = "release_unassigned"


class DirectorDisagrees(Refused):
    """The director and the model repository say different things of the same path."""

    code: ClassVar[str] = "director_disagrees"


class ReleaseUnknown(Refused):
    """No signed metadata name the release."""

    code: ClassVar[str] = "release_unknown"


class BelowFloor(Refused):
    """The release was revoked: its counter is below the model's security floor."""

    code: ClassVar[str] = "below_floor"


class ProfileMismatch(Refused):
    """The release, or the artifact, was made for other devices."""

    code: ClassVar[str] = "profile_mismatch"


class RuntimeMissing(Refused):
    """The release needs a runtime that is not installed on this device."""

    code: ClassVar[str] = "runtime_missing"


class AgentTooOld(Refused):
    """The release needs a newer agent."""

    code: ClassVar[str] = "agent_too_old"


class MemoryDamaged(Refused):
    """Neither copy of what this device has trusted so far can be read; it never starts over by itself."""

    code: ClassVar[str] = "memory_damaged"
