"""The one thread that updates: offers and answers come in, the machine takes them one after the other.

The link's thread hands messages to ``Mailroom`` and never waits. Of several offers only the newest
counts. Whoever waits for an answer is interrupted by a newer offer and by the end of the process.
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
from contracts.update import Offer
from edge_agent.errors import AgentError
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
REVERT_FILE = "revert-requested"


class Mailroom:
    """Between the link's thread and the update's; implements ``courier.Mailbox``."""

    def __init__(self) -> None:
        self._letters: queue.Queue[Letter | None] = queue.Queue(LETTERS_LIMIT)
        self._offers: queue.Queue[Offer | None] = queue.Queue()
        self._newest = 0
        self._taken = 0
        self._stop = threading.Event()

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
        self._offers.put(None)
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
        """Say which offer is being carried out: only newer ones interrupt."""
        self._taken = generation

    def next_offer(self, timeout_s: float) -> Offer | None:
        """Return the newest offer not yet taken, or None after that long.

        Raises:
            Stopping: the process is about to end.
        """
        try:
            offer = self._offers.get(timeout=timeout_s)
            while offer is None or offer.generation < self._newest:
                if self._stop.is_set():
                    raise Stopping
                offer = self._offers.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self._taken = max(self._taken, offer.generation)
        return offer

    def _deliver_offer(self, data: bytes) -> None:
        try:
            offer = decode(Offer, data)
        except DecodeError as error:
            if data:  # an empty message only clears the retained one
                log.warning("offer cannot be read", extra={"reason": str(error)})
            return
        if offer.generation > self._newest:
            self._newest = offer.generation
            self._offers.put(offer)
            self._wake()

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
    """Runs the machine until the process stops."""

    def __init__(self, machine: UpdateMachine, mailroom: Mailroom, slots: Slots, state_dir: Path) -> None:
        self._machine = machine
        self._mailroom = mailroom
        self._slots = slots
        self._revert_file = state_dir / REVERT_FILE

    def run(self, changed: Callable[[], None]) -> None:
        """Serve the last good releases, finish what was interrupted, then take offers until stopped.

        ``changed`` is called when something else serves than before, other than by an offer.
        """
        machine, mailroom = self._machine, self._mailroom
        machine.wake()
        changed()
        mailroom.carrying_out(machine.generation)
        try:
            machine.resume()
            while True:
                if self._revert_file.exists():
                    self._revert()
                    changed()
                offer = mailroom.next_offer(IDLE_LOOK_S)
                if offer is not None:
                    machine.accept(offer)
        except Stopping:
            log.info("update worker stops")

    def _revert(self) -> None:
        self._revert_file.unlink()
        for model in self._slots.models():
            try:
                release = self._machine.go_back(model)
                log.info("reverted by hand", extra={"model": model, "release": release})
            except AgentError as error:
                log.warning("not reverted", extra={"model": model, "reason": str(error)})


def revert_all(slots: Slots) -> tuple[tuple[ModelName, ReleaseId], ...]:
    """Make every model's previous release the good one, for an agent that is not running.

    Raises:
        NothingToRevert: a model has none.
    """
    return tuple((model, slots.swap(model).release) for model in slots.models())
