"""What can go wrong on a device, by whose fault it is.

    AgentError
    ├── ConfigError           the configuration file: the operator's
    ├── StateError            the state folder: the operator's or the disk's
    │   ├── NotEnrolled           no identity yet
    │   ├── AlreadyEnrolled       an identity is there already
    │   ├── KeyExposed            others may read the device's key
    │   ├── AgentRunning          another agent holds the folder
    │   └── JournalCorrupt        the journal cannot be read
    ├── EnrollmentError       enrollment and renewal: the server's or the token's
    │   ├── ServerUnreachable     no answer
    │   ├── AuthorityRefused      an answer from somebody who is not this device's server
    │   └── EnrollmentRefused     an answer, and it is no
    ├── Refused               not trusted or not for this device: nothing is installed
    │   ├── ...                   what trust refuses: see ``edge_agent.trust.errors``
    │   ├── IndexMismatch         the chunk index is not the signed one
    │   ├── ChunkMismatch         a chunk is not the one in the index
    │   └── ArtifactMismatch      the whole is not what was signed
    ├── UpdateFailed          could not be fetched or installed: the environment's
    │   ├── MetadataMissing       the server has no such metadata
    │   ├── ChunksRefused         the server will not send the chunks
    │   ├── NothingArrives        no answer, where one is not waited for without end
    │   ├── DeltaUnusable         a delta leads nowhere; its artifact comes by chunks
    │   ├── DiskFull              no room
    │   ├── StorageFailed         the disk refuses for another reason
    │   ├── RestartedTooOften     the device restarted again and again in one state
    │   └── NothingToRevert       the spare slot is empty
    ├── ServingError          answering requests
    │   ├── RequestError          a request that cannot be answered: the client's
    │   │   ├── InvalidRequest        values, shapes or types that the model does not take
    │   │   └── ModelNotServed        no such model or version here
    │   ├── ModelRefused          the model file cannot be read or is not what its manifest says: the release's
    │   ├── InferenceFailed       failed on inputs that fit, or gave no numbers: the release's
    │   ├── EngineMissing         no runtime for the model's format: the installation's
    │   ├── AddressRefused        the server may not listen there: the configuration's
    │   └── NotWatched            a release answered that the sketcher had not been told of: ours
    ├── ReportTooLong         a report does not fit one message: the sketch plan's
    └── ProbationFailed       installed, tried, and found wanting: the release's
        ├── ProbationGolden       recorded inputs do not give the recorded outputs
        ├── ProbationLatency      slower than its budget
        ├── ProbationMemory       takes more memory than its budget
        └── ProbationCrashed      cannot be loaded or run

``code`` is the stable word that reports carry to the server; the message is a sentence with the
figures and the next action.
"""

from __future__ import annotations

from typing import ClassVar


class AgentError(Exception):
    """Root of what this package raises."""

    code: ClassVar[str] = "agent"


class ConfigError(AgentError):
    """The configuration cannot be used; the message names the file and the key."""

    code: ClassVar[str] = "config"


class StateError(AgentError):
    """The state folder is not as it must be."""

    code: ClassVar[str] = "state"


class NotEnrolled(StateError):
    """The device has no identity yet."""

    code: ClassVar[str] = "not_enrolled"


class AlreadyEnrolled(StateError):
    """The device has an identity; a second one would orphan the first."""

    code: ClassVar[str] = "already_enrolled"


class KeyExposed(StateError):
    """Others than the agent's user may read the device's key."""

    code: ClassVar[str] = "key_exposed"


class AgentRunning(StateError):
    """Another agent process holds the state folder."""

    code: ClassVar[str] = "agent_running"


class JournalCorrupt(StateError):
    """The journal is there and cannot be read."""

    code: ClassVar[str] = "journal_corrupt"


class EnrollmentError(AgentError):
    """The device could not be enrolled."""

    code: ClassVar[str] = "enrollment"


class ServerUnreachable(EnrollmentError):
    """The server gave no answer."""

    code: ClassVar[str] = "server_unreachable"


class AuthorityRefused(EnrollmentError):
    """Whoever answers is not the server whose authority the token or the enrollment names."""

    code: ClassVar[str] = "authority_refused"


