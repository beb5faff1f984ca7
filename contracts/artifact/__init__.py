"""The artifact file, which ``ARTIFACT.md`` describes clause by clause.

In story order: ``names`` says what things may be called, ``claims`` checks a manifest, ``layout`` writes and reads the
bytes, ``golden`` makes arrays of the recorded rows; ``documents`` spells JSON in one way, ``card`` is the model card,
``api`` how it is asked.
"""

from contracts.artifact.layout import (
    HEADER_LIMIT_BYTES,
    MAGIC,
    Artifact,
    ArtifactHeader,
    Member,
    golden_members,
    read_artifact,
    read_artifact_file,
    read_artifact_header,
    write_artifact,
)
from contracts.artifact.names import MODEL as MODEL_MEMBER
from contracts.artifact.names import Document, Side

__all__ = [
    "HEADER_LIMIT_BYTES",
    "MAGIC",
    "MODEL_MEMBER",
    "Artifact",
    "ArtifactHeader",
    "Document",
    "Member",
    "Side",
    "golden_members",
    "read_artifact",
    "read_artifact_file",
    "read_artifact_header",
    "write_artifact",
]
