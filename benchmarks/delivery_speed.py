"""How fast do agents fetch an artifact over mosquitto, against a bare paho publisher and subscribers?

One mosquitto on loopback; both sides over its one listener, with mutual TLS as in a fleet. On our side the server's
own courier (database, assignment, vault) in one process, and agents that hash, write and sync in another. On the bare
side a publisher that sends chunks of the same mean size out of memory, sixteen ahead of each subscriber, which counts
them; two processes, too. Both sides alternate within one run, both without Nagle's algorithm. Megabytes are of chunks;
seconds run from the common start to the last chunk.
"""

from __future__ import annotations

import multiprocessing
import queue
import random
import socket
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Bar, at_most, finish, options, reported

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from paho.mqtt.client import Client

    from contracts.release import ReleasedArtifact
    from tests.fakes.real_broker import RealBroker

QUESTION = "How fast do agents fetch over mosquitto, against a bare paho publisher and subscribers?"
AHEAD = 16
CHUNK_BYTES = 64 * 1024
PATIENCE_S = 300.0
LEAST_SHARE = 0.8
FLAT_MB = 4.0
MB = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What the children are told: where everything is, who fetches, and how many bytes each."""

    folder: Path
    port: int
    devices: tuple[str, ...]
    papers: dict[str, tuple[str, Path]]
    pinned: ReleasedArtifact
    length: int
    turn: int

    def tls(self, device: str) -> ssl.SSLContext:
        """Return the device's TLS."""
        from edge_agent.identity.tls import pinned_tls

        authority, file = self.papers[device]
        context = pinned_tls(authority)
        context.load_cert_chain(file)
        return context

    def server_tls(self) -> ssl.SSLContext:
        """Return the server's TLS towards the broker."""
        from fleet_server.identity.certificates import link_tls
        from fleet_server.identity.folder import IdentityFolder

        return link_tls(IdentityFolder(self.folder / "broker" / "identity"))


def measure(*, rounds: int, agents: int, single_bytes: int, each_bytes: int, seed: int) -> list[Bar]:
    """Return the bars for one agent and for so many at once."""
    bars: list[Bar] = []
    with tempfile.TemporaryDirectory() as folder:
        for count, length in ((1, single_bytes), (agents, each_bytes)):
            with prepared(Path(folder) / f"{count}", count=count, length=length) as (scene, broker):
                bars += compare(scene, broker, rounds=rounds, seed=seed)
    return bars


def compare(scene: Scene, broker: RealBroker, *, rounds: int, seed: int) -> list[Bar]:
    """Return the bars of one scene: both sides' speeds, their ratio, and the broker's memory."""
    count = len(scene.devices)
    who = "one agent" if count == 1 else f"{count} agents at once"
    turns = iter(range(10**6))
    before_mb = resident_mb(broker)
    memory_mb: list[float] = []

    def ours() -> float:
        speed = run(serve, fetch, scene, turn=next(turns))
        memory_mb.append(resident_mb(broker))
        return speed

    def bare() -> float:
        return run(publish_bare, subscribe_bare, scene, turn=next(turns))

    samples = alternated({"ours": ours, "bare": bare}, rounds=rounds, order=seed)
    behind = [bare / mine for mine, bare in zip(samples["ours"], samples["bare"], strict=True)]
    return [
        reported(f"{who}", samples["ours"], unit="MB/s"),
        reported(f"bare paho, {who}", samples["bare"], unit="MB/s"),
        at_most(f"bare paho's speed over that of {who}", behind, unit="x", limit=1 / LEAST_SHARE, peer="same run"),
        reported(f"broker's memory before, {who}", [before_mb], unit="MB"),
        reported(f"broker's memory after each fetch, {who}", memory_mb, unit="MB"),
        at_most(f"broker's memory grows, {who}", [memory_mb[-1] - memory_mb[0]], unit="MB", limit=FLAT_MB),
    ]


