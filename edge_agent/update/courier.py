"""Asking the server for metadata and chunks, and waiting for the answer.

Questions go out over the link, answers come into a ``Mailbox``. Silence is answered by asking again,
later and later, for as long as the offer stands: a device that is offline for a week goes on where it
was. Answers carry no trust; whoever asked checks them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from contracts.chunks import ChunkAnswer, ChunkRequest
from contracts.codec import decode, encode
from contracts.errors import DecodeError
from contracts.metadata import PART_BYTES, MetadataAnswer, MetadataName, MetadataRequest
from contracts.topics import Channel
from edge_agent.clock import Clock
from edge_agent.errors import MetadataMissing

LONGEST_SILENCE_S = 60.0

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message from the server."""

    channel: Channel
    data: bytes


class Mailbox(Protocol):
    """Where answers arrive."""

    def take(self, timeout_s: float) -> Letter | None:
        """Return the next letter, or None after that long.

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
        self.patience = patience

    def metadata(self, name: MetadataName, *, limit_bytes: int, version: int = 0, digest: str = "") -> bytes:
        """Return the named file as the server gives it; it is not yet trusted.

        Raises:
            MetadataMissing: the server has no such file, or it is longer than ``limit_bytes``.
            Interrupted: as the mailbox says.
        """
        silences = 0
        while True:
            self._request += 1
            question = MetadataRequest(name=name, request=self._request, version=version, digest=digest)
            self._publish(Channel.META_REQUEST, encode(question))
            parts = self._parts(question, limit_bytes, self.patience.after(silences))
            if parts is not None:
                return b"".join(parts)
            silences += 1

    def ask_chunks(self, request: ChunkRequest) -> None:
        """Send the request; answers come one by one to ``next_chunk``."""
        self._publish(Channel.CHUNK_REQUEST, encode(request))

    def next_chunk(self, timeout_s: float) -> ChunkAnswer | None:
        """Return the next chunk that arrives, or None after that long."""
        return self._next(Channel.CHUNK, ChunkAnswer, timeout_s)

    def rest(self, seconds: float) -> None:
        """Let time pass, open to interruption; what arrives meanwhile was not asked for."""
        deadline = self._clock.monotonic_s() + seconds
        while (left := deadline - self._clock.monotonic_s()) > 0:
            self._mailbox.take(left)

    def _parts(self, question: MetadataRequest, limit_bytes: int, timeout_s: float) -> list[bytes] | None:
        found: dict[int, bytes] = {}
        while (answer := self._next(Channel.META, MetadataAnswer, timeout_s)) is not None:
            if answer.request != question.request or answer.name != question.name:
                continue
            what = f"{question.name}{f' version {question.version}' if question.version else ''}"
            if answer.parts == 0:
                raise MetadataMissing(f"the server has no {what}; publish the release again")
            if answer.parts * PART_BYTES >= limit_bytes + PART_BYTES:
                raise MetadataMissing(f"{what} has {answer.parts} parts, more than {limit_bytes} bytes; it is not read")
            found[answer.part] = answer.data
            if len(found) >= answer.parts:
                return [found[part] for part in sorted(found)]
        return None

    def _next(self, channel: Channel, kind: type[Answer], timeout_s: float) -> Answer | None:
        deadline = self._clock.monotonic_s() + timeout_s
        while (left := deadline - self._clock.monotonic_s()) > 0:
            letter = self._mailbox.take(left)
            if letter is None or letter.channel is not channel:
                continue
            try:
                return decode(kind, letter.data)
            except DecodeError:
                continue  # a message that cannot be read is as good as none: the question is asked again
        return None
