"""What must reach the server: numbered, signed and on disk before it is sent, kept until the server has it [wire-3.2].

One SQLite file (WAL, synchronous=FULL). A report gets the next sequence of this boot, is signed and
committed; it leaves when the server's ``ReportAck`` covers it (PUBACK counts for nothing). The oldest
report goes out first and alone: the server may acknowledge up to a number, so a younger one must not
overtake one that a broker lost. A report that stays without an answer five times no longer holds up the
next ones, so one that the server cannot read does not stop the rest.

The outbox is bounded. At ``limit_bytes`` the oldest sketches are dropped first, then the oldest
heartbeats; update reports are kept whatever happens. Where the disk is full a report is kept in
memory and sent from there: it is lost only if the agent ends before the acknowledgement.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.codec import MESSAGE_LIMIT_BYTES, encode
from contracts.envelope import Envelope, ReportAck, ReportKind, signed_bytes
from contracts.ids import BootId, DeviceId, TenantId
from edge_agent.errors import ReportTooLong, StateError

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

LIMIT_BYTES = 16 * 1024 * 1024
SENDS_BEFORE_PASSING = 5
WINDOW_LIMIT = 16
DROPPED_FIRST = (ReportKind.SKETCH, ReportKind.HEARTBEAT)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS report (
    id INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL, sequence INTEGER NOT NULL,
    kind TEXT NOT NULL, envelope BLOB NOT NULL, UNIQUE (boot, sequence))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who reports: the enrolled device, this boot, and its signature over given bytes."""

    tenant: TenantId
    device: DeviceId
    boot: BootId
    sign: Callable[[bytes], bytes]


