"""The next version as its difference from one that is here, where that is worth it [wire-5.14].

    fetch/INDEX/delta.cbor    what is known of it (``Notes``): survives a restart, goes with the fetch
    fetch/INDEX/delta/        the delta, half-fetched like any artifact (``partial``)

A delta is fetched only where its missing bytes are under 70 % of the artifact's. It is applied by a child process
(``delta_process``), what comes out goes chunk by chunk into the artifact's own file, each one checked against the
signed index: a power cut leaves good chunks and the delta, and applying begins again. A delta that is of no use for
whatever reason is forgotten, its base is not asked for again by this fetch, and the chunks are fetched.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Protocol

from contracts.chunks import DEFAULT_CHUNK_BYTES, ChunkIndex
from contracts.codec import decode, encode
from contracts.delta.file import LENGTH_LIMIT_BYTES
from contracts.delta.news import DeltaNews, DeltaState
from contracts.errors import DecodeError, DeltaError
from contracts.ids import Digest, ModelName, digest_of, split_release_id
from contracts.metadata import LIMITS_BYTES, MetadataName, MetadataRequest
from edge_agent.delivery.courier import Interrupted
from edge_agent.delivery.detour import SILENCES
from edge_agent.delivery.partial import Partial
from edge_agent.delivery.pull import Parcel, Pull, Terms
from edge_agent.errors import AgentError, DeltaUnusable, NothingArrives

if TYPE_CHECKING:
    from pathlib import Path

    from contracts.release import ReleasedArtifact
    from edge_agent.clock import Clock
    from edge_agent.delivery.courier import Courier
    from edge_agent.delivery.detour import ChunkLine
    from edge_agent.disk import Disk

log = logging.getLogger(__name__)

PAYS_RATIO = 0.7
"""Of the bytes that are missing: a longer delta is not worth the work."""
LEAST_MISSING_BYTES = DEFAULT_CHUNK_BYTES
"""Less than a chunk is fetched sooner than a delta is asked for and applied."""
LONGEST_WAIT_S = 5.0
"""For a delta that is being made; for few missing bytes less, as long as they take at ``WAITED_FOR_BYTES_S``."""
WAITED_FOR_BYTES_S = 128 * 1024
LOOK_S = 0.5
ASKS = 2
"""Questions about a delta without an answer, before it is looked whether the server lives at all."""
BEGINNINGS_LIMIT = 2
"""Times that applying one delta may end with the device; fewer than the restarts that end an update."""
MEMORY_BESIDE_BYTES = 96 * 1024 * 1024
"""What applying takes beside base, target and delta: the interpreter, numpy and one entry of the delta."""
SPARE_DISK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What applying needs: two files, and the length and digest of what must come out."""

    base: Path
    delta: Path
    length: int
    digest: Digest
    memory_bytes: int


