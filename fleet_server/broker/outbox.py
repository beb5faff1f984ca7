"""Messages to devices: written with the change they tell of, published in order afterwards.

Offers are level-triggered and retained [wire-2.2]. A broker that was restarted may have lost what it retained,
so every time the link comes up all current offers are published again; a device takes each
generation once. That the broker acknowledged an offer proves nothing [wire-2.3]: one that a device's
heartbeat still does not know of is queued once more (``devices.store``).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from fleet_server.broker import store
from fleet_server.database.session import reading, transaction
from fleet_server.devices import store as devices

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Engine

    from fleet_server.broker.link import Publisher, Sent
    from fleet_server.clock import Clock

BATCH_LIMIT = 100
SEND_TIMEOUT_S = 10.0
_POLL_S = 0.1


class Outbox:
    """The one worker that sends what the database says must be sent."""

    def __init__(self, engine: Engine, clock: Clock, publisher: Publisher) -> None:
        """Start; ``run`` works."""
        self._engine = engine
        self._clock = clock
        self._publisher = publisher
        self._connections_seen = 0

    def run(self, stop: threading.Event) -> None:
        """Work until stopped."""
        while not stop.wait(_POLL_S):
            while self._publisher.connected and self.send_waiting():
                pass

    def send_waiting(self) -> int:
        """Send the oldest messages that wait, up to a batch, and return how many the broker took."""
        connections = self._publisher.connections
        if connections != self._connections_seen:
            self._send_offers_again()
            self._connections_seen = connections
        with reading(self._engine) as session:
            waiting = [
                (row.id, row.topic, row.body, row.retain) for row in store.waiting_messages(session, limit=BATCH_LIMIT)
            ]
        sent = [(number, self._publisher.publish(topic, body, retain=keep)) for number, topic, body, keep in waiting]
        return self._mark(_arrived(sent))

    def _send_offers_again(self) -> None:
        with reading(self._engine) as session:
            offers = list(devices.current_offers(session))
        for start in range(0, len(offers), BATCH_LIMIT):
            waiting = [
                self._publisher.publish(topic, body, retain=True) for topic, body in offers[start : start + BATCH_LIMIT]
            ]
            for message in waiting:
                message.wait(SEND_TIMEOUT_S)

    def _mark(self, ids: list[int]) -> int:
        if ids:
            with transaction(self._engine) as session:
                store.mark_sent(session, ids, self._clock.now())
        return len(ids)


def _arrived(sent: Iterable[tuple[int, Sent]]) -> list[int]:
    """Return the ids up to the first message that did not arrive: order is kept."""
    arrived = []
    for number, message in sent:
        if not message.wait(SEND_TIMEOUT_S):
            break
        arrived.append(number)
    return arrived
