"""Messages between the link's thread and the worker that takes them: in order, bounded in number and in bytes.

Whoever can reach the broker can fill a queue; it must not fill the memory.
"""

from __future__ import annotations

import queue
import threading

from contracts.topics import DeviceTopic

BYTES_LIMIT = 32 * 1024 * 1024


class Waiting:
    """What came in and was not looked at yet."""

    def __init__(self, limit: int, *, limit_bytes: int = BYTES_LIMIT) -> None:
        """Start empty, with room for so many messages of so many bytes together."""
        self._messages: queue.Queue[tuple[DeviceTopic, bytes]] = queue.Queue(limit)
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, topic: DeviceTopic, body: bytes) -> None:
        """Let the message wait.

        Raises:
            queue.Full: there is no room for it.
        """
        with self._lock:
            if self._bytes + len(body) > self._limit_bytes:
                raise queue.Full
            self._messages.put_nowait((topic, body))
            self._bytes += len(body)

    def take(self, timeout_s: float = 0.0) -> tuple[DeviceTopic, bytes]:
        """Return the message that waited longest.

        Raises:
            queue.Empty: none waits, nor came within that time.
        """
        topic, body = self._messages.get(timeout=timeout_s) if timeout_s else self._messages.get_nowait()
        with self._lock:
            self._bytes -= len(body)
        return topic, body
