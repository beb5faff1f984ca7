"""Who may hold a connection to the device listener, counted from the first packet on.

A connection costs a file descriptor before it has said anything, and the console and the broker's link need descriptors
of the same process. So connections are counted where they are accepted: in all and for each address, both well below
what the process may open. Whoever comes on top is closed at once and asks again later.
"""

from __future__ import annotations

import ipaddress
import logging
import resource
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 512
"""In all: the broker's link waits with select(), which takes no descriptor over 1023."""
MOST_OF_ONE_ADDRESS = 128
"""A site's devices may all come from one address."""
FILES = 65_536
_IPV6_SITE_BITS = 64


def raise_file_limit() -> int:
    """Let this process open as many files as it may, up to ``FILES``, and return how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return soft if soft != resource.RLIM_INFINITY else most


def room() -> int:
    """Return for how many connections there is room: at most half of the files that the process may open."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MOST_CONNECTIONS, soft // 2)


class Door(socket.socket):
    """A listening socket that lets so many connections in and no more."""

    def __init__(self, listener: socket.socket, *, most: int, most_of_one_address: int) -> None:
        """Listen beside ``listener``, on the same port; either may be closed without the other."""
        super().__init__(listener.family, listener.type, listener.proto, fileno=socket.dup(listener.fileno()))
        self._most = most
        self._most_of_one_address = most_of_one_address
        self._inside: Counter[str] = Counter()
        self.refused = 0

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection and its address.

        Raises:
            ConnectionAbortedError: there is no room for it; it is closed.
            BlockingIOError: none waits.
        """
        connection, address = super().accept()
        origin = _origin(str(address[0]))
        if self._inside.total() >= self._most or self._inside[origin] >= self._most_of_one_address:
            connection.close()
            self._note_refused(origin)
            raise ConnectionAbortedError("no room for another connection")
        self._inside[origin] += 1
        return _Guest(connection, lambda: self._leave(origin)), address

    def _leave(self, origin: str) -> None:
        self._inside[origin] -= 1
        if self._inside[origin] <= 0:
            del self._inside[origin]

    def _note_refused(self, origin: str) -> None:
        self.refused += 1
        if self.refused & (self.refused - 1) == 0:  # 1, 2, 4, 8, ...: a flood does not fill the log
            log.warning("connections refused for lack of room", extra={"refused": self.refused, "newest": origin})


class _Guest(socket.socket):
    """An accepted connection that says when it is over."""

    def __init__(self, connection: socket.socket, on_close: Callable[[], None]) -> None:
        super().__init__(connection.family, connection.type, connection.proto, fileno=connection.detach())
        self._on_close: Callable[[], None] | None = on_close

    def close(self) -> None:
        """End the connection."""
        super().close()
        told, self._on_close = self._on_close, None
        if told is not None:
            told()


def _origin(address: str) -> str:
    """Return who is counted together: an IPv4 address, or the site (/64) of an IPv6 address."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_SITE_BITS), strict=False))