def alternated(sides: dict[str, Callable[[], float]], *, rounds: int, order: int) -> dict[str, list[float]]:
    """Call every side once a round, in an order drawn anew each time, and return all that each gave."""
    chance = random.Random(order)  # noqa: S311 (an order, no secret)
    names, samples = list(sides), {name: list[float]() for name in sides}
    for _ in range(rounds):
        chance.shuffle(names)
        for name in names:
            samples[name].append(sides[name]())
    return samples


@contextmanager
def prepared(folder: Path, *, count: int, length: int) -> Iterator[tuple[Scene, RealBroker]]:
    """Give a broker, a server's database with a published release, and devices that were offered it."""
    from datetime import UTC, datetime

    from contracts.chunks import cut
    from contracts.codec import encode
    from contracts.ids import ProfileName, ReleaseId, digest_of
    from contracts.release import ReleasedArtifact, TargetCustom
    from fleet_server.broker.mosquitto import start_mosquitto
    from fleet_server.clock import SystemClock
    from fleet_server.config import BrokerConfig, ServerConfig
    from fleet_server.setting_up import set_up_server
    from tests.fakes.real_broker import RealBroker
    from tests.fleet_server.server import SmallServer, a_release

    folder.mkdir()
    (folder / "broker").mkdir()
    config = ServerConfig(data_dir=folder / "server", broker=BrokerConfig(port=1883))
    server = SmallServer(config=config, secrets=set_up_server(config, datetime.now(UTC)), clock=SystemClock())  # type: ignore[arg-type]  # a clock that runs by itself
    data = a_release(chunks=length // CHUNK_BYTES)
    server.publish(server.desk(folder / "desk"), data)
    names = tuple(f"pi-{number}" for number in range(count))
    for name in names:
        server.offer(server.enroll(name), "digits@1.0.0")
    index = cut(data)
    body = encode(index)
    custom = TargetCustom(
        release=ReleaseId("digits@1.0.0"),
        counter=1,
        profile=ProfileName("raspberry-pi-4"),
        index=digest_of(body),
        index_length=len(body),
        min_agent_version="0.1.0",
    )
    pinned = ReleasedArtifact(
        path="digits/1.0.0/raspberry-pi-4.artifact",
        profile=custom.profile,
        digest=digest_of(data),
        length=len(data),
        custom=custom,
    )
    broker = RealBroker(folder / "broker", start_mosquitto)
    papers = {name: (broker.registry.authority.pem, broker.registry.papers(name).file) for name in names}
    scene = Scene(
        folder=folder, port=broker.port, devices=names, papers=papers, pinned=pinned, length=len(data), turn=0
    )
    try:
        yield scene, broker
    finally:
        server.engine.dispose()
        broker.stop()


def run(sender: Callable[..., None], receiver: Callable[..., None], scene: Scene, *, turn: int) -> float:
    """Run both children once and return the megabytes a second that arrived, all receivers together."""
    import dataclasses

    context = multiprocessing.get_context("spawn")
    mine = dataclasses.replace(scene, turn=turn)
    ready, stop, seconds = context.Event(), context.Event(), context.Queue()
    children = (
        context.Process(target=sender, args=(mine, ready, stop)),
        context.Process(target=receiver, args=(mine, ready, seconds)),
    )
    for child in children:
        child.start()
    try:
        taken_s = _first(seconds, children)
    finally:
        stop.set()
        for child in children:
            child.join(30.0)
            child.kill()
    return len(scene.devices) * scene.length / MB / taken_s


def _first(seconds: Any, children: Sequence[BaseProcess]) -> float:
    """Return what the receivers tell.

    Raises:
        RuntimeError: a child ended without a word.
    """
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        try:
            return float(seconds.get(timeout=1.0))
        except queue.Empty:
            if not all(child.is_alive() for child in children):
                break
    raise RuntimeError("a child of the benchmark ended or hangs; its own words are above")


def serve(scene: Scene, ready: Any, stop: Any) -> None:
    """Be the server: its courier, over its own link, until told to stop."""
    from contracts.metadata import RepositoryName
    from fleet_server.app import create_app
    from fleet_server.broker.inbox import read_topic
    from fleet_server.broker.link import BrokerLink
    from fleet_server.config import BrokerConfig, ServerConfig
    from fleet_server.delivery.sending import Sending
    from fleet_server.director.director import Director
    from fleet_server.releases.answers import Answers
    from fleet_server.releases.courier import Courier
    from fleet_server.releases.deltas import Deltas

    wiring = create_app(ServerConfig(data_dir=scene.folder / "server", broker=BrokerConfig(port=1883))).state.wiring
    link = BrokerLink("127.0.0.1", scene.port, scene.server_tls())
    sending = Sending(link, wiring.vault, wiring.buckets, monotonic_s=time.monotonic)
    director = Director(wiring.engine, wiring.clock, wiring.rings[RepositoryName.DIRECTOR])
    courier = Courier(
        wiring.engine,
        wiring.clock,
        publisher=link,
        answers=Answers(wiring.engine, director, Deltas(wiring.engine, wiring.vault, wiring.clock)),
        cuts=wiring.cuts,
        sending=sending,
    )

    def receive(topic: str, body: bytes) -> None:
        parsed = read_topic(topic)
        if parsed is not None:
            courier.receive(parsed, body)

    link.start(receive)
    ended = threading.Event()
    threads = [
        threading.Thread(target=work, args=(ended,)) for work in (courier.run, courier.run_sending, courier.run_tally)
    ]
    for thread in threads:
        thread.start()
    while not link.connected:
        time.sleep(0.01)
    time.sleep(0.5)  # the broker's answer to the subscription is not visible from here
    ready.set()
    stop.wait(PATIENCE_S)
    ended.set()
    link.stop()


def fetch(scene: Scene, ready: Any, seconds: Any) -> None:
    """Be every agent: fetch the release all at once into a fresh folder each, and say how long that took."""
    from contracts.ids import DEFAULT_TENANT, DeviceId
    from edge_agent.clock import SystemClock
    from edge_agent.delivery.courier import Courier, Patience
    from edge_agent.delivery.fetch import Fetcher
    from edge_agent.disk import SystemDisk
    from edge_agent.link import MqttLink
    from tests.conformance.delivery_laws import Wire
    from tests.fakes.identities import Papers

    clock = SystemClock()
    begin = threading.Event()
    waiting = threading.Semaphore(0)

    def work(name: str) -> None:
        authority, file = scene.papers[name]
        chance = random.Random(name)  # noqa: S311 (jitter, no secret)
        papers = Papers(authority=authority, file=file, certificate=None)  # type: ignore[arg-type]  # only shown from the file
        link = MqttLink(
            "127.0.0.1",
            scene.port,
            tenant=DEFAULT_TENANT,
            device=DeviceId(name),
            credentials=papers,
            clock=clock,
            chance=chance,
        )
        wire = Wire()
        link.start(wire)
        while not wire.mailroom.sessions:
            time.sleep(0.01)
        courier = Courier(link.publish, wire.mailroom, clock=clock, patience=Patience(first_s=5.0, chance=chance))
        folder = scene.folder / f"{name}-{scene.turn}" / "fetch"
        fetcher = Fetcher(folder=folder, disk=SystemDisk(), courier=courier, clock=clock, credit=AHEAD)
        waiting.release()
        begin.wait(PATIENCE_S)
        fetcher.fetch(scene.pinned, bytes_s=0, progress=lambda _done, _total: None)
        waiting.release()
        link.stop()

    _time(scene, work, ready=ready, begin=begin, waiting=waiting, seconds=seconds)


def _time(
    scene: Scene,
    work: Callable[[str], None],
    *,
    ready: Any,
    begin: threading.Event,
    waiting: threading.Semaphore,
    seconds: Any,
) -> None:
    """Start all receivers, let them begin together, and tell the seconds until the last one is done."""
    for name in scene.devices:
        threading.Thread(target=work, args=(name,), daemon=True).start()
    ready.wait(PATIENCE_S)
    for _ in scene.devices:
        waiting.acquire()
    began_s = time.perf_counter()
    begin.set()
    for _ in scene.devices:
        waiting.acquire()
    seconds.put(time.perf_counter() - began_s)


def publish_bare(scene: Scene, ready: Any, stop: Any) -> None:
    """Publish as many chunks for a device as it asks for, out of memory, and do nothing else."""
    from contracts.topics import Channel, every_device
    from fleet_server.identity.authority import SERVER_NAME

    body = random.Random(1).randbytes(CHUNK_BYTES)  # noqa: S311 (noise, no secret)
    client = _bare(SERVER_NAME, scene, scene.server_tls())

    def answer(_client: object, _data: object, message: Any) -> None:
        topic = message.topic.rpartition("/")[0] + f"/{Channel.CHUNK}"
        for _ in range(int(message.payload)):
            client.publish(topic, body, qos=1)

    client.on_message = answer
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    client.subscribe(every_device(Channel.CHUNK_REQUEST), 1)
    subscribed.wait(PATIENCE_S)
    ready.set()
    stop.wait(PATIENCE_S)
    client.disconnect()
    client.loop_stop()


def subscribe_bare(scene: Scene, ready: Any, seconds: Any) -> None:
    """Be every bare subscriber: ask for chunks sixteen ahead, and count them."""
    from contracts.ids import DEFAULT_TENANT, DeviceId
    from contracts.topics import Channel, device_topic

    begin = threading.Event()
    waiting = threading.Semaphore(0)
    chunks = -(-scene.length // CHUNK_BYTES)

    def work(name: str) -> None:
        chunk_topic = device_topic(DEFAULT_TENANT, DeviceId(name), Channel.CHUNK)
        ask_topic = device_topic(DEFAULT_TENANT, DeviceId(name), Channel.CHUNK_REQUEST)
        client = _bare(f"es-{DEFAULT_TENANT}-{name}", scene, scene.tls(name))
        done, subscribed, counts = threading.Event(), threading.Event(), {"came": 0, "asked": 0}

        def ask(more: int) -> None:
            more = min(more, chunks - counts["asked"])
            counts["asked"] += more
            if more > 0:
                client.publish(ask_topic, str(more).encode(), qos=1)

        def take(*_: object) -> None:
            counts["came"] += 1
            if counts["asked"] - counts["came"] <= AHEAD // 2:
                ask(AHEAD // 2)
            if counts["came"] >= chunks:
                done.set()

        client.on_message = take
        client.on_subscribe = lambda *_: subscribed.set()
        client.subscribe(chunk_topic, 1)
        subscribed.wait(PATIENCE_S)
        waiting.release()
        begin.wait(PATIENCE_S)
        ask(AHEAD)
        done.wait(PATIENCE_S)
        waiting.release()
        client.disconnect()
        client.loop_stop()

    _time(scene, work, ready=ready, begin=begin, waiting=waiting, seconds=seconds)


def _bare(client_id: str, scene: Scene, tls: ssl.SSLContext) -> Client:
    import paho.mqtt.client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv311)
    client.tls_set_context(tls)
    client.max_inflight_messages_set(100)
    client.on_socket_open = _send_at_once
    client.connect("127.0.0.1", scene.port)
    client.loop_start()
    return client


def _send_at_once(_client: Client, _data: object, opened: Any) -> None:
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def broker_pid(broker: RealBroker) -> int:
    """Return the broker's process id."""
    return broker.child.process.pid


def resident_mb(broker: RealBroker) -> float:
    """Return the broker's resident memory."""
    status = Path(f"/proc/{broker_pid(broker)}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def main() -> int:
    """Measure and print."""
    chosen = options(QUESTION)
    if chosen.quick:
        bars = measure(rounds=2, agents=8, single_bytes=4_000_000, each_bytes=1_000_000, seed=chosen.seed)
    else:
        bars = measure(rounds=7, agents=50, single_bytes=64_000_000, each_bytes=4_000_000, seed=chosen.seed)
    return finish(QUESTION, bars, chosen)


if __name__ == "__main__":
    sys.exit(main())
