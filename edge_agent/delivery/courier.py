"""Asking the server for metadata and chunks, and waiting for the answer.

Questions go out over the link, answers come into a ``Mailbox``. Silence is answered by asking again,
later and later, for as long as the offer stands: a device that is offline for a week goes on where it
was. Answers carry no trust; whoever asked checks them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from contracts.chunks import DEFAULT_CHUNK_BYTES, ChunkAnswer, ChunkRequest
from contracts.codec import decode, encode
from contracts.errors import DecodeError
from contracts.metadata import PART_BYTES, MetadataAnswer, MetadataRequest
from contracts.topics import Channel
from edge_agent.clock import Clock
from edge_agent.delivery.window import START, Timeout
from edge_agent.errors import MetadataMissing, NothingArrives
from edge_agent.trust.errors import MetadataTooLong

LONGEST_SILENCE_S = 60.0
LONGEST_FIRST_S = 60.0
FIRST_BYTES = START * DEFAULT_CHUNK_BYTES

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message from the server."""

    channel: Channel
    data: bytes


class Mailbox(Protocol):
    """Where answers arrive."""

    @property
    def sessions(self) -> int:
        """How many sessions with the broker began: what was asked for in an earlier one may be lost."""
        ...

    def expect(self, channel: Channel | None) -> None:
        """Keep what comes on that channel from now on; let go of all else."""
        ...

    def take(self, timeout_s: float) -> Letter | None:
        """Return the next letter, or None after that long, or when a session began.

        Whoever takes a letter is done with the one before: it is acknowledged to the broker only now.

        Raises:
            Interrupted: there is something more urgent than this update.
        """
        ...


class Interrupted(Exception):  # not an AgentError: nothing went wrong
    """The update should not go on now."""


class Superseded(Interrupted):
    """A newer offer came."""


class Stopping(Interrupted):
    """The agent is about to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for an answer: ``first_s``, then twice as long each time, with jitter."""

    first_s: float
    chance: random.Random

    def after(self, silences: int) -> float:
        """Return the seconds to wait after so many unanswered questions: 0.5 to 1 times the step."""
        longest = min(LONGEST_SILENCE_S, self.first_s * 2.0 ** min(silences, 16))
        return longest * (1.0 if silences == 0 else self.chance.uniform(0.5, 1.0))


class Courier:
    """The device's side of the questions."""

    def __init__(
        self, publish: Callable[[Channel, bytes], None], mailbox: Mailbox, *, clock: Clock, patience: Patience
    ) -> None:
        self._publish = publish
        self._mailbox = mailbox
        self._clock = clock
        self._request = 0
        self._waited_s = 0.0
        self._heard_bytes = 0
        self.patience = patience

    def metadata(self, asked: MetadataRequest, *, limit_bytes: int, asks: int = 0) -> bytes:
        """Return the file as the server gives it; it is not yet trusted. The courier numbers the request itself.

        It asks until it is answered, or so many times as ``asks`` says.

        Raises:
            NothingArrives: it was asked for that often and nobody answered.
            MetadataMissing: the server has no such file.
            MetadataTooLong: it is longer than ``limit_bytes``; no more than that was read.
            Interrupted: as the mailbox says.
        """
        self._mailbox.expect(Channel.META)
        try:
            return self._ask_until_answered(asked, limit_bytes, asks)
        finally:
            self._mailbox.expect(None)

    def _ask_until_answered(self, asked: MetadataRequest, limit_bytes: int, asks: int) -> bytes:
        silences = 0
        while True:
            self._request += 1
            question = dataclasses.replace(asked, request=self._request)
            began_s = self._clock.monotonic_s()
            self._publish(Channel.META_REQUEST, encode(question))
            parts = self._parts(question, limit_bytes, self.patience.after(silences))
            if parts is not None:
                self._waited_s += self._clock.monotonic_s() - began_s
                self._heard_bytes += sum(map(len, parts))
                return b"".join(parts)
            silences += 1
            if silences == asks:
                raise NothingArrives(f"asked {asks} times for {asked.name}, and nobody answered; is the server up?")

    @property
    def sessions(self) -> int:
        """How many sessions with the broker began."""
        return self._mailbox.sessions

    def first_timeout(self) -> Timeout:
        """Return how long to wait for the first chunks: as for other answers, and longer on a slow link.

        Two chunks are many times the bytes of the metadata that came just before: where these took long, chunks will.
        """
        slow_s = self._waited_s * FIRST_BYTES / max(self._heard_bytes, 1)
        return Timeout(first_s=max(self.patience.first_s, min(slow_s, LONGEST_FIRST_S)), chance=self.patience.chance)

    def expect_chunks(self, *, on: bool) -> None:
        """Take chunks from now on, or no longer."""
        self._mailbox.expect(Channel.CHUNK if on else None)

    def ask_chunks(self, request: ChunkRequest) -> None:
        """Send the request; answers come one by one to ``next_chunk``."""
        self._publish(Channel.CHUNK_REQUEST, encode(request))

    def next_chunk(self, timeout_s: float) -> ChunkAnswer | None:
        """Return the next chunk that arrives, or None after that long, or when a session began."""
        return self._next(Channel.CHUNK, ChunkAnswer, timeout_s)

    def rest(self, seconds: float) -> None:
        """Let time pass, open to interruption; what arrives meanwhile was not asked for."""
        deadline = self._clock.monotonic_s() + seconds
        while (left := deadline - self._clock.monotonic_s()) > 0:
            self._mailbox.take(left)

    def _parts(self, question: MetadataRequest, limit_bytes: int, timeout_s: float) -> list[bytes] | None:
        found: dict[int, bytes] = {}
        heard_bytes = 0
        while (answer := self._next(Channel.META, MetadataAnswer, timeout_s)) is not None:
            if answer.request != question.request or answer.name != question.name:
                continue
            what = f"{question.name}{f' version {question.version}' if question.version else ''}"
            if answer.parts == 0:
                raise MetadataMissing(f"the server has no {what}; publish the release again")
            found[answer.part] = answer.data
            heard_bytes += len(answer.data)  # a part that comes twice, too: the broker may repeat each one once
            if answer.parts * PART_BYTES >= limit_bytes + PART_BYTES or heard_bytes > 2 * limit_bytes:
                raise MetadataTooLong(
                    f"{what} has {answer.parts} parts and more than {limit_bytes} bytes; it is not read any further: "
                    "ask the fleet's operator what the server sends"
                )
            if len(found) >= answer.parts:
                return [found[part] for part in sorted(found)]
        return None

    def _next(self, channel: Channel, kind: type[Answer], timeout_s: float) -> Answer | None:
        deadline_s = self._clock.monotonic_s() + timeout_s
        left_s = timeout_s
        while True:
            letter = self._mailbox.take(max(0.0, left_s))
            if letter is not None and letter.channel is channel:
                with contextlib.suppress(DecodeError):  # what cannot be read is as good as nothing: it is asked again
                    return decode(kind, letter.data)
            left_s = deadline_s - self._clock.monotonic_s()
            if letter is None or left_s <= 0:
                return None
