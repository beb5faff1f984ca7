"""Revoked devices lose the broker: the revocation list is written, the broker told, their sessions ended.

The database is the truth, and a worker looks at it every second, so a revocation takes hold whichever
process of the server wrote it. The list goes first and sessions end one look later: who is thrown out
finds the door shut [wire-7.6].
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from contracts.ids import DeviceId, TenantId
from fleet_server.database.session import reading
from fleet_server.errors import BrokerUnreachable
from fleet_server.identity import store
from fleet_server.identity.folder import IdentityFolder, write_private

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from contracts.topics import DeviceTopic
    from fleet_server.clock import Clock
    from fleet_server.identity.authority import Authority

log = logging.getLogger(__name__)

Tell = Callable[[], None]
EndSession = Callable[[TenantId, DeviceId], None]


class RevocationWatch:
    """What of the revocations has taken hold; ``tick`` makes the rest do so."""

    def __init__(self, engine: Engine, clock: Clock, authority: Authority, folder: IdentityFolder) -> None:
        """Start knowing of none; ``tick`` looks."""
        self._engine = engine
        self._clock = clock
        self._authority = authority
        self._folder = folder
        self._listed: frozenset[int] | None = None
        self._to_end: set[tuple[TenantId, DeviceId]] = set()
        self._revoked: frozenset[tuple[TenantId, DeviceId]] = frozenset()
        self._lock = threading.Lock()
        self._dropped: Counter[str] = Counter()

    @property
    def dropped(self) -> dict[str, int]:
        """How many messages of revoked devices were dropped, by channel."""
        return dict(self._dropped)

    def tick(self, tell: Tell, end_session: EndSession) -> None:
        """Look once.

        Args:
            tell: makes the broker read the list again.
            end_session: ends the device's session with the broker; BrokerUnreachable: it is tried again.
        """
        for tenant, device in sorted(self._to_end):
            try:
                end_session(tenant, device)
            except BrokerUnreachable as error:
                log.warning("session of a revoked device not ended", extra={"device": device, "reason": str(error)})
            else:
                self._to_end.discard((tenant, device))
        if self.write_list():
            tell()

    def write_list(self) -> bool:
        """Write the list where it is not what it was; return whether it was written.

        Raises:
            OSError: the folder cannot be written.
        """
        now = self._clock.now()
        with reading(self._engine) as session:
            self._revoked = store.revoked_devices(session)
            certificates = store.revoked_certificates(session, now)
        serials = frozenset(one.serial for _, _, one in certificates)
        if serials == self._listed:
            return False
        new = serials - (self._listed or frozenset())
        listed = self._authority.revocation_list([one for _, _, one in certificates], now=now)
        write_private(self._folder.revoked, listed)
        self._to_end |= {(tenant, device) for tenant, device, one in certificates if one.serial in new}
        self._listed = serials
        return True

    def lets_pass(self, topic: DeviceTopic) -> bool:
        """Return whether the message's device may be heard; one that may not is counted."""
        if (topic.tenant, topic.device) not in self._revoked:
            return True
        with self._lock:
            self._dropped[topic.channel] += 1
        return False
