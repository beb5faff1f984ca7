"""Reports from devices: verified, counted once, committed, and only then acknowledged [wire-3.3].

The link's thread puts messages into a bounded queue; one worker takes what waits, up to
``BATCH_LIMIT``, into one transaction. A report that is not from its device is dropped and counted by
reason [wire-1.4]; one that is, but can't be applied, is counted and acknowledged, so that it is not sent for
ever. What is dropped for lack of room or of a database is not acknowledged: the device sends it again.
Whatever a message makes go wrong costs that message alone.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy.exc import OperationalError

from contracts.codec import decode, encode
from contracts.envelope import Envelope, ReportAck, ReportKind, signed_bytes
from contracts.errors import ContractError
from contracts.health import Heartbeat
from contracts.ids import parse_boot_id
from contracts.sketch import Sketch
from contracts.topics import Channel, DeviceTopic, device_topic, parse_topic
from contracts.update import UpdateReport
from fleet_server.broker import store
from fleet_server.broker.sequence import Heard, hear
from fleet_server.broker.store import Source
from fleet_server.broker.waiting import Waiting
from fleet_server.database.session import savepoint, transaction
from fleet_server.devices import store as devices
from fleet_server.drift import store as drift
from fleet_server.errors import DatabaseUnreachable, FleetServerError, NotFound
from fleet_server.rollouts import store as rollouts

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from fleet_server.broker.link import Publisher
    from fleet_server.clock import Clock

log = logging.getLogger(__name__)

BATCH_LIMIT = 200
QUEUE_LIMIT = 10_000
SEQUENCE_LIMIT = 2**53
_WAIT_S = 0.2
_MESSAGES: Mapping[ReportKind, type[Heartbeat | UpdateReport | Sketch]] = {
    ReportKind.HEARTBEAT: Heartbeat,
    ReportKind.UPDATE: UpdateReport,
    ReportKind.SKETCH: Sketch,
}


class ReportDropped(FleetServerError):
    """The message is not a report of the device whose topic it came on; ``reason`` is what is counted."""

    def __init__(self, reason: str) -> None:
        """Name the reason."""
        super().__init__(f"report dropped: {reason}")
        self.reason = reason


class Inbox:
    """The one worker that writes reports down."""

    def __init__(self, engine: Engine, clock: Clock, publisher: Publisher) -> None:
        """Start empty; ``run`` works."""
        self._engine = engine
        self._clock = clock
        self._publisher = publisher
        self._queue = Waiting(QUEUE_LIMIT)
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> dict[str, int]:
        """How many messages were ``committed``, and how many were not, by reason."""
        return dict(self._counts)

    def receive(self, topic: DeviceTopic, body: bytes) -> None:
        """Let the message wait for the worker; where there is no room, the device has to send it again."""
        try:
            self._queue.put(topic, body)
        except queue.Full:
            self._counts["overloaded"] += 1

    def run(self, stop: threading.Event) -> None:
        """Work until stopped."""
        while not stop.is_set():
            batch = self._waiting()
            if batch:
                self.take(batch)

    def take(self, batch: Sequence[tuple[DeviceTopic, bytes]]) -> None:
        """Write the batch down in one transaction, then acknowledge it."""
        now = self._clock.now()
        counts: Counter[str] = Counter()
        try:
            with transaction(self._engine) as session:
                acks = [self._take_one(session, topic, body, now, counts) for topic, body in batch]
        except DatabaseUnreachable as error:
            self._counts["database"] += len(batch)
            log.warning("reports not written", extra={"reports": len(batch), "reason": str(error)})
            return
        self._counts.update(counts)
        # cumulative and in order: the last word on each boot covers the ones before
        for source, sequence in dict(ack for ack in acks if ack).items():
            self._acknowledge(source, sequence)

    def _waiting(self) -> list[tuple[DeviceTopic, bytes]]:
        batch = []
        try:
            batch.append(self._queue.take(_WAIT_S))
            while len(batch) < BATCH_LIMIT:
                batch.append(self._queue.take())
        except queue.Empty:
            pass
        return batch

    def _take_one(
        self, session: Session, topic: DeviceTopic, body: bytes, now: datetime, counts: Counter[str]
    ) -> tuple[Source, int] | None:
        try:
            source, envelope = _verified(session, topic, body)
        except ReportDropped as error:
            counts[error.reason] += 1
            log.info("report dropped", extra={"device": topic.device, "reason": error.reason})
            return None
        except OperationalError:  # the database's doing, not the message's
            raise
        except Exception as error:  # noqa: BLE001 - the supervised boundary: no message costs another one
            counts["failed"] += 1
            log.warning("report failed unread", extra={"device": topic.device, "error": type(error).__name__})
            return None
        heard = store.find_heard(session, source)
        counts[_apply_once(session, source, envelope, heard, now)] += 1
        heard = hear(heard, envelope.sequence, now)
        store.put_heard(session, source, heard, now)
        return source, heard.contiguous

    def _acknowledge(self, source: Source, sequence: int) -> None:
        ack = ReportAck(boot=source.boot, sequence=sequence)
        self._publisher.publish(device_topic(source.tenant, source.device, Channel.ACK), encode(ack))


def _verified(session: Session, topic: DeviceTopic, body: bytes) -> tuple[Source, Envelope]:
    """Return sender and envelope, the signature checked with the key the device enrolled with."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        envelope = decode(Envelope, body)
    except ContractError as error:
        raise ReportDropped(error.code) from error
    try:
        row = devices.find_device(session, topic.tenant, topic.device)
    except NotFound as error:
        raise ReportDropped("unknown_device") from error
    if row.revoked_at is not None:
        raise ReportDropped("revoked")
    signed = signed_bytes(
        tenant=topic.tenant,
        device=topic.device,
        boot=envelope.boot,
        sequence=envelope.sequence,
        kind=envelope.kind,
        body=envelope.body,
    )
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(row.public_key)).verify(envelope.signature, signed)
    except InvalidSignature as error:
        raise ReportDropped("signature") from error
    if not 0 < envelope.sequence < SEQUENCE_LIMIT:
        raise ReportDropped("sequence")
    try:
        return Source(topic.tenant, topic.device, parse_boot_id(envelope.boot)), envelope
    except ContractError as error:
        raise ReportDropped(error.code) from error