class Apply(Protocol):
    """How a delta is applied."""

    def __call__(self, task: Task, rest: Callable[[float], None]) -> AbstractContextManager[IO[bytes]]:
        """Give the whole target, checked, to read once; ``rest`` lets time pass and may raise Interrupted.

        Raises:
            DeltaError: the delta does not lead there, or applying takes too long or too much.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaTools:
    """What deltas need: the slots' files of a model, best first, how to apply one, and the memory free for that."""

    bases: Callable[[ModelName], Iterable[tuple[Digest, Path]]]
    apply: Apply
    free_memory_bytes: Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """What a restart must know.

    ``news`` is of the delta being fetched or applied, ``beginnings`` counts how often applying it began, and
    ``useless`` names the bases whose deltas were forgotten.
    """

    news: DeltaNews | None = None
    beginnings: int = 0
    useless: tuple[str, ...] = ()
    schema: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What fetching works with, and who is told that a delta was forgotten."""

    disk: Disk
    courier: Courier
    clock: Clock
    line: ChunkLine | None
    tools: DeltaTools
    terms: Terms
    forgot: Callable[[AgentError], None] = field(default=lambda _: None)


class DeltaFetch:
    """One artifact, half-fetched, and the deltas that may complete it."""

    def __init__(self, pinned: ReleasedArtifact, partial: Partial, *, home: Path, means: Means) -> None:
        self._pinned = pinned
        self._partial = partial
        self._means = means
        self._folder = home / "delta"
        self._notes_path = home / "delta.cbor"
        self._notes = self._recalled()

    def run(self) -> None:
        """Complete the artifact by a delta, if one is to be had that pays; else leave it for its chunks.

        Raises:
            OSError: the disk refuses the artifact's own bytes.
            Interrupted: a newer offer, or the end of the process.
        """
        while (found := self._found()) is not None:
            path, news = found
            try:
                self._fetch(news)
                self._apply(path, news)
            except (AgentError, DeltaError) as error:
                self._forget(news, error)
            else:
                log.info("delta used", extra={"path": self._pinned.path, "bytes": news.length})
                return

    # which one

    def _found(self) -> tuple[Path, DeltaNews] | None:
        """Return the first base for which there is a delta that pays, and the news of it."""
        missing_bytes = self._missing_bytes(self._partial)
        if missing_bytes < LEAST_MISSING_BYTES or self._pinned.length > LENGTH_LIMIT_BYTES:
            return None
        until_s = self._means.clock.monotonic_s() + min(LONGEST_WAIT_S, missing_bytes / WAITED_FOR_BYTES_S)
        for digest, path in self._bases():
            news = self._awaited(digest, until_s)
            if news.state is DeltaState.LATER:
                return None  # another base would only keep the server busy
            if news.state is DeltaState.READY and self._pays(path, news, missing_bytes):
                self._note(dataclasses.replace(self._notes, news=news))
                return path, news
        return None

    def _bases(self) -> Iterator[tuple[Digest, Path]]:
        """Yield the artifacts of the model that are here, whole, and not known to be useless."""
        model = split_release_id(self._pinned.custom.release)[0]
        for digest, path in self._means.tools.bases(model):
            if digest not in self._notes.useless and digest != self._pinned.digest and _is_whole(path, digest):
                yield digest, path

    def _awaited(self, base: Digest, until_s: float) -> DeltaNews:
        """Return what there is of a delta from that base; where it is being made, wait a little for it."""
        known, clock = self._notes.news, self._means.clock
        if known is not None and known.base == base:
            return known
        while (news := self._asked(base)).state is DeltaState.LATER and clock.monotonic_s() + LOOK_S <= until_s:
            self._means.courier.rest(LOOK_S)
        return news

    def _asked(self, base: Digest) -> DeltaNews:
        target = self._pinned.digest
        question = MetadataRequest(name=MetadataName.DELTA, request=0, digest=target, base=base)
        for _ in range(2):
            try:
                data = self._means.courier.metadata(question, limit_bytes=LIMITS_BYTES[MetadataName.DELTA], asks=ASKS)
                news = decode(DeltaNews, data)
            except NothingArrives:
                self._await_server()
            except (AgentError, DecodeError):  # no server says that of something that it has
                break
            else:
                return news if (news.base, news.target) == (base, target) else _none(base, target)
        return _none(base, target)

    def _pays(self, base: Path, news: DeltaNews, missing_bytes: int) -> bool:
        """Whether the delta is short enough, and this device large enough for it."""
        if not 0 < news.length <= LENGTH_LIMIT_BYTES or len(news.index) != len(self._pinned.digest):
            return False
        begun = self._opened_before(news)
        left_bytes = news.length if begun is None else self._missing_bytes(begun)
        tools, disk = self._means.tools, self._means.disk
        return (
            left_bytes < PAYS_RATIO * missing_bytes
            and self._memory_bytes(base, news) <= tools.free_memory_bytes()
            and (begun is not None or news.length + SPARE_DISK_BYTES <= disk.free_bytes(self._notes_path.parent))
        )

    def _memory_bytes(self, base: Path, news: DeltaNews) -> int:
        return MEMORY_BESIDE_BYTES + base.stat().st_size + 2 * self._pinned.length + 2 * news.length

    def _opened_before(self, news: DeltaNews) -> Partial | None:
        """Return what an earlier start fetched of this very delta."""
        path = self._folder / "index.cbor"
        with contextlib.suppress(OSError, AgentError):
            if path.exists() and (self._folder / "data").exists():
                partial = Partial(self._folder, checked_delta_index(path.read_bytes(), news), self._means.disk)
                partial.open()
                return partial
        return None

    # its bytes

    def _fetch(self, news: DeltaNews) -> None:
        """Pull the delta's chunks into a file of its own.

        Raises:
            AgentError: they are not to be had, or there is no room for them.
            Interrupted: a newer offer, or the end of the process.
        """
        try:
            partial = self._opened_before(news) or self._opened(news)
            while not self._pulled(partial, news):
                partial = self._opened(news)
        except OSError as error:
            raise DeltaUnusable(f"a delta has no room on the disk ({error}); free some space") from error

    def _opened(self, news: DeltaNews) -> Partial:
        path = self._folder / "index.cbor"
        data = path.read_bytes() if path.exists() else b""
        if digest_of(data) != news.index:
            question = MetadataRequest(name=MetadataName.INDEX, request=0, digest=news.index)
            data = self._means.courier.metadata(question, limit_bytes=LIMITS_BYTES[MetadataName.INDEX])
            checked_delta_index(data, news)
            self._means.disk.remove_tree(self._folder)
            self._means.disk.write(path, data)
        index = checked_delta_index(data, news)
        partial = Partial(self._folder, index, self._means.disk)
        partial.open()
        return partial

    def _pulled(self, partial: Partial, news: DeltaNews) -> bool:
        """Return whether all of it came; not so where the link was down, which it is no more.

        Raises:
            NothingArrives: the server lives, and sends nothing of this delta.
        """
        means, done = self._means, self._partial.done
        terms = dataclasses.replace(
            means.terms,
            progress=lambda some, all_: means.terms.progress(done + some, done + all_),
            silences=SILENCES + (means.line is not None),
        )
        terms.progress(partial.done, partial.total)
        parcel = Parcel(index=Digest(news.index), name=f"the delta to {self._pinned.path}")
        try:
            Pull(parcel, partial, courier=means.courier, clock=means.clock, line=means.line, terms=terms).run()
        except NothingArrives:
            if self._await_server() < means.courier.patience.first_s:
                raise
            return False
        return True

    def _await_server(self) -> float:
        """Return once the server answers what it always does, after how many seconds."""
        began_s = self._means.clock.monotonic_s()
        question = MetadataRequest(name=MetadataName.INDEX, request=0, digest=self._pinned.custom.index)
        with contextlib.suppress(AgentError):  # whatever it answers, it lives
            self._means.courier.metadata(question, limit_bytes=LIMITS_BYTES[MetadataName.INDEX])
        return self._means.clock.monotonic_s() - began_s

    # its use

    def _apply(self, base: Path, news: DeltaNews) -> None:
        """Put what the delta leads to into the artifact's file.

        Raises:
            DeltaError: it leads nowhere.
            DeltaUnusable: it leads to other bytes than the signed ones, or the device goes down over it.
            OSError: the disk refuses.
            Interrupted: a newer offer, or the end of the process.
        """
        before = self._notes
        if before.beginnings >= BEGINNINGS_LIMIT:
            raise DeltaUnusable("the device went down each time that the delta was applied; the chunks are fetched")
        self._note(dataclasses.replace(before, beginnings=before.beginnings + 1))
        task = Task(
            base=base,
            delta=self._folder / "data",
            length=self._pinned.length,
            digest=self._pinned.digest,
            memory_bytes=self._memory_bytes(base, news),
        )
        try:
            with self._means.tools.apply(task, self._means.courier.rest) as target:
                self._take(target)
        except Interrupted:
            self._note(before)
            raise
        self._partial.sync()
        self._means.terms.progress(self._partial.done, self._partial.total)

    def _take(self, target: IO[bytes]) -> None:
        partial = self._partial
        for place in range(partial.total):
            data = target.read(partial.length(place))
            if partial.holds(place):
                continue
            if not partial.fits(place, data):
                raise DeltaUnusable(f"the delta to {self._pinned.path} gives other bytes; the chunks are fetched")
            partial.put(place, data, now_s=self._means.clock.monotonic_s())

    # what is remembered

    def _forget(self, news: DeltaNews, error: AgentError | DeltaError) -> None:
        """Offer that base no more, remove the delta, and say so."""
        self._note(Notes(useless=(*self._notes.useless, news.base)))
        with contextlib.suppress(OSError):
            self._means.disk.remove_tree(self._folder)
        sentence = f"{self._pinned.path} comes by chunks, its delta of {news.length} bytes is of no use: {error}"
        log.warning("delta forgotten", extra={"reason": sentence})
        self._means.forgot(DeltaUnusable(sentence))
        self._means.terms.progress(self._partial.done, self._partial.total)

    def _note(self, notes: Notes) -> None:
        """Remember it; a disk that does not take it costs no update."""
        self._notes = notes
        with contextlib.suppress(OSError):
            self._means.disk.write(self._notes_path, encode(notes))

    def _recalled(self) -> Notes:
        with contextlib.suppress(OSError, DecodeError):
            return decode(Notes, self._notes_path.read_bytes())
        return Notes()

    def _missing_bytes(self, partial: Partial) -> int:
        return sum(map(partial.length, partial.wanted().values()))


def checked_delta_index(data: bytes, news: DeltaNews) -> ChunkIndex:
    """Return the delta's index, if it is the one of the news and adds up to its length.

    Raises:
        DeltaUnusable: it is not.
    """
    if digest_of(data) == news.index:
        with contextlib.suppress(DecodeError):
            index = decode(ChunkIndex, data, limit_bytes=LIMITS_BYTES[MetadataName.INDEX])
            if sum(index.lengths) == news.length:
                return index
    raise DeltaUnusable(f"chunk index {news.index[:12]} is not that of the delta; the chunks are fetched")


def _none(base: Digest, target: Digest) -> DeltaNews:
    return DeltaNews(base=base, target=target, state=DeltaState.NONE)


def _is_whole(path: Path, digest: Digest) -> bool:
    """Whether that file has that digest, and a length that deltas are for."""
    try:
        with path.open("rb") as file:
            short = path.stat().st_size <= LENGTH_LIMIT_BYTES
            return short and hashlib.file_digest(file, "sha256").hexdigest() == digest
    except OSError:
        return False
