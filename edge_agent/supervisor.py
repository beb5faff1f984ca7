"""The agent process: one task group that joins serving, the link, updates and reports.

The event loop serves inference and keeps the timers; the update runs in one worker thread, the link
in paho's. SIGTERM and SIGINT end it: the update stops where its journal says, requests in flight are
answered, the outbox stays on disk. The first of its tasks that fails ends the process with its error.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import random
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from contracts.codec import decode
from contracts.envelope import ReportAck, ReportKind
from contracts.errors import DecodeError
from contracts.health import Heartbeat
from contracts.ids import parse_boot_id
from contracts.metadata import NONCE_BYTES
from contracts.topics import Channel
from edge_agent.clock import Clock, SystemClock
from edge_agent.delivery.chunk_line import HttpsChunkLine
from edge_agent.delivery.courier import Courier, Patience
from edge_agent.delivery.delta import DeltaTools
from edge_agent.delivery.delta_process import apply_in_child, free_memory_bytes
from edge_agent.delivery.fetch import Fetcher
from edge_agent.disk import SystemDisk
from edge_agent.drift.sketcher import Sketcher
from edge_agent.errors import AgentRunning, ReportTooLong, StateError
from edge_agent.identity.credentials import KeptCredentials
from edge_agent.identity.keys import device_key
from edge_agent.identity.place import load_enrollment
from edge_agent.identity.renewal import Renewer
from edge_agent.inference.meter import Meter
from edge_agent.inference.server import InferenceServer
from edge_agent.inference.swap import ServedModels
from edge_agent.link import Link, MqttLink
from edge_agent.outbox import Outbox, Sender, SendPlan
from edge_agent.serving_port import InferencePort, installed_runtimes, resident_bytes
from edge_agent.state_folder import ServingAddress, StateFolder, announce_serving, keep_private
from edge_agent.trust.decision import Subject
from edge_agent.trust.memory import memory_key
from edge_agent.trust.trust import Trust, TrustPlaces
from edge_agent.update.journal import Journal
from edge_agent.update.machine import Parts, ProbationTerms, UpdateMachine
from edge_agent.update.slots import Slots
from edge_agent.update.worker import Mailroom, UpdateWorker
from edge_agent.version import AGENT_VERSION

if TYPE_CHECKING:
    from contracts.enrollment import EnrollmentAnswer
    from contracts.update import UpdateReport
    from edge_agent.config import AgentConfig

log = logging.getLogger(__name__)

RESEND_S = 5.0
LOOK_S = 1.0
RENEWAL_LOOK_S = 5.0


def run_agent(config: AgentConfig) -> None:
    """Run the agent until SIGTERM or SIGINT.

    Raises:
        NotEnrolled: the device has no identity yet.
        AgentRunning: another agent holds the state folder.
        AgentError: what the configuration or the state folder lacks.
    """
    with hold_state(config.state_dir):
        enrollment = load_enrollment(config.state_dir)
        TrustPlaces.of(config).check_roots(SystemDisk())  # said now, not at the first offer
        agent = Agent(config, enrollment, SystemClock(), random.Random())  # noqa: S311 (jitter, not secrets)
        with contextlib.suppress(ImportError):
            import uvloop

            uvloop.run(agent.run())
            return
        asyncio.run(agent.run())


@contextmanager
def hold_state(state_dir: Path) -> Iterator[None]:
    """Hold the state folder for this process alone.

    Raises:
        AgentRunning: another process holds it.
        StateError: it cannot be written.
    """
    try:
        keep_private(state_dir)
        lock = StateFolder(state_dir).lock.open("w")
    except OSError as error:
        raise StateError(
            f"cannot write to {state_dir}: {error.strerror}; set state_dir to a folder of your own"
        ) from error
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AgentRunning(f"another agent works in {state_dir}; stop it first, or use another state_dir") from None
        yield


@dataclass(slots=True)
class _Wire:
    """Hands the link's messages to the update, the outbox and the event loop."""

    mailroom: Mailroom
    outbox: Outbox
    plan: SendPlan
    wake: Callable[[], None]

    def received(self, channel: Channel, data: bytes, taken: Callable[[], None]) -> None:
        """Take one message, from the link's thread."""
        if channel is not Channel.ACK:
            self.mailroom.deliver(channel, data, taken)
            return
        with contextlib.suppress(DecodeError):
            if self.outbox.acknowledge(decode(ReportAck, data)):
                self.plan.answered()
                self.wake()
        taken()

    def connected(self) -> None:
        """Send at once what is waiting, and ask again for what may be lost."""
        self.mailroom.connected()
        self.plan.connected()
        self.wake()