class EnrollmentRefused(EnrollmentError):
    """The server answered no; ``reason`` is its stable word."""

    code: ClassVar[str] = "enrollment_refused"

    def __init__(self, message: str, *, reason: str) -> None:
        """Keep the server's word beside the sentence."""
        super().__init__(message)
        self.reason = reason


class Refused(AgentError):
    """Not trusted or not for this device; nothing was installed."""

    code: ClassVar[str] = "refused"


class IndexMismatch(Refused):
    """The chunk index is not the one that was signed."""

    code: ClassVar[str] = "index_mismatch"


class ChunkMismatch(Refused):
    """A chunk arrived with other bytes than the index states, again and again."""

    code: ClassVar[str] = "chunk_mismatch"


class ArtifactMismatch(Refused):
    """The whole artifact is not what was signed."""

    code: ClassVar[str] = "artifact_mismatch"


class UpdateFailed(AgentError):
    """The release could not be fetched or installed; the previous one runs."""

    code: ClassVar[str] = "update_failed"


class MetadataMissing(UpdateFailed):
    """The server has no such metadata."""

    code: ClassVar[str] = "metadata_missing"


class ChunksRefused(UpdateFailed):
    """The server will not send the chunks."""

    code: ClassVar[str] = "chunks_refused"


class NothingArrives(UpdateFailed):
    """Asked for again and again, and not answered: ends the way that was tried, never the update."""

    code: ClassVar[str] = "nothing_arrives"


class DeltaUnusable(UpdateFailed):
    """A delta is of no use here: the artifact's chunks are fetched, the update goes on."""

    code: ClassVar[str] = "delta_unusable"


class DiskFull(UpdateFailed):
    """The disk has no room for the release."""

    code: ClassVar[str] = "disk_full"


class StorageFailed(UpdateFailed):
    """The disk refuses to read or write."""

    code: ClassVar[str] = "storage_failed"


class RestartedTooOften(UpdateFailed):
    """The device restarted again and again in one state of the update."""

    code: ClassVar[str] = "restarted_too_often"


class NothingToRevert(UpdateFailed):
    """The spare slot holds no release to go back to."""

    code: ClassVar[str] = "nothing_to_revert"


class ReportTooLong(AgentError):
    """A report is longer than one message may be; the server would drop it each time."""

    code: ClassVar[str] = "report_too_long"


class ProbationFailed(AgentError):
    """The release was installed and tried, and is not fit to serve."""

    code: ClassVar[str] = "probation"


class ProbationGolden(ProbationFailed):
    """Recorded inputs do not give the recorded outputs."""

    code: ClassVar[str] = "probation_golden"


class ProbationLatency(ProbationFailed):
    """It answers slower than its own budget."""

    code: ClassVar[str] = "probation_latency"


class ProbationMemory(ProbationFailed):
    """It takes more memory than its own budget."""

    code: ClassVar[str] = "probation_memory"


class ProbationCrashed(ProbationFailed):
    """It cannot be loaded or run here."""

    code: ClassVar[str] = "probation_crashed"


class ServingError(AgentError):
    """Requests cannot be answered."""

    code: ClassVar[str] = "serving"


class RequestError(ServingError):
    """An inference request that cannot be answered; the message goes back to the client."""

    code: ClassVar[str] = "request"


class InvalidRequest(RequestError):
    """Values, shapes or types that the model does not take."""

    code: ClassVar[str] = "invalid_request"


class ModelNotServed(RequestError):
    """No such model or version here."""

    code: ClassVar[str] = "model_not_served"


class ModelRefused(ServingError):
    """A model file cannot be read, or is not what its manifest says."""

    code: ClassVar[str] = "model_refused"


class InferenceFailed(ServingError):
    """The runtime failed on inputs that fit the model, or gave something that is no number."""

    code: ClassVar[str] = "inference_failed"


class EngineMissing(ServingError):
    """No runtime for the model's format is installed."""

    code: ClassVar[str] = "engine_missing"


class AddressRefused(ServingError):
    """The inference server may not listen on that address."""

    code: ClassVar[str] = "address_refused"


class NotWatched(ServingError):
    """A release answered that the sketcher had not been told to watch."""

    code: ClassVar[str] = "not_watched"
