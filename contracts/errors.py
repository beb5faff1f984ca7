"""What can be wrong with something that crossed a boundary.

    ContractError
    ├── InvalidId         a name does not have the form of its kind
    ├── DecodeError       bytes are not the message they claim to be
    ├── TopicError        a topic is not one of ours
    ├── ArtifactError     a file is no artifact, or its members do not match its manifest
    ├── DeltaError        bytes are no delta, or not one for this base
    └── TensorError       values do not fit the tensor they are for

Each message names the thing, the value and the next action; ``code`` is a stable word for
programs (reports, counters, HTTP answers).
"""

from __future__ import annotations

from typing import ClassVar


class ContractError(Exception):
    """Root of what this package raises."""

    code: ClassVar[str] = "contract"


class InvalidId(ContractError, ValueError):
    """A name does not have the form of its kind."""

    code: ClassVar[str] = "invalid_id"

    def __init__(self, what: str, value: str, advice: str) -> None:
        """Name the kind, the value (cut to 80 characters) and what would be right."""
        super().__init__(f"{what} {value[:80]!r} is not valid: {advice}")
        self.what = what
        self.value = value


class DecodeError(ContractError, ValueError):
    """Bytes are not the message they claim to be."""

    code: ClassVar[str] = "decode"


class TopicError(ContractError, ValueError):
    """A topic is not one of ours."""

    code: ClassVar[str] = "topic"


class ArtifactError(ContractError, ValueError):
    """A file is no artifact, or its members do not match its manifest."""

    code: ClassVar[str] = "artifact"


class DeltaError(ContractError, ValueError):
    """Bytes are no delta, or not one that makes the wanted artifact from this base."""

    code: ClassVar[str] = "delta"


class TensorError(ContractError, ValueError):
    """Values do not fit the tensor they are for."""

    code: ClassVar[str] = "tensor"
