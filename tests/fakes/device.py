"""One device's update side, joined to a fake broker, courier and inference side; it can lose its power.

>>> import tempfile
>>> from pathlib import Path
>>> from tests.fakes.repository import SignedRepository
>>> repository = SignedRepository()
>>> _ = repository.publish(an_artifact(version="1"))
>>> with tempfile.TemporaryDirectory() as folder:
...     device = FakeDevice(Path(folder), repository)
...     device.offer("digits@1")
...     device.last.state
<UpdateState.HEALTHY: 'healthy'>
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import random
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import IO

from contracts.artifact import Artifact, read_artifact, write_artifact
from contracts.codec import encode
from contracts.delta import apply
from contracts.ids import DEFAULT_TENANT, ModelName, RolloutId, parse_device_id, parse_profile_name, parse_release_id
from contracts.manifest import Budget, ModelFormat
from contracts.metadata import NONCE_BYTES
from contracts.topics import Channel, DeviceTopic, device_topic
from contracts.update import Offer, UpdateReport, UpdateState
from edge_agent.delivery.courier import Courier, Letter, Patience
from edge_agent.delivery.delta import Apply, DeltaTools, Task
from edge_agent.delivery.detour import ChunkLine
from edge_agent.delivery.fetch import Fetcher
from edge_agent.disk import Disk, SystemDisk
from edge_agent.identity import device_key
from edge_agent.state_folder import StateFolder
from edge_agent.trust.decision import Subject
from edge_agent.trust.memory import memory_key
from edge_agent.trust.trust import Trust, TrustPlaces
from edge_agent.update.journal import Journal
from edge_agent.update.machine import Parts, ProbationTerms, UpdateMachine
from edge_agent.update.slots import Slots
from edge_agent.update.worker import Mailroom, Taken
from tests.builders import TinyModel, a_tiny_tflite_artifact
from tests.fakes.broker import FakeBroker
from tests.fakes.clock import FakeClock
from tests.fakes.courier import FakeCourier
from tests.fakes.repository import SignedRepository
from tests.fakes.serving import FakeServing

DEVICE = parse_device_id("pi-1")
MODEL = ModelName("digits")
PROFILE = "raspberry-pi-4"
SILENCES_LIMIT = 500


@cache
def _template() -> Artifact:
    return read_artifact(a_tiny_tflite_artifact(TinyModel(hidden=2)))


def an_artifact(
    *,
    version: str,
    counter: int = 1,
    profile: str = PROFILE,
    model_bytes: int = 20_000,
    content: bytes = b"",
    budget: Budget | None = None,
    min_agent_version: str = "0.1.0",
) -> bytes:
    """Return an artifact whose model file is noise, or ``content``: real in everything but that no runtime reads it."""
    template = _template()
    manifest = dataclasses.replace(
        template.manifest,
        version=version,
        counter=counter,
        profile=parse_profile_name(profile),
        budget=budget or Budget(),
        min_agent_version=min_agent_version,
    )
    model = content or random.Random(version).randbytes(model_bytes)
    return write_artifact(manifest, {**template.members, "model": model})


class TimedMailroom(Mailroom):
    """A mailroom whose waiting takes the fake clock's time and none of ours; silence without end is an error."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock
        self.silences = 0

    def take(self, timeout_s: float) -> Letter | None:
        letter = super().take(0.0)
        if letter is None:
            self._clock.pass_s(timeout_s)
            self.silences += 1
            if self.silences > SILENCES_LIMIT:
                raise AssertionError("the device waits for an answer that never comes")
            self._check()
        return letter

    def received(self, channel: Channel, data: bytes, taken: Taken) -> None:
        self.deliver(channel, data, taken)