class Agent:
    """The parts of one agent, joined."""

    def __init__(self, config: AgentConfig, enrollment: EnrollmentAnswer, clock: Clock, chance: random.Random) -> None:
        self._config = config
        self._state = StateFolder(config.state_dir)
        self._clock = clock
        self._started_s = clock.monotonic_s()
        self._models = ServedModels()
        self._sketcher = Sketcher(clock)
        self._meter = Meter()
        self._server = InferenceServer(self._models, self._sketcher, self._meter, config.serving)
        credentials = KeptCredentials(self._state)
        self._line = HttpsChunkLine.to(config.server.url, credentials.tls, clock)
        self._link: Link = MqttLink(
            enrollment.broker_host,
            enrollment.broker_port,
            tenant=enrollment.tenant,
            device=enrollment.device,
            credentials=credentials,
            clock=clock,
            chance=chance,
        )
        self._renewer = Renewer(config, credentials, disk=SystemDisk(), clock=clock, chance=chance)
        self._outbox = self._open_outbox(enrollment)
        self._plan = SendPlan(first_wait_s=RESEND_S)
        self._mailroom = Mailroom()
        self._slots = Slots(self._state.models, SystemDisk())
        self._trust = self._open_trust(enrollment)
        self._machine = UpdateMachine(self._parts(chance))
        self._mailroom.carrying_out(self._machine.generation)  # before the link brings the first offer
        self._loop: asyncio.AbstractEventLoop | None = None
        self._more = asyncio.Event()
        self._beat_now = asyncio.Event()
        self._stop = asyncio.Event()
        self._thread: threading.Thread | None = None

    async def run(self) -> None:
        """Serve, update and report until a signal comes."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.set)
        host, port = await self._server.start()
        self._announce(host, port)
        self._link.start(_Wire(self._mailroom, self._outbox, self._plan, self._wake))
        try:
            async with asyncio.TaskGroup() as group:
                timers = [
                    group.create_task(timer) for timer in (self._beat(), self._sketch(), self._send(), self._renew())
                ]
                update = group.create_task(self._update())
                await self._stopped_or(update)
                self._mailroom.stop()
                for timer in timers:
                    timer.cancel()
        finally:
            await self._end()

    async def _end(self) -> None:
        """Stop the threads, answer what is under way, keep the open window for the next start."""
        self._mailroom.stop()
        await asyncio.to_thread(self._link.stop)
        await self._server.stop()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        self._close_window()
        self._outbox.close()
        self._state.serving.unlink(missing_ok=True)

    def _open_outbox(self, enrollment: EnrollmentAnswer) -> Outbox:
        key = device_key(self._config.state_dir)
        boot = parse_boot_id(secrets.token_hex(8))
        sender = Sender(tenant=enrollment.tenant, device=enrollment.device, boot=boot, sign=key.sign)
        return Outbox(self._state.outbox, sender)

    def _open_trust(self, enrollment: EnrollmentAnswer) -> Trust:
        subject = Subject(
            tenant=enrollment.tenant,
            device=enrollment.device,
            profile=self._config.profile,
            runtimes=installed_runtimes(),
        )
        key = memory_key(device_key(self._config.state_dir).sign)
        nonces = partial(secrets.token_bytes, NONCE_BYTES)
        return Trust(TrustPlaces.of(self._config), subject, SystemDisk(), key=key, nonces=nonces)

    def _parts(self, chance: random.Random) -> Parts:
        state, disk, update = self._state, SystemDisk(), self._config.update
        patience = Patience(first_s=update.chunk_timeout_s, chance=chance)
        courier = Courier(self._link.publish, self._mailroom, clock=self._clock, patience=patience)
        return Parts(
            journal=Journal(state.journal, disk),
            slots=self._slots,
            trust=self._trust,
            fetcher=Fetcher(
                folder=state.fetch,
                disk=disk,
                courier=courier,
                clock=self._clock,
                credit=update.chunk_credit,
                held=self._slots.held,
                line=self._line,
                deltas=DeltaTools(bases=self._slots.bases, apply=apply_in_child, free_memory_bytes=free_memory_bytes),
            ),
            courier=courier,
            serving=InferencePort(self._models, self._sketcher),
            terms=ProbationTerms(runs=update.probation_runs, watch_s=update.probation_s, resident_bytes=resident_bytes),
            clock=self._clock,
            report=self._report_update,
        )

    def _report_update(self, report: UpdateReport) -> None:
        self._report(ReportKind.UPDATE, report)
        if report.state.is_final:
            self._call_soon(self._beat_now.set)

    def _report(self, kind: ReportKind, message: object) -> None:
        self._outbox.add(kind, message)
        self._wake()

    def _wake(self) -> None:
        self._call_soon(self._more.set)

    def _call_soon(self, callback: Callable[[], None]) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has closed: the report waits for the next start
                self._loop.call_soon_threadsafe(callback)

    def _announce(self, host: str, port: int) -> None:
        announce_serving(self._state, ServingAddress(host=host, port=port, pid=os.getpid()), SystemDisk())
        log.info("serving on %s:%d", host, port)

    async def _stopped_or(self, update: asyncio.Task[None]) -> None:
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((stop, update), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()

    async def _update(self) -> None:
        """Run the worker in a thread of its own; an error there ends the agent."""
        worker = UpdateWorker(self._machine, self._mailroom, self._slots, self._state.revert_requested)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        changed = partial(self._call_soon, self._beat_now.set)
        self._thread = threading.Thread(target=_run_into, args=(partial(worker.run, changed), done), name="update")
        self._thread.start()
        await asyncio.shield(done)

    async def _beat(self) -> None:
        """Send a heartbeat once the models are loaded, after each update, and regularly."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._beat_now.wait(), self._config.reporting.heartbeat_s)
            self._beat_now.clear()
            await asyncio.to_thread(self._report, ReportKind.HEARTBEAT, self._heartbeat())

    def _heartbeat(self) -> Heartbeat:
        seen = self._meter.take()
        return Heartbeat(
            profile=self._config.profile,
            agent_version=AGENT_VERSION,
            running=dict(self._models.releases()),
            at=self._clock.now(),
            uptime_s=self._clock.monotonic_s() - self._started_s,
            memory_bytes=resident_bytes(),
            requests=seen.requests,
            errors=seen.errors,
            latency_p50_ms=seen.latency_p50_ms,
            latency_p95_ms=seen.latency_p95_ms,
            generation=self._machine.generation,
        )

    async def _sketch(self) -> None:
        while True:
            await asyncio.sleep(self._config.reporting.sketch_window_s)
            await asyncio.to_thread(self._close_window)

    def _close_window(self) -> None:
        for sketch in self._sketcher.close_window():
            try:
                self._report(ReportKind.SKETCH, sketch)
            except ReportTooLong as error:  # the release watches too much: it serves on, its windows are not told
                log.error("sketch dropped", extra={"release": sketch.release, "reason": str(error)})  # noqa: TRY400 (one line, no traceback)

    async def _send(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), LOOK_S)
            self._more.clear()
            if self._plan.due(now_s=self._clock.monotonic_s()):
                await asyncio.to_thread(self._send_oldest)

    async def _renew(self) -> None:
        """Keep the certificate fresh; the link takes a new one by itself."""
        while True:
            await asyncio.to_thread(self._renewer.look)
            await asyncio.sleep(RENEWAL_LOOK_S)

    def _send_oldest(self) -> None:
        reports = self._outbox.first(self._plan.window)
        for report in reports:
            self._link.publish(Channel.REPORT, report)
        if reports:
            self._plan.sent(now_s=self._clock.monotonic_s())


def _run_into(work: Callable[[], None], done: asyncio.Future[None]) -> None:
    """Run the work and carry its end, or its error, to the event loop."""
    loop = done.get_loop()
    try:
        work()
    except BaseException as error:  # noqa: BLE001 (carried to the task group, which ends the process with it)
        loop.call_soon_threadsafe(done.set_exception, error)
    else:
        loop.call_soon_threadsafe(done.set_result, None)
