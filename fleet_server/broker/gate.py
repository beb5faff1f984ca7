"""What stands before amqtt: TLS that demands a certificate, and a client id that is the certificate's name.

amqtt asks for a certificate without demanding one, and ends or takes over the session of a client id before it has
looked at who asks for it. So the gate ends the TLS itself, reads the CONNECT packet, puts the certificate's name in
the place of the client id, ends an older connection of that name (amqtt would let it go on publishing), and hands amqtt
one that can only be its owner's. A will is
refused: amqtt would publish it unchecked. Messages are judged by ``access``, through amqtt's plugins.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.contexts import Action
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin

from fleet_server.broker.access import may_read, may_write

if TYPE_CHECKING:
    from amqtt.session import Session

    from fleet_server.identity.folder import IdentityFolder

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
LONGEST_CONNECT = 1024
_CONNECT = 0x10
_HEADER = b"\x00\x04MQTT\x04"
_CLEAN_SESSION = 0x02

Serve = Callable[[StreamReaderAdapter, StreamWriterAdapter, str], Awaitable[None]]


class NotAdmitted(Exception):
    """The connection is not let through; the reason is for the log."""


class Gate:
    """Admits connections to a broker."""

    def __init__(self, serve: Serve, identity: IdentityFolder) -> None:
        """Stand before the broker that serves admitted connections."""
        self._serve = serve
        self._identity = identity
        self._inside: dict[str, asyncio.StreamWriter] = {}
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # resumed sessions would not be held against a newer revocation list
        self.tls.minimum_version = ssl.TLSVersion.TLSv1_3
        self.tls.num_tickets = 0
        self.tls.verify_mode = ssl.CERT_REQUIRED
        self.tls.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
        self.read_certificates()

    def read_certificates(self) -> None:
        """Use the newest authority, revocations and certificate for the connections to come."""
        self.tls.load_verify_locations(self._identity.authority)
        self.tls.load_verify_locations(self._identity.revoked)
        self.tls.load_cert_chain(self._identity.server)

    async def admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve the connection under its certificate's name, or end it."""
        try:
            name = _name_of(writer)
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                first = renamed(await _first_packet(reader), name)
        except (NotAdmitted, TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            log.warning("connection refused: %s", error or type(error).__name__)
            writer.close()
            return
        older = self._inside.get(name)
        self._inside[name] = writer
        if older is not None:
            older.close()
        try:
            await self._serve(_Resumed(first, reader), StreamWriterAdapter(writer), "default")
        finally:
            if self._inside.get(name) is writer:
                del self._inside[name]


class Named(BaseAuthPlugin):  # type: ignore[misc]  # amqtt is untyped
    """Lets in whoever came through the gate: there is no other way in."""

    async def authenticate(self, *, session: Session) -> bool:
        """Return whether the gate gave the session a name."""
        return bool(session.client_id)


class OwnTopics(BaseTopicPlugin):  # type: ignore[misc]  # amqtt is untyped
    """Lets a session read and write what ``access`` says."""

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool:
        """Return whether that is so."""
        if session is None or topic is None or session.client_id is None:
            return False
        return (may_write if action == Action.PUBLISH else may_read)(session.client_id, topic)


class _Resumed(StreamReaderAdapter):  # type: ignore[misc]  # amqtt is untyped
    """A reader that first gives back what was read already."""

    def __init__(self, first: bytes, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._first = first

    async def read(self, n: int = -1) -> bytes:
        """Return the next bytes."""
        if self._first:
            taken, self._first = self._first[:n], self._first[n:]
            return taken
        return bytes(await super().read(n))


def renamed(body: bytes, name: str) -> bytes:
    """Return the CONNECT packet with the name as its client id, from the packet's bytes behind its length.

    Raises:
        NotAdmitted: it is not MQTT 3.1.1 with a clean session and nothing else.
    """
    if body[:7] != _HEADER or len(body) < 12 or body[7] != _CLEAN_SESSION:
        raise NotAdmitted("not MQTT 3.1.1 with a clean session, without will, user and password")
    encoded = name.encode("ascii")
    rest = body[:10] + len(encoded).to_bytes(2, "big") + encoded
    return bytes([_CONNECT]) + _length(len(rest)) + rest


async def _first_packet(reader: asyncio.StreamReader) -> bytes:
    kind = (await reader.readexactly(1))[0]
    length, shift = 0, 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80 or shift > 14:
            break
    if kind != _CONNECT or not 0 < length <= LONGEST_CONNECT:
        raise NotAdmitted("the first packet is no CONNECT")
    return await reader.readexactly(length)


def _length(number: int) -> bytes:
    low, high = number & 0x7F, number >> 7
    return bytes([low | 0x80, high]) if high else bytes([low])


def _name_of(writer: asyncio.StreamWriter) -> str:
    certificate = writer.get_extra_info("ssl_object").getpeercert()
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return str(value)
    raise NotAdmitted("the certificate has no name")