class FakeDevice:
    """A state folder and everything that works on it; ``restart`` makes all of it anew but the folder."""

    def __init__(self, state: Path, repository: SignedRepository, *, disk: Disk | None = None) -> None:
        self.state = state
        self.disk: Disk = disk or SystemDisk()
        self.courier = FakeCourier(repository)
        self.serving = FakeServing()
        self.clock = FakeClock()
        self.reports: list[UpdateReport] = []
        self.outbox_errors: list[Exception] = []
        self.resident_bytes = 50_000_000
        self.line: ChunkLine | None = None
        self.watch_s = 0.0
        self.free_memory_bytes = 1 << 30
        self.applied: list[Task] = []
        self.apply: Apply = self._apply
        self.runtimes: frozenset[str] = frozenset(ModelFormat)
        self._generation = 0
        self._chance = random.Random(7)
        state.mkdir(exist_ok=True)
        (state / "root.json").write_bytes(repository.root)
        (state / "director-root.json").write_bytes(repository.director.root)
        self.restart()

    def restart(self) -> None:
        """Come up as after a power cut: nothing is left but the folder."""
        self.serving = _anew(self.serving)
        self.broker = FakeBroker()
        self.mailroom = TimedMailroom(self.clock)
        self.broker.on_message(self._answer)
        link = self.broker.link(DEFAULT_TENANT, DEVICE)
        link.start(self.mailroom)
        courier = Courier(
            link.publish,
            self.mailroom,
            clock=self.clock,
            patience=Patience(first_s=5.0, chance=random.Random(7)),
        )
        self.slots = Slots(StateFolder(self.state).models, self.disk)
        self.machine = UpdateMachine(
            Parts(
                journal=Journal(StateFolder(self.state).journal, self.disk),
                slots=self.slots,
                trust=self._trust(),
                fetcher=Fetcher(
                    folder=StateFolder(self.state).fetch,
                    disk=self.disk,
                    courier=courier,
                    clock=self.clock,
                    credit=4,
                    held=self.slots.held,
                    line=self.line,
                    deltas=DeltaTools(
                        bases=self.slots.bases, apply=self.apply, free_memory_bytes=lambda: self.free_memory_bytes
                    ),
                ),
                courier=courier,
                serving=self.serving,
                terms=ProbationTerms(runs=16, watch_s=self.watch_s, resident_bytes=lambda: self.resident_bytes),
                clock=self.clock,
                report=self._report,
            )
        )
        self.machine.wake()
        self.mailroom.carrying_out(self.machine.generation)
        self._generation = max(self._generation, self.machine.generation)

    def resume(self) -> None:
        """Finish what the last life began."""
        self.machine.resume()

    def offer(self, release: str, *, max_bytes_s: int = 0, generation: int = 0, assigned: bool = True) -> None:
        """Carry out an offer of the release, newer than all before it; the director names it, too, unless told not."""
        self._generation = generation or self._generation + 1
        self.mailroom.carrying_out(self._generation)
        if assigned:
            self.courier.repository.assign(release)
        self.machine.accept(an_offer(release, generation=self._generation, max_bytes_s=max_bytes_s))

    def interrupt_with(self, release: str) -> None:
        """Let a newer offer arrive from the broker."""
        self.courier.repository.assign(release)
        newer = an_offer(release, generation=self._generation + 1)
        self.broker.publish(device_topic(DEFAULT_TENANT, DEVICE, Channel.OFFER), encode(newer), retain=True)

    @property
    def last(self) -> UpdateReport:
        """The newest report."""
        return self.reports[-1]

    @property
    def told(self) -> list[UpdateState]:
        """The states reported, repetitions left out."""
        states = [report.state for report in self.reports]
        return [state for place, state in enumerate(states) if place == 0 or states[place - 1] is not state]

    @property
    def running(self) -> str:
        """What serves."""
        return self.serving.running(MODEL) or ""

    def _trust(self) -> Trust:
        places = TrustPlaces(
            models_root=self.state / "root.json",
            director_root=self.state / "director-root.json",
            folder=StateFolder(self.state).metadata,
        )
        subject = Subject(
            tenant=DEFAULT_TENANT, device=DEVICE, profile=parse_profile_name(PROFILE), runtimes=self.runtimes
        )
        key = memory_key(device_key(self.state).sign)
        nonces = partial(self._chance.randbytes, NONCE_BYTES)
        return Trust(places, subject, self.disk, key=key, nonces=nonces)

    @contextlib.contextmanager
    def _apply(self, task: Task, rest: Callable[[float], None]) -> Iterator[IO[bytes]]:
        """Apply a delta as the child process does, without the process."""
        self.applied.append(task)
        rest(0.0)
        base, delta = task.base.read_bytes(), task.delta.read_bytes()
        yield io.BytesIO(apply(base, delta, length=task.length, digest=task.digest))

    def _report(self, report: UpdateReport) -> None:
        """Keep it, but where an error of the outbox is due."""
        if self.outbox_errors:
            raise self.outbox_errors.pop(0)
        self.reports.append(report)

    def _answer(self, topic: DeviceTopic, data: bytes) -> None:
        for channel, answer in self.courier.answers(topic.channel, data):
            self.broker.publish(device_topic(topic.tenant, topic.device, channel), answer)


def an_offer(release: str, *, generation: int = 1, max_bytes_s: int = 0) -> Offer:
    """Return an offer of the release."""
    return Offer(
        generation=generation,
        model=ModelName(release.partition("@")[0]),
        release=parse_release_id(release),
        rollout=RolloutId("rollout-1"),
        attempt=1,
        max_bytes_s=max_bytes_s,
    )


def _anew(before: FakeServing) -> FakeServing:
    serving = FakeServing()
    serving.figures, serving.unloadable = before.figures, before.unloadable
    serving.crashing, serving.deadly = before.crashing, before.deadly
    return serving
