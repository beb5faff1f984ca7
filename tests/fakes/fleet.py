"""A small server for one real agent process: enrollment by file, a real broker, a courier, acknowledgements."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from contracts.codec import decode, encode
from contracts.enrollment import EnrollmentAnswer
from contracts.envelope import Envelope, ReportAck, ReportKind, signed_bytes
from contracts.health import Heartbeat
from contracts.ids import DEFAULT_TENANT, GroupName
from contracts.sketch import Sketch
from contracts.topics import Channel, DeviceTopic, device_topic, parse_topic
from contracts.update import Offer, UpdateReport
from edge_agent.disk import SystemDisk
from edge_agent.identity.keys import device_key
from edge_agent.identity.place import keep_enrollment
from edge_agent.state_folder import StateFolder
from tests.conformance.link_laws import wait_until
from tests.fakes.courier import FakeCourier
from tests.fakes.device import DEVICE, PROFILE
from tests.fakes.real_broker import RealBroker, ServerEnd, Starter
from tests.fakes.repository import SignedRepository

RUN = "from edge_agent.cli import agent; agent()"


class FakeFleet:
    """Talks to the agent as the fleet server does, and remembers everything that it said."""

    def __init__(self, folder: Path, repository: SignedRepository, start: Starter) -> None:
        (folder / "broker").mkdir(parents=True)
        self.courier = FakeCourier(repository)
        self.updates: list[UpdateReport] = []
        self.heartbeats: list[Heartbeat] = []
        self.sketches: list[Sketch] = []
        self.sequences: Counter[tuple[str, int]] = Counter()
        self.acknowledges = True
        self._lock = threading.Lock()
        self.broker = RealBroker(folder / "broker", start)
        self._end = ServerEnd(self.broker.port, self.broker.registry.server_tls(), self._hear)
        self.state = folder / "state"
        self.config = folder / "agent.toml"
        self._enroll(repository)

    def offer(self, offer: Offer) -> None:
        """Let the director name the release, and retain the offer on the device's topic."""
        with self._lock:
            self.courier.repository.assign(offer.release)
        self._end.publish(device_topic(DEFAULT_TENANT, DEVICE, Channel.OFFER), encode(offer), retain=True)

    def wait_for(self, true: Callable[[], bool]) -> None:
        """Return once it is true, or fail."""
        wait_until(true)

    def restart_broker(self) -> None:
        """Kill the broker and start it anew on its port."""
        self._end.forget_session()
        self.broker.restart()
        self._end.wait_connected()

    def close(self) -> None:
        self._end.close()
        self.broker.stop()

    def _enroll(self, repository: SignedRepository) -> None:
        self.state.mkdir()
        key = device_key(self.state)
        self.key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.public_hex))
        authority = self.broker.registry.authority
        now = datetime.now(UTC)
        certificate = authority.for_device(DEFAULT_TENANT, DEVICE, self.key, now=now, life=timedelta(days=30))
        answer = EnrollmentAnswer(
            tenant=DEFAULT_TENANT,
            device=DEVICE,
            group=GroupName("line-3"),
            broker_host="127.0.0.1",
            broker_port=self.broker.port,
            certificate=certificate.public_bytes(Encoding.PEM).decode(),
            authorities=authority.pem,
        )
        keep_enrollment(answer, key, state=StateFolder(self.state), disk=SystemDisk())
        (self.config.parent / "root.json").write_bytes(repository.root)
        (self.config.parent / "director-root.json").write_bytes(repository.director.root)
        self.config.write_text(
            f'device = "{DEVICE}"\nprofile = "{PROFILE}"\nstate_dir = "state"\ntrust_root = "root.json"\n'
            'director_root = "director-root.json"\n'
            '[server]\nurl = "https://127.0.0.1:1"\n[serving]\nport = 0\n'
            "[reporting]\nheartbeat_s = 0.5\nsketch_window_s = 1.0\n"
            "[update]\nchunk_credit = 4\nchunk_timeout_s = 1.0\nprobation_runs = 16\n"
        )

    def _hear(self, topic: str, data: bytes) -> None:
        parsed = parse_topic(topic)
        with self._lock:
            if parsed.channel is Channel.REPORT:
                self._take_report(parsed, decode(Envelope, data))
                return
            for channel, answer in self.courier.answers(parsed.channel, data):
                self._end.publish(device_topic(parsed.tenant, parsed.device, channel), answer)

    def _take_report(self, topic: DeviceTopic, envelope: Envelope) -> None:
        signed = signed_bytes(
            tenant=topic.tenant,
            device=topic.device,
            boot=envelope.boot,
            sequence=envelope.sequence,
            kind=envelope.kind,
            body=envelope.body,
        )
        self.key.verify(envelope.signature, signed)
        self.sequences[envelope.boot, envelope.sequence] += 1
        if not self.acknowledges:
            return
        if self.sequences[envelope.boot, envelope.sequence] == 1:
            self._keep(envelope)
        ack = ReportAck(boot=envelope.boot, sequence=envelope.sequence)
        self._end.publish(device_topic(topic.tenant, topic.device, Channel.ACK), encode(ack))

    def _keep(self, envelope: Envelope) -> None:
        if envelope.kind is ReportKind.UPDATE:
            self.updates.append(decode(UpdateReport, envelope.body))
        elif envelope.kind is ReportKind.HEARTBEAT:
            self.heartbeats.append(decode(Heartbeat, envelope.body))
        else:
            self.sketches.append(decode(Sketch, envelope.body))


class AgentProcess:
    """A real agent in a process of its own."""

    def __init__(self, config: Path) -> None:
        self._log = config.with_suffix(".log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-c", RUN, "run", "--config", str(config)],
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def kill(self) -> None:
        """Take the power away."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ask it to end and return its exit status."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(20)
        self._log.close()
        return status