class Outbox:
    """The file of unacknowledged reports. Every method may be called from any thread."""

    def __init__(self, path: Path, sender: Sender, *, limit_bytes: int = LIMIT_BYTES) -> None:
        self._sender = sender
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._sequence = 0
        self._unsaved: list[tuple[int, bytes]] = []
        self._sent: dict[str, int] = {}
        self._connection = _connect(path)

    def add(self, kind: ReportKind, message: object) -> int:
        """Make the message certain to be sent; return its sequence within this boot.

        Raises:
            ReportTooLong: sealed, it is over MESSAGE_LIMIT_BYTES [wire-1.1]; nothing is kept, no number is used.
        """
        with self._lock:
            sequence = self._sequence + 1
            envelope = self._seal(sequence, kind, encode(message))
            if len(envelope) > MESSAGE_LIMIT_BYTES:
                raise ReportTooLong(
                    f"a {kind} report of {len(envelope)} bytes is over the limit of {MESSAGE_LIMIT_BYTES} of one "
                    "message; pack the release with fewer watched features"
                )
            self._sequence = sequence
            try:
                with self._connection:
                    self._connection.execute(
                        "INSERT INTO report (boot, sequence, kind, envelope) VALUES (?, ?, ?, ?)",
                        (self._sender.boot, sequence, kind.value, envelope),
                    )
                    self._make_room()
            except sqlite3.DatabaseError as error:
                log.error("report kept in memory only", extra={"reason": str(error)})  # noqa: TRY400 (one line, no traceback)
                self._unsaved.append((sequence, envelope))
        return sequence

    def first(self, count: int) -> tuple[bytes, ...]:
        """Return the oldest ``count`` reports, ready to send; from now on an acknowledgement may cover them."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT boot, sequence, envelope FROM report ORDER BY id LIMIT ?", (count,)
            ).fetchall()
            oldest = (*rows, *((self._sender.boot, *kept) for kept in self._unsaved))[:count]
            for boot, sequence, _ in oldest:
                self._sent[boot] = max(sequence, self._sent.get(boot, 0))
            return tuple(bytes(envelope) for _, _, envelope in oldest)

    def acknowledge(self, ack: ReportAck) -> int:
        """Forget what the server has; return how many reports that were.

        Nobody signs an acknowledgement: one of more than this boot sent is ignored, and one of an earlier boot (which
        may have been told more before it ended) covers at most what was sent again since.
        """
        with self._lock:
            sent = self._sent.get(ack.boot, 0)
            if ack.boot == self._sender.boot and ack.sequence > sent:
                return 0
            covered = min(ack.sequence, sent)
            before = len(self._unsaved)
            if ack.boot == self._sender.boot:
                self._unsaved = [kept for kept in self._unsaved if kept[0] > covered]
            gone = before - len(self._unsaved)
            with (
                contextlib.suppress(sqlite3.OperationalError),
                self._connection,
            ):  # disk full: it is sent and acked again
                gone += self._connection.execute(
                    "DELETE FROM report WHERE boot = ? AND sequence <= ?", (ack.boot, covered)
                ).rowcount
            return gone

    def waiting(self) -> int:
        """Return how many reports the server does not have yet."""
        with self._lock:
            return int(self._connection.execute("SELECT count(*) FROM report").fetchone()[0]) + len(self._unsaved)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _seal(self, sequence: int, kind: ReportKind, body: bytes) -> bytes:
        sender = self._sender
        signature = sender.sign(
            signed_bytes(
                tenant=sender.tenant, device=sender.device, boot=sender.boot, sequence=sequence, kind=kind, body=body
            )
        )
        return encode(Envelope(boot=sender.boot, sequence=sequence, kind=kind, body=body, signature=signature))

    def _make_room(self) -> None:
        for kind in DROPPED_FIRST:
            while self._held_bytes() > self._limit_bytes:
                dropped = self._connection.execute(
                    "DELETE FROM report WHERE id = (SELECT min(id) FROM report WHERE kind = ?)", (kind.value,)
                ).rowcount
                if not dropped:
                    break
                log.warning("outbox is full: oldest report dropped", extra={"kind": kind.value})

    def _held_bytes(self) -> int:
        return int(self._connection.execute("SELECT coalesce(sum(length(envelope)), 0) FROM report").fetchone()[0])


def waiting_reports(path: Path) -> int:
    """Return how many reports wait in the outbox of an agent that may be running."""
    if not path.exists():
        return 0
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)) as connection:
        return int(connection.execute("SELECT count(*) FROM report").fetchone()[0])


class SendPlan:
    """What to send when: pure bookkeeping over times in seconds.

    >>> plan = SendPlan(first_wait_s=5.0)
    >>> plan.window, plan.sent(now_s=0.0), plan.due(now_s=1.0), plan.due(now_s=5.0)
    (1, None, False, True)
    """

    def __init__(self, *, first_wait_s: float, longest_wait_s: float = 60.0) -> None:
        self._first_wait_s = first_wait_s
        self._longest_wait_s = longest_wait_s
        self._sends = 0
        self._due_s = 0.0

    @property
    def window(self) -> int:
        """How many of the oldest reports go out together."""
        return min(WINDOW_LIMIT, 1 + self._sends // SENDS_BEFORE_PASSING)

    def due(self, *, now_s: float) -> bool:
        """Whether it is time to send."""
        return now_s >= self._due_s

    def sent(self, *, now_s: float) -> None:
        """Wait for an answer now, longer each time."""
        self._due_s = now_s + min(self._longest_wait_s, self._first_wait_s * 2.0 ** min(self._sends, 10))
        self._sends += 1

    def answered(self) -> None:
        """Send the next one at once."""
        self._sends = 0
        self._due_s = 0.0

    def connected(self) -> None:
        """Send again at once: what was under way is lost, and what was sent into the void does not count."""
        self.answered()


def _connect(path: Path) -> sqlite3.Connection:
    try:
        path.touch(mode=0o600)  # what SQLite lays beside it takes its mode
        path.chmod(0o600)
        connection = sqlite3.connect(path, check_same_thread=False, timeout=10.0)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        with connection:
            connection.execute(_SCHEMA)
    except (sqlite3.DatabaseError, OSError) as error:
        raise StateError(
            f"cannot use {path}: {error}; free some room, or remove the file (its reports are lost)"
        ) from error
    return connection
