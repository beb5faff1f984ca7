"""Chunks over HTTPS, one at a time over one connection: the way round a broker that gives nothing [wire-5.9].

What comes is not trusted: whoever asked hashes it. An answer, head and body, has ``DEADLINE_S`` in all and the length
that the signed index states, so a server that drips or never ends costs a minute and one chunk of memory.
"""

from __future__ import annotations

import http.client
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge_agent.identity.deadline import bound_answers

if TYPE_CHECKING:
    import ssl

    from contracts.ids import Digest
    from edge_agent.clock import Clock

log = logging.getLogger(__name__)

PATH = "/api/v1/device/chunks/"
DEADLINE_S = 60.0
TIMEOUT_S = 15.0
PIECE_BYTES = 16 * 1024

Connect = Callable[[], http.client.HTTPConnection]


class HttpsChunkLine:
    """The line; ``connect`` gives a connection that shows this device's certificate and has a timeout."""

    def __init__(self, connect: Connect, clock: Clock) -> None:
        self._connect = connect
        self._clock = clock
        self._connection: http.client.HTTPConnection | None = None

    @classmethod
    def to(cls, url: str, tls: Callable[[], ssl.SSLContext], clock: Clock) -> HttpsChunkLine:
        """Return the line to the device listener at that address; ``tls`` gives the certificate in force."""
        parts = urlsplit(url)

        def connect() -> http.client.HTTPConnection:
            made = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S, context=tls())
            bound_answers(made, DEADLINE_S, clock.monotonic_s)
            return made

        return cls(connect, clock)

    def get(self, digest: Digest, length: int) -> bytes | None:
        """Return what the server has under that digest, at most ``length`` bytes and one more; None where it has not.

        A connection that the server ended meanwhile is made anew, once.
        """
        for _ in range(2):
            kept = self._connection is not None
            try:
                return self._get(digest, length)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.close()
                if not kept:
                    log.info("no chunk over HTTPS", extra={"reason": str(error)})
                    return None
        return None

    def close(self) -> None:
        """End the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _get(self, digest: Digest, length: int) -> bytes | None:
        connection = self._connection = self._connection or self._connect()
        connection.request("GET", f"{PATH}{digest}")
        answer = connection.getresponse()
        data = self._read(answer, length)
        if answer.status != http.client.OK:
            log.info("chunk refused over HTTPS", extra={"status": answer.status})
            if not answer.isclosed():
                self.close()
            return None
        return data

    def _read(self, answer: http.client.HTTPResponse, length: int) -> bytes:
        deadline_s = self._clock.monotonic_s() + DEADLINE_S
        data = bytearray()
        while piece := answer.read1(min(PIECE_BYTES, length + 1 - len(data))):
            data += piece
            if len(data) > length or self._clock.monotonic_s() > deadline_s:
                self.close()  # too long or too slow: whatever follows is of no use
                break
        return bytes(data)
