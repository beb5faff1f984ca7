"""One deadline for a whole HTTPS answer, head and body.

``http.client`` bounds each wait for bytes, not how many there are: a server that sends one byte of an endless head now
and then would hold the asker for ever.
"""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def bound_answers(connection: http.client.HTTPConnection, limit_s: float, monotonic_s: Callable[[], float]) -> None:
    """Let each answer on the connection raise TimeoutError once it takes longer than ``limit_s``."""

    class Bounded(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, debuglevel: int = 0, method: str | None = None) -> None:
            super().__init__(sock, debuglevel, method)
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_Reader(raw, sock, ends_s=monotonic_s() + limit_s, monotonic_s=monotonic_s))

    connection.response_class = Bounded


class _Reader(io.RawIOBase):
    """Reads from the connection until the deadline."""

    def __init__(
        self, raw: io.RawIOBase, sock: socket.socket, *, ends_s: float, monotonic_s: Callable[[], float]
    ) -> None:
        self._raw = raw
        self._sock = sock
        self._ends_s = ends_s
        self._monotonic_s = monotonic_s
        self._wait_s = sock.gettimeout()

    def readable(self) -> bool:
        """Return True: it is for reading."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        """Read what comes, for as long as is left.

        Raises:
            TimeoutError: nothing is left.
        """
        left_s = self._ends_s - self._monotonic_s()
        if left_s <= 0:
            raise TimeoutError("the answer took too long")
        self._sock.settimeout(left_s if self._wait_s is None else min(left_s, self._wait_s))
        try:
            return self._raw.readinto(buffer)
        finally:
            if self._sock.fileno() >= 0:
                self._sock.settimeout(self._wait_s)

    def close(self) -> None:
        """Let go of the connection."""
        self._raw.close()
        super().close()
