"""Which chunks an artifact has: chunk indexes as the server keeps them in memory, small and few."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from contracts.ids import Digest, TenantId
from fleet_server.database.session import reading
from fleet_server.releases import door, store

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from contracts.chunks import ChunkIndex

CHUNKS_KEPT = 200_000
"""Of all indexes together: 32 bytes each."""
_DIGEST_BYTES = 32


class Cut:
    """The digests of one artifact's chunks, in order, without an object for each."""

    def __init__(self, index: ChunkIndex) -> None:
        """Take the digests out of the index."""
        self._digests = b"".join(index.digests)

    def __len__(self) -> int:
        """Return how many chunks there are."""
        return len(self._digests) // _DIGEST_BYTES

    def digest(self, place: int) -> Digest:
        """Return the digest of the chunk at that place."""
        return Digest(self._digests[place * _DIGEST_BYTES : (place + 1) * _DIGEST_BYTES].hex())

    def has(self, digest: Digest) -> bool:
        """Whether a chunk has that digest."""
        wanted, at = bytes.fromhex(digest), -1
        while (at := self._digests.find(wanted, at + 1)) >= 0:
            if at % _DIGEST_BYTES == 0:
                return True
        return False


class Cuts:
    """The cuts that were asked for last."""

    def __init__(self, engine: Engine) -> None:
        """Read from that database."""
        self._engine = engine
        self._kept: OrderedDict[tuple[TenantId, Digest], Cut] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, tenant: TenantId, index: Digest) -> Cut:
        """Return the cut of the index with that digest.

        Raises:
            BytesMissing: there is no such index.
        """
        key = (tenant, index)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with reading(self._engine) as session:
            cut = Cut(door.read_index(store.find_index(session, tenant, index)))
        with self._lock:
            self._kept[key] = cut
            while len(self._kept) > 1 and sum(map(len, self._kept.values())) > CHUNKS_KEPT:
                self._kept.popitem(last=False)
        return cut
