"""Carrying out an offer: write down what comes next, then do it.

``accept`` takes one offer from IDLE back to IDLE; ``resume`` does the same for what a restart finds in
the journal. Which state follows is ``states.TRANSITIONS``; this module only knows what to do in each.
Every state may be entered again after a power cut. The final report is in the outbox before the
journal says IDLE, so an attempt's end is told at least once.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.artifact import Artifact, read_artifact
from contracts.errors import ArtifactError
from contracts.ids import ModelName, ReleaseId
from contracts.update import Offer, UpdateReport, UpdateState
from edge_agent.delivery.courier import Courier, Interrupted, Superseded
from edge_agent.errors import (
    AgentError,
    ArtifactMismatch,
    JournalCorrupt,
    ProbationCrashed,
    ReportTooLong,
    RestartedTooOften,
)
from edge_agent.update.journal import Entry, Journal
from edge_agent.update.outcome import REPORTED_AS, OutcomeCode, disk_error, final_state
from edge_agent.update.probation import collect, judge
from edge_agent.update.slots import Installed, SlotName, Slots
from edge_agent.update.states import Event, State, step
from edge_agent.update.wholeness import check_whole

if TYPE_CHECKING:
    from contracts.release import ReleasedArtifact
    from edge_agent.clock import Clock
    from edge_agent.delivery.fetch import Fetcher
    from edge_agent.trust.trust import Trust
    from edge_agent.update.serving import Serving

log = logging.getLogger(__name__)

RESTARTS_LIMIT = 3
HARMLESS = (State.IDLE, State.PLANNING, State.REVERTING)
"""States that may begin without being written down (the disk is full): a restart from the older entry is as good."""
PROGRESS_PERIOD_S = 0.5
DETAIL_LIMIT = 2000
"""Characters of a failure's sentence that are kept and told: a runtime may say anything, a report is one message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbationTerms:
    """How a release is proved: runs for the latency, seconds of watched service, and the memory gauge."""

    runs: int
    watch_s: float
    resident_bytes: Callable[[], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the machine works with."""

    journal: Journal
    slots: Slots
    trust: Trust
    fetcher: Fetcher
    courier: Courier
    serving: Serving
    terms: ProbationTerms
    clock: Clock
    report: Callable[[UpdateReport], None]


class UpdateMachine:
    """One update at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._entry = self._recalled()
        self._failure: AgentError | None = None
        self._chunks = (0, 0)
        self._progress_at_s = 0.0
        self._acts: dict[State, Callable[[], Event]] = {
            State.PLANNING: self._plan,
            State.FETCHING: self._fetch,
            State.VERIFYING: self._verify,
            State.STAGING: self._stage,
            State.SWITCHING: self._switch,
            State.PROBATION: self._prove,
            State.COMMITTING: self._commit,
            State.REVERTING: self._revert,
        }

    @property
    def generation(self) -> int:
        """The newest offer taken up, also one of an earlier start: none below it will be."""
        return self._entry.generation

    def wake(self) -> None:
        """Let the last good release of every model serve."""
        for model in self._parts.slots.models():
            try:
                self._serve_good(model)
            except AgentError as error:
                log.error("model cannot serve", extra={"model": model, "reason": str(error)})  # noqa: TRY400 (one line, no traceback)

    def resume(self) -> None:
        """Finish what a restart interrupted; nothing happens where nothing was.

        Raises:
            Stopping: the agent is about to end; the journal says where to go on.
        """
        entry = self._entry
        if entry.state is State.IDLE:
            return
        restarts = entry.restarts + 1
        if restarts > RESTARTS_LIMIT:
            self._fail(RestartedTooOften(f"restarted {restarts} times while {entry.state}; look at the device's log"))
            self._run(Event.EXHAUSTED)
        else:
            self._entry = dataclasses.replace(entry, restarts=restarts)
            self._run(Event.POWER_LOST)

    def accept(self, offer: Offer) -> None:
        """Carry out the offer; one that is not newer than the last is no news [wire-4.1].

        Raises:
            Stopping: the agent is about to end; the journal says where to go on.
        """
        if offer.generation <= self._entry.generation:
            return
        self._entry = Entry(state=State.IDLE, offer=offer)
        self._chunks = (0, 0)
        self._run(Event.OFFERED)

    def go_back(self, model: ModelName) -> ReleaseId:
        """Let the previous release serve and be the good one: an operator's word on the device itself.

        Raises:
            NothingToRevert: there is none.
            BelowFloor: it was revoked.
            MemoryDamaged: nobody knows whether it was.
        """
        held = self._parts.slots.swap(model, floors=self._parts.trust.floors())
        self._serve_good(model)
        return held.release

    def _recalled(self) -> Entry:
        try:
            return self._parts.journal.read()
        except JournalCorrupt as error:
            log.warning("journal set aside", extra={"reason": str(error)})
            self._parts.journal.set_aside()
            return Entry(state=State.IDLE)

    def _run(self, event: Event) -> None:
        while True:
            try:
                self._move(event)
            except (AgentError, OSError) as error:
                if event is Event.FAILED:
                    raise  # not even the failure can be noted: whoever called tries again, later
                event = self._fail(error)
                continue
            if self._entry.state is State.IDLE:
                return
            event = self._act()

    def _act(self) -> Event:
        self._failure = None
        try:
            return self._acts[self._entry.state]()
        except Superseded:
            return Event.SUPERSEDED
        except (AgentError, OSError) as error:
            return self._fail(error)

    def _move(self, event: Event) -> None:
        """Write down the state that follows, then take it and say so."""
        left = self._entry.state
        state = step(left, event)
        entry = dataclasses.replace(
            self._entry, state=state, restarts=self._entry.restarts if event is Event.POWER_LOST else 0
        )
        if state is State.IDLE:
            self._end(left, event)
            entry = dataclasses.replace(entry, pinned=None, code="", detail="")
        elif state is State.REVERTING and event is not Event.POWER_LOST:
            code, detail = self._reason(event)
            entry = dataclasses.replace(entry, code=code, detail=detail)
        self._write_down(entry)
        self._entry = entry
        if state in REPORTED_AS:
            self._tell(REPORTED_AS[state])

    def _end(self, left: State, event: Event) -> None:
        """Clean up, then say how it ended."""
        if event is not Event.SUPERSEDED:
            self._clear()
        state = final_state(left, event, type(self._failure) if self._failure else AgentError)
        code, detail = (self._entry.code, self._entry.detail) if left is State.REVERTING else self._reason(event)
        log.info("update ended", extra={"release": self._offer.release, "state": state, "reason": code})
        self._tell(state, code=code, detail=detail)

    def _clear(self) -> None:
        try:
            self._parts.fetcher.clear()
        except OSError as error:
            log.warning("fetched chunks not removed", extra={"reason": str(disk_error(error))})

    def _reason(self, event: Event) -> tuple[str, str]:
        if event is Event.SUPERSEDED:
            return OutcomeCode.SUPERSEDED, "a newer offer came"
        return (self._failure.code, str(self._failure)[:DETAIL_LIMIT]) if self._failure else (OutcomeCode.NONE, "")

    def _write_down(self, entry: Entry) -> None:
        try:
            self._parts.journal.write(entry)
        except OSError as error:
            if entry.state not in HARMLESS:
                raise
            log.error("journal not written", extra={"reason": str(disk_error(error))})  # noqa: TRY400 (one line, no traceback)

    def _fail(self, error: AgentError | OSError) -> Event:
        failure = disk_error(error) if isinstance(error, OSError) else error
        log.warning("update failed", extra={"state": self._entry.state, "code": failure.code, "reason": str(failure)})
        self._failure = failure
        return Event.FAILED

    @property
    def _offer(self) -> Offer:
        if self._entry.offer is None:
            raise AssertionError("an update without an offer")
        return self._entry.offer

    @property
    def _pinned(self) -> ReleasedArtifact:
        if self._entry.pinned is None:
            raise AssertionError(f"{self._entry.state} without a pinned artifact")
        return self._entry.pinned

    # what to do in each state

    def _plan(self) -> Event:
        """Pin what both repositories name now: from here on, and after a restart, it is not judged again [wire-4.2]."""
        offer, parts = self._offer, self._parts
        pointer = parts.slots.pointer(offer.model)
        if _holds(pointer.good_release, offer) and parts.serving.running(offer.model) == offer.release:
            return Event.CURRENT
        pinned = parts.trust.plan(parts.courier, offer.release)
        self._entry = dataclasses.replace(self._entry, pinned=pinned)
        spare = pointer.spare_release
        if spare is not None and spare.digest == pinned.digest and self._is_whole(offer.model, pointer.spare):
            return Event.FOUND
        return Event.PLANNED

    def _fetch(self) -> Event:
        self._parts.fetcher.fetch(
            self._pinned,
            bytes_s=self._offer.max_bytes_s,
            progress=self._progress,
            warn=self._warn,
            forgot=self._forgot_delta,
        )
        return Event.FETCHED

    def _verify(self) -> Event:
        check_whole(self._parts.fetcher.data(self._pinned), self._pinned)
        return Event.VERIFIED

    def _stage(self) -> Event:
        pinned = self._pinned
        installed = Installed(
            release=pinned.custom.release,
            digest=pinned.digest,
            length=pinned.length,
            counter=pinned.custom.counter,
            installed_at=self._parts.clock.now(),
        )
        self._parts.slots.stage(self._offer.model, self._parts.fetcher.data(pinned), installed)
        return Event.STAGED

    def _switch(self) -> Event:
        self._parts.slots.begin_trial(self._offer.model)
        return Event.SWITCHED

    def _prove(self) -> Event:
        model, parts = self._offer.model, self._parts
        artifact = _read(parts.slots.read(model, parts.slots.pointer(model).spare))
        try:
            self._try_out(artifact)
        except (AgentError, Interrupted, OSError):
            raise
        except (
            Exception
        ) as error:  # supervised: a model may make its runtime raise anything, and must not take the agent down
            raise ProbationCrashed(f"{self._offer.release} cannot be run here: {error}") from error
        return Event.PROVED

    def _try_out(self, artifact: Artifact) -> None:
        parts, terms = self._parts, self._parts.terms
        parts.serving.prepare(artifact)
        before = terms.resident_bytes()
        opened = parts.serving.open(artifact)
        with ExitStack() as unfit:
            unfit.callback(opened.close)
            evidence = collect(opened, runs=terms.runs, resident_bytes=terms.resident_bytes, resident_before=before)
            judge(evidence, artifact.manifest)
            unfit.pop_all()
        parts.serving.put(opened)
        if terms.watch_s > 0:
            parts.courier.rest(terms.watch_s)
            again = collect(opened, runs=terms.runs, resident_bytes=lambda: 0, resident_before=0)
            judge(again, artifact.manifest)

    def _commit(self) -> Event:
        self._parts.slots.commit(self._offer.model)
        self._serve_good(self._offer.model)
        return Event.COMMITTED

    def _revert(self) -> Event:
        try:
            self._parts.slots.take_back(self._offer.model, self._offer.release)
        finally:
            self._serve_good(self._offer.model)
        return Event.REVERTED

    # what the states share

    def _serve_good(self, model: ModelName) -> None:
        """Let the good slot's release answer; where there is none, nothing answers."""
        pointer, serving = self._parts.slots.pointer(model), self._parts.serving
        if pointer.good is None or pointer.good_release is None:
            serving.remove(model)
        elif serving.running(model) != pointer.good_release.release:
            serving.put(serving.open(_read(self._parts.slots.read(model, pointer.good))))

    def _is_whole(self, model: ModelName, slot: SlotName) -> bool:
        try:
            self._parts.slots.read(model, slot)
        except ArtifactMismatch as error:
            log.warning("spare slot is damaged", extra={"model": model, "reason": str(error)})
            return False
        return True

    def _progress(self, done: int, total: int) -> None:
        grew = self._chunks[1] > 0 and done > self._chunks[0]  # what a restart finds on disk is no progress
        self._chunks = (done, total)
        if grew and self._entry.restarts:
            self._entry = dataclasses.replace(self._entry, restarts=0)
            self._parts.journal.write(self._entry)
        now_s = self._parts.clock.monotonic_s()
        if done == total or now_s - self._progress_at_s >= PROGRESS_PERIOD_S:
            self._progress_at_s = now_s
            self._tell(UpdateState.DOWNLOADING)

    def _warn(self, sentence: str) -> None:
        log.warning("delivery is slow", extra={"reason": sentence})
        self._tell(UpdateState.DOWNLOADING, code=OutcomeCode.SLOW_DELIVERY, detail=sentence)

    def _forgot_delta(self, error: AgentError) -> None:
        self._tell(UpdateState.DOWNLOADING, code=error.code, detail=str(error)[:DETAIL_LIMIT])

    def _tell(self, state: UpdateState, *, code: str = "", detail: str = "") -> None:
        offer = self._offer
        report = UpdateReport(
            rollout=offer.rollout,
            generation=offer.generation,
            attempt=offer.attempt,
            release=offer.release,
            state=state,
            running=self._parts.serving.running(offer.model) or "",
            at=self._parts.clock.now(),
            code=code,
            detail=detail,
            chunks_done=self._chunks[0],
            chunks_total=self._chunks[1],
        )
        try:
            self._parts.report(report)
        except ReportTooLong:  # all else in it is names and numbers of bounded length
            self._parts.report(dataclasses.replace(report, detail=""))


def _holds(held: Installed | None, offer: Offer) -> bool:
    return held is not None and held.release == offer.release


def _read(data: bytes) -> Artifact:
    try:
        return read_artifact(data)
    except ArtifactError as error:
        raise ArtifactMismatch(f"the artifact cannot be read: {error}") from error
