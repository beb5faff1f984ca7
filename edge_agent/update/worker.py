"""The one thread that updates: offers and answers come in, the machine takes them one after the other.

The link's thread hands messages to ``Mailroom`` and never waits. Of several offers only the newest
counts, and only it is kept [wire-4.1]. Whoever waits for an answer is interrupted by a newer offer and by the
end of the process. An offer that trips over a bug of ours is taken up again as after a restart, after a pause.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from contracts.codec import decode
from contracts.errors import DecodeError
from contracts.topics import Channel
from contracts.update import GENERATION_STEP, Offer
from edge_agent.delivery.courier import Letter, Stopping, Superseded
from edge_agent.errors import AgentError, NothingToRevert
from edge_agent.trust.errors import BelowFloor

if TYPE_CHECKING:
    from pathlib import Path

    from contracts.ids import ModelName, ReleaseId
    from edge_agent.update.machine import UpdateMachine
    from edge_agent.update.slots import Slots

log = logging.getLogger(__name__)

Taken = Callable[[], None]
LETTERS_LIMIT = 64
"""What waits for the update at most: several times the broker's window of unacknowledged messages."""
LETTERS_LIMIT_BYTES = 2 * 1024 * 1024
"""Twice what the update asks for at once."""
IDLE_LOOK_S = 1.0
REASON_LIMIT = 300
PAUSE_S = 5.0
"""How long the worker rests after an error that nobody foresaw."""


def _nothing() -> None:
    """Acknowledge nothing: nobody waits for it."""


