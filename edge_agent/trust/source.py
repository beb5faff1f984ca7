"""Who is asked for metadata. Nothing that it answers is believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contracts.metadata import MetadataRequest


class MetadataSource(Protocol):
    """Whoever can be asked for metadata files."""

    def metadata(self, asked: MetadataRequest, *, limit_bytes: int) -> bytes:
        """Return the file as it was given.

        Raises:
            MetadataMissing: there is no such file.
            MetadataTooLong: it is longer than ``limit_bytes``.
        """
        ...
