"""Two versions of a model with little between them, a device that runs the first, and what it hears of the delta."""

from __future__ import annotations

import contextlib
import random
from functools import cache
from pathlib import Path

from contracts.delta import DeltaNews, make
from contracts.ids import Digest, digest_of
from tests.fakes.device import FakeDevice, an_artifact
from tests.fakes.disk import PowerCut
from tests.fakes.repository import SignedRepository

LIVES_LIMIT = 10
MODEL = random.Random(1).randbytes(100_000)


@cache
def _moved() -> bytes:
    """Return the model after a change every few hundred bytes: no chunk of it is as before."""
    model = bytearray(MODEL)
    model[::200] = bytes(byte ^ 1 for byte in model[::200])
    return bytes(model)


BASE = an_artifact(version="1", counter=1, content=MODEL)
TARGET = an_artifact(version="2", counter=2, content=_moved())
DELTA = make(BASE, TARGET)


class Versions:
    """A device in that folder with version 1, offered version 2."""

    def __init__(self, folder: Path) -> None:
        self.repository = SignedRepository()
        self.repository.publish(BASE)
        self.chunks = len(self.repository.publish(TARGET, chunk_bytes=16_384).lengths)
        self.delta_chunks = 0
        self.device = FakeDevice(folder, self.repository)
        self.device.offer("digits@1")
        self.device.reports.clear()
        self.device.courier.sent.clear()
        self.device.courier.metadata_requests.clear()

    def offer_delta(self, delta: bytes = DELTA) -> DeltaNews:
        """Let the server have that delta from version 1 to 2."""
        news = self.repository.offer_delta(BASE, TARGET, delta)
        self.delta_chunks = len(self.repository.chunks[Digest(news.index)])
        return news

    def tell(self, *news: DeltaNews) -> None:
        """Let the device hear this, one after the other, and the last for ever."""
        self.repository.deltas[digest_of(BASE), digest_of(TARGET)] = list(news)

    def lives_until_it_ends(self, release: str) -> int:
        """Offer the release, and power up again after each cut; return how many cuts there were."""
        lives = 0
        self.device.restart()
        with contextlib.suppress(PowerCut):
            self.device.offer(release)
        while not (self.device.reports and self.device.last.state.is_final) and lives < LIVES_LIMIT:
            lives += 1
            self.device.restart()
            with contextlib.suppress(PowerCut):
                self.device.resume()
        return lives