class Mailroom:
    """Between the link's thread and the update's; implements ``courier.Mailbox``.

    A letter is acknowledged to the broker once the update is done with it, or does not want it: so the broker's own
    window of unacknowledged messages slows down whoever sends faster than this device writes [wire-5.10].
    """

    def __init__(self) -> None:
        self._letters: queue.Queue[tuple[Letter, Taken] | None] = queue.Queue(LETTERS_LIMIT)
        self._letters_bytes = 0
        self._expected: Channel | None = None
        self._open: Taken = _nothing
        self._sessions = 0
        self._counting = threading.Lock()
        self._news = threading.Condition()
        self._offer: Offer | None = None
        self._newest = 0
        self._taken = 0
        self._stop = threading.Event()
        self.offers_dropped = 0

    @property
    def sessions(self) -> int:
        """How many sessions with the broker began."""
        return self._sessions

    @property
    def waiting_bytes(self) -> int:
        """How many bytes of letters wait for the update."""
        return self._letters_bytes

    def connected(self) -> None:
        """Know that a session began: whoever waits looks up."""
        self._sessions += 1
        self._wake()

    def deliver(self, channel: Channel, data: bytes, taken: Taken = _nothing) -> None:
        """Take one message from the link; what nobody asked for, or cannot be read, is dropped.

        ``taken`` is called once the message needs no place in the broker's window any more.
        """
        if channel is Channel.OFFER:
            self._deliver_offer(data)
            taken()
        elif channel is not self._expected or not self._keep(Letter(channel=channel, data=data), taken):
            taken()

    def expect(self, channel: Channel | None) -> None:
        """Keep what comes on that channel from now on; let go of all else."""
        self._expected = channel
        self._done_with_last()
        with contextlib.suppress(queue.Empty):
            while True:
                self._let_go(self._letters.get_nowait())

    def stop(self) -> None:
        """Interrupt whoever waits, now and from now on."""
        self._stop.set()
        with self._news:
            self._news.notify_all()
        self._wake()

    def take(self, timeout_s: float) -> Letter | None:
        """Return the next answer, or None after that long, or when a session began.

        The one before is acknowledged to the broker now: whoever took it is done with it.

        Raises:
            Superseded: an offer newer than the one being carried out is here.
            Stopping: the process is about to end.
        """
        self._done_with_last()
        self._check()
        try:
            entry = self._letters.get(timeout=timeout_s) if timeout_s > 0 else self._letters.get_nowait()
        except queue.Empty:
            return None
        if entry is None:
            self._check()
            return None
        letter, self._open = entry
        with self._counting:
            self._letters_bytes -= len(letter.data)
        self._check()
        return letter

    def carrying_out(self, generation: int) -> None:
        """Say which offer is being carried out, or was last: only newer ones count and interrupt."""
        with self._news:
            self._taken = generation
            self._newest = max(self._newest, generation)

    def rest(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            Stopping: the process is about to end.
        """
        if self._stop.wait(seconds):
            raise Stopping

    def next_offer(self, timeout_s: float) -> Offer | None:
        """Return the newest offer not yet taken, or None after that long.

        Raises:
            Stopping: the process is about to end.
        """
        with self._news:
            self._news.wait_for(lambda: self._offer is not None or self._stop.is_set(), timeout_s)
            if self._stop.is_set():
                raise Stopping
            offer, self._offer = self._offer, None
            if offer is not None:
                self._taken = max(self._taken, offer.generation)
        return offer

    def _keep(self, letter: Letter, taken: Taken) -> bool:
        with self._counting:
            if self._letters_bytes + len(letter.data) <= LETTERS_LIMIT_BYTES:
                with contextlib.suppress(queue.Full):
                    self._letters.put_nowait((letter, taken))
                    self._letters_bytes += len(letter.data)
                    return True
        log.warning("message dropped: too many at once", extra={"channel": letter.channel})
        return False

    def _let_go(self, entry: tuple[Letter, Taken] | None) -> None:
        if entry is not None:
            with self._counting:
                self._letters_bytes -= len(entry[0].data)
            entry[1]()

    def _done_with_last(self) -> None:
        taken, self._open = self._open, _nothing
        taken()

    def _deliver_offer(self, data: bytes) -> None:
        try:
            offer = decode(Offer, data)
        except DecodeError as error:
            if data:  # an empty message only clears the retained one
                self._drop_offer(str(error))
            return
        with self._news:
            if offer.generation > self._taken + GENERATION_STEP:
                self._drop_offer(f"generation {offer.generation} is too far above {self._taken}, the newest taken up")
            elif offer.generation > self._newest:
                self._newest = offer.generation
                self._offer = offer
                self._news.notify_all()
                self._wake()

    def _drop_offer(self, reason: str) -> None:
        self.offers_dropped += 1
        log.warning("offer dropped", extra={"reason": reason[:REASON_LIMIT], "dropped": self.offers_dropped})

    def _check(self) -> None:
        if self._stop.is_set():
            raise Stopping
        if self._newest > self._taken:
            raise Superseded

    def _wake(self) -> None:
        try:
            self._letters.put_nowait(None)
        except queue.Full:
            return  # whoever waits has something to wake up for


class UpdateWorker:
    """Runs the machine until the process stops; a file at ``revert_file`` is an operator's word to go back."""

    def __init__(
        self,
        machine: UpdateMachine,
        mailroom: Mailroom,
        slots: Slots,
        revert_file: Path,
        *,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._machine = machine
        self._mailroom = mailroom
        self._slots = slots
        self._revert_file = revert_file
        self._pause_s = pause_s

    def run(self, changed: Callable[[], None]) -> None:
        """Serve the last good releases, finish what was interrupted, then take offers until stopped.

        ``changed`` is called when something else serves than before, other than by an offer.
        """
        self._machine.wake()
        changed()
        self._mailroom.carrying_out(self._machine.generation)
        try:
            while True:
                self._survive_turn(changed)
        except Stopping:
            log.info("update worker stops")

    def _survive_turn(self, changed: Callable[[], None]) -> None:
        try:
            self._take_turn(changed)
        except Stopping:
            raise
        except Exception:
            log.exception("update failed unforeseen; taken up again as after a restart")
            self._mailroom.rest(self._pause_s)

    def _take_turn(self, changed: Callable[[], None]) -> None:
        self._machine.resume()
        if self._revert_file.exists():
            self._revert()
            changed()
        offer = self._mailroom.next_offer(IDLE_LOOK_S)
        if offer is not None:
            self._machine.accept(offer)

    def _revert(self) -> None:
        self._revert_file.unlink()
        for model in self._slots.models():
            try:
                release = self._machine.go_back(model)
                log.info("reverted by hand", extra={"model": model, "release": release})
            except AgentError as error:
                log.warning("not reverted", extra={"model": model, "reason": str(error)})


def require_previous(slots: Slots, floors: Mapping[ModelName, int]) -> None:
    """Return where some model has a previous release to go back to.

    Raises:
        NothingToRevert: no model has one.
        BelowFloor: the only ones were revoked.
    """
    refusal: AgentError = NothingToRevert("no model has a previous release on this device; roll one out instead")
    for model in slots.models():
        try:
            slots.previous(model, floors=floors)
        except NothingToRevert:
            continue
        except BelowFloor as error:
            refusal = error
        else:
            return
    raise refusal


def revert_all(slots: Slots, floors: Mapping[ModelName, int]) -> tuple[tuple[ModelName, ReleaseId], ...]:
    """Make every model's previous release the good one, for an agent that is not running.

    Raises:
        NothingToRevert: a model has none, or there is no model.
        BelowFloor: one was revoked; no model is changed.
    """
    require_previous(slots, floors)
    for model in slots.models():
        slots.previous(model, floors=floors)
    return tuple((model, slots.swap(model, floors=floors).release) for model in slots.models())
