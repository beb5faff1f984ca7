"""The one thread that updates: offers and answers come in, the machine takes them one after the other.

The link's thread hands messages to ``Mailroom`` and never waits. Of several offers only the newest
counts, and only it is kept [wire-4.1]. Whoever waits for an answer is interrupted by a newer offer and by the
end of the process. An offer that trips over a bug of ours is taken up again as after a restart, after a pause.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from contracts.chunks import MAX_CREDIT
from contracts.codec import decode
from contracts.errors import DecodeError
from contracts.topics import Channel
from contracts.update import GENERATION_STEP, Offer
from edge_agent.errors import AgentError, NothingToRevert
from edge_agent.update.courier import Letter, Stopping, Superseded

if TYPE_CHECKING:
    from pathlib import Path

    from contracts.ids import ModelName, ReleaseId
    from edge_agent.update.machine import UpdateMachine
    from edge_agent.update.slots import Slots

log = logging.getLogger(__name__)

LETTERS_LIMIT = MAX_CREDIT + 44
"""A full window of chunks and some; at most about 40 MB."""
IDLE_LOOK_S = 1.0
REASON_LIMIT = 300
PAUSE_S = 5.0
"""How long the worker rests after an error that nobody foresaw."""


class Mailroom:
    """Between the link's thread and the update's; implements ``courier.Mailbox``."""

    def __init__(self) -> None:
        self._letters: queue.Queue[Letter | None] = queue.Queue(LETTERS_LIMIT)
        self._news = threading.Condition()
        self._offer: Offer | None = None
        self._newest = 0
        self._taken = 0
        self._stop = threading.Event()
        self.offers_dropped = 0

    def deliver(self, channel: Channel, data: bytes) -> None:
        """Take one message from the link; what nobody asked for, or cannot be read, is dropped."""
        if channel is Channel.OFFER:
            self._deliver_offer(data)
            return
        try:
            self._letters.put_nowait(Letter(channel=channel, data=data))
        except queue.Full:
            log.warning("message dropped: too many at once", extra={"channel": channel})

    def stop(self) -> None:
        """Interrupt whoever waits, now and from now on."""
        self._stop.set()
        with self._news:
            self._news.notify_all()
        self._wake()

    def take(self, timeout_s: float) -> Letter | None:
        """Return the next answer, or None after that long.

        Raises:
            Superseded: an offer newer than the one being carried out is here.
            Stopping: the process is about to end.
        """
        self._check()
        try:
            letter = self._letters.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None
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


def require_previous(slots: Slots) -> None:
    """Return where some model has a previous release to go back to.

    Raises:
        NothingToRevert: no model has one.
    """
    held = [slots.pointer(model).spare_release for model in slots.models()]
    if not any(previous is not None and previous.proven for previous in held):
        raise NothingToRevert("no model has a previous release on this device; roll one out instead")


def revert_all(slots: Slots) -> tuple[tuple[ModelName, ReleaseId], ...]:
    """Make every model's previous release the good one, for an agent that is not running.

    Raises:
        NothingToRevert: a model has none, or there is no model.
    """
    require_previous(slots)
    return tuple((model, slots.swap(model).release) for model in slots.models())