def _apply_once(session: Session, source: Source, envelope: Envelope, heard: Heard, now: datetime) -> str:
    """Return the word to count the report under: it is in the session now, or it must not be."""
    if heard.has(envelope.sequence):
        return "duplicate"
    fields = {"device": source.device, "kind": envelope.kind}
    try:
        with savepoint(session):
            return _apply(session, source, envelope, heard, now)
    except OperationalError:  # the database's doing, not the report's
        raise
    except (ContractError, FleetServerError, ValueError) as error:
        log.info("report not applied", extra=fields | {"reason": str(error)})
        return "not_applied"
    except Exception as error:  # noqa: BLE001 - the supervised boundary: no report costs another one
        log.warning("report failed", extra=fields | {"error": type(error).__name__})
        return "failed"


def _apply(session: Session, source: Source, envelope: Envelope, heard: Heard, now: datetime) -> str:
    tenant, device = source.tenant, source.device
    message = decode(_MESSAGES[envelope.kind], envelope.body)
    at = message.ended_at if isinstance(message, Sketch) else message.at
    is_newest = envelope.sequence > heard.newest and devices.record_seen(
        session, tenant, device, boot=source.boot, at=at, now=now
    )
    if isinstance(message, Sketch):
        drift.record_sketch(session, tenant, device, message, now)
    elif isinstance(message, UpdateReport):
        rollouts.record_update(session, tenant, device, message, is_newest=is_newest, now=now)
        if is_newest:
            devices.record_generation(session, tenant, device, message.generation, now)
    elif is_newest:
        devices.record_heartbeat(session, tenant, device, message, now)
    else:
        return "outdated"
    return "committed"


def read_topic(topic: str) -> DeviceTopic | None:
    """Return whose topic it is; None where it is not one of ours."""
    try:
        return parse_topic(topic)
    except ContractError:
        log.info("message on a foreign topic dropped")
        return None
