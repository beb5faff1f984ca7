"""The live stream: one computation a second for the whole process, its bytes handed to every viewer.

Nothing runs while nobody watches. A viewer that cannot keep up loses ticks and is given a snapshot
instead; a reading that fails ends all streams, and the pages come back with a wait (``web/src/feed.ts``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from itertools import count

from fleet_server.clock import Clock
from fleet_server.console.ticks import Pulse, pulse_of, snapshot_bytes, tick_bytes
from fleet_server.readmodel import OverviewView

TICK_S = 1.0
BACKLOG = 4
"""Ticks that wait for a slow viewer before it is sent a snapshot instead."""

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Viewer:
    """One open stream; ``None`` in the queue ends it."""

    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(maxsize=BACKLOG + 1))
    greeted: bool = False


class Hub:
    """Computes ticks while somebody watches. Lives in one event loop; readings run in a thread."""

    def __init__(self, read: Callable[[], OverviewView], clock: Clock, *, tick_s: float = TICK_S) -> None:
        self._read = read
        self._clock = clock
        self._tick_s = tick_s
        self._viewers: set[Viewer] = set()
        self._task: asyncio.Task[None] | None = None
        self._snapshot: bytes | None = None

    @property
    def watching(self) -> int:
        """How many streams are open."""
        return len(self._viewers)

    async def watch(self) -> AsyncGenerator[bytes, None]:
        """Yield a snapshot, then a tick a second, until the reading fails or the caller stops."""
        viewer = Viewer()
        self._viewers.add(viewer)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="console hub")
            self._task.add_done_callback(self._ended)
        elif self._snapshot is not None:
            viewer.queue.put_nowait(self._snapshot)
            viewer.greeted = True
        try:
            while (message := await viewer.queue.get()) is not None:
                yield message
        finally:
            self._viewers.discard(viewer)
            if not self._viewers and self._task is not None:
                self._task.cancel()
                self._forget()

    def end(self) -> None:
        """End every stream now: a server that stops would otherwise wait for them."""
        if self._task is not None:
            self._task.cancel()
        self._dismiss()

    async def _run(self) -> None:
        before: Pulse | None = None
        for seq in count():
            pulse = pulse_of(await asyncio.to_thread(self._read))
            self._tell(before, pulse, seq)
            before = pulse
            await asyncio.sleep(self._tick_s)

    def _tell(self, before: Pulse | None, pulse: Pulse, seq: int) -> None:
        at = self._clock.now()
        snapshot = snapshot_bytes(pulse, seq=seq, at=at)
        tick = tick_bytes(before, pulse, seq=seq, at=at) if before is not None else snapshot
        self._snapshot = snapshot
        for viewer in self._viewers:
            if viewer.queue.qsize() >= BACKLOG:
                _empty(viewer.queue)
                viewer.greeted = False
            viewer.queue.put_nowait(tick if viewer.greeted else snapshot)
            viewer.greeted = True

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("live stream ended", extra={"reason": str(error)})
        self._dismiss()

    def _dismiss(self) -> None:
        self._forget()
        for viewer in self._viewers:
            _empty(viewer.queue)
            viewer.queue.put_nowait(None)

    def _forget(self) -> None:
        self._task = None
        self._snapshot = None


def _empty(queue: asyncio.Queue[bytes | None]) -> None:
    with contextlib.suppress(asyncio.QueueEmpty):
        while True:
            queue.get_nowait()
