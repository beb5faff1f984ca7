"""One server process: its broker, its workers and its web server, started together, stopped together.

Workers are threads; each is a loop that ends when it is told to. A worker that raises is a bug or a
fault of the machine: it is logged and starts again after a second. SIGTERM and SIGINT end the web
server first, then the workers, then the broker.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

from contracts.metadata import RepositoryName
from contracts.topics import Channel
from fleet_server.app import create_app
from fleet_server.broker.inbox import Inbox, read_topic
from fleet_server.broker.link import BrokerLink
from fleet_server.broker.outbox import Outbox
from fleet_server.broker.starting import ReadyBroker, start_broker
from fleet_server.broker.taking_over import end_session
from fleet_server.clock import SystemClock
from fleet_server.database.schema import check_schema
from fleet_server.database.session import open_database, transaction
from fleet_server.delivery.sending import Sending
from fleet_server.device_app import create_device_app
from fleet_server.director.director import Director
from fleet_server.drift import watch
from fleet_server.errors import EnvironmentFault, PortTaken
from fleet_server.identity.door import raise_file_limit
from fleet_server.identity.keeping import Identity
from fleet_server.identity.listener import serving_devices
from fleet_server.releases import store as releases
from fleet_server.releases import trust_watch
from fleet_server.releases.answers import Answers
from fleet_server.releases.courier import Courier
from fleet_server.releases.deltas import Deltas
from fleet_server.releases.online_roles import renew_online_roles
from fleet_server.retrain.export import export_requests
from fleet_server.rollouts import conductor
from fleet_server.trust.keys import open_rings

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import FastAPI

    from fleet_server.broker.link import Receive
    from fleet_server.config import ServerConfig
    from fleet_server.identity.revocation import RevocationWatch
    from fleet_server.wiring import Wiring

log = logging.getLogger(__name__)

Work = Callable[[threading.Event], None]
READY_FILE = "server.json"
RENEWAL_CHECK_S = 60.0
TRUST_CHECK_S = 10.0
EXPORT_CHECK_S = 2.0
BROKER_CHECK_S = 1.0
REVOCATION_CHECK_S = 1.0
RESTART_DELAY_S = 1.0
GRACE_S = 3
JOIN_TIMEOUT_S = 15.0


def run_server(config: ServerConfig, *, say: Callable[[str], None]) -> None:
    """Serve until told to stop; DATA/server.json says where while it does.

    Args:
        config: what to serve; its broker's port may still be open.
        say: takes one line for the person who started it.

    Raises:
        EnvironmentFault: the database, the schema, the broker or the port is not as it must be.
        ConfigError: there is no server in the data folder.
    """
    raise_file_limit()
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(config.http.host, config.http.port, "http"))
        doors = stack.enter_context(_listen(config.devices.host, config.devices.port, "devices"))
        open_rings(config.data_dir)
        engine = open_database(config.url)
        stack.callback(engine.dispose)
        check_schema(engine)
        identity = Identity.open(config, engine, SystemClock())
        broker = stack.enter_context(_running_broker(config))
        say(broker.banner)
        devices = dataclasses.replace(config.devices, port=doors.getsockname()[1])
        settled = dataclasses.replace(config, broker=broker.config, devices=devices)
        link = BrokerLink(broker.config.host, broker.config.port, identity.link_tls)
        app = create_app(settled, link=link)
        wiring = cast("Wiring", app.state.wiring)
        stack.callback(wiring.engine.dispose)
        stack.enter_context(_working(_workers(wiring, link, identity, stack) | _guards(identity, broker)))
        stack.enter_context(serving_devices(create_device_app(wiring), doors, identity.listener_tls))
        stack.enter_context(_own_signals())
        address = listener.getsockname()
        ready = _Ready(wiring, port=address[1], say=say)
        stack.callback(ready.withdraw)
        _serve(app, listener, ready.announce)
    say("stopped")


def _workers(wiring: Wiring, link: BrokerLink, identity: Identity, stack: ExitStack) -> dict[str, Work]:
    inbox = Inbox(wiring.engine, wiring.clock, link)
    director = Director(wiring.engine, wiring.clock, wiring.rings[RepositoryName.DIRECTOR])
    deltas = Deltas(wiring.engine, wiring.vault, wiring.clock)
    answers = Answers(wiring.engine, director, deltas)
    sending = Sending(link, wiring.vault, wiring.buckets, monotonic_s=time.monotonic)
    courier = Courier(wiring.engine, wiring.clock, publisher=link, answers=answers, cuts=wiring.cuts, sending=sending)
    outbox = Outbox(wiring.engine, wiring.clock, link)
    link.start(_sorter(inbox, courier, identity.revocations))
    stack.callback(link.stop)
    tick_s = wiring.config.tick_s
    return {
        "inbox": inbox.run,
        "courier": courier.run,
        "deltas": deltas.run,
        "foresight": _ticking(deltas.foresee, tick_s),
        "sending": courier.run_sending,
        "tally": courier.run_tally,
        "outbox": outbox.run,
        "rollouts": _ticking(lambda: conductor.tick(wiring.engine, wiring.clock), tick_s),
        "drift": _ticking(lambda: watch.tick(wiring.engine, wiring.clock), tick_s),
        "retrain": _ticking(lambda: export_requests(wiring.engine, wiring.config.data_dir), EXPORT_CHECK_S),
        "renewal": _ticking(lambda: _renew(wiring), RENEWAL_CHECK_S),
        "trust": _ticking(lambda: trust_watch.tick(wiring.engine, wiring.clock), TRUST_CHECK_S),
    }


def _sorter(inbox: Inbox, courier: Courier, revocations: RevocationWatch) -> Receive:
    def sort(topic: str, body: bytes) -> None:
        parsed = read_topic(topic)
        if parsed is not None and revocations.lets_pass(parsed):
            (inbox if parsed.channel is Channel.REPORT else courier).receive(parsed, body)

    return sort


def _ticking(tick: Callable[[], object], every_s: float) -> Work:
    def work(stop: threading.Event) -> None:
        tick()
        while not stop.wait(every_s):
            tick()

    return work


def _renew(wiring: Wiring) -> None:
    now = wiring.clock.now()
    with transaction(wiring.engine) as session:
        for tenant in releases.tenants(session):
            if renew_online_roles(session, tenant, wiring.rings[RepositoryName.MODELS], now):
                log.info("snapshot and timestamp renewed", extra={"tenant": tenant})


@contextmanager
def _working(workers: dict[str, Work]) -> Iterator[None]:
    stop = threading.Event()
    threads = [
        threading.Thread(target=_supervise, args=(name, work, stop), name=name, daemon=True)
        for name, work in workers.items()
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(JOIN_TIMEOUT_S)


def _supervise(name: str, work: Work, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            work(stop)
        except EnvironmentFault as error:
            log.warning("worker interrupted", extra={"worker": name, "reason": str(error)})
        except Exception:  # the supervised boundary: one bad row must not end the server
            log.exception("worker failed", extra={"worker": name})
        stop.wait(RESTART_DELAY_S)


def _guards(identity: Identity, broker: _Broker) -> dict[str, Work]:
    """Return the workers that keep certificates fresh and revoked devices out."""
    expel = partial(end_session, broker=broker.config, authority=identity.authority, clock=identity.clock)
    return {
        "certificates": _ticking(lambda: identity.renew(broker.reload), RENEWAL_CHECK_S),
        "revocations": _ticking(lambda: identity.revocations.tick(broker.reload, expel), REVOCATION_CHECK_S),
    }


class _Broker:
    """The broker in use; one that is our child is started again where it ends."""

    def __init__(self, ready: ReadyBroker, data_dir: Path) -> None:
        self._current = ready
        self._data_dir = data_dir
        self.config = ready.config
        self.banner = ready.banner

    def keep_alive(self) -> None:
        """Start the child again where it has ended."""
        if self._current.child is not None and not self._current.child.alive:
            log.warning("broker ended; it is started again")
            self._current = start_broker(self.config, self._data_dir)

    def reload(self) -> None:
        """Make our child read its files again; who runs another broker must do so there."""
        if self._current.child is not None:
            self._current.child.reload()
        else:
            log.warning("certificates or revocations changed: copy DATA/identity to the broker and reload it")

    def stop(self) -> None:
        """End our child."""
        if self._current.child is not None:
            self._current.child.stop()


@contextmanager
def _running_broker(config: ServerConfig) -> Iterator[_Broker]:
    broker = _Broker(start_broker(config.broker, config.data_dir), config.data_dir)
    try:
        with _working({"broker": _ticking(broker.keep_alive, BROKER_CHECK_S)}):
            yield broker
    finally:
        broker.stop()


@contextmanager
def _listen(host: str, port: int, section: str) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise PortTaken(
                f"cannot listen on {host}:{port} ({error.strerror}); stop what listens there, or choose "
                f"another with --{section}-port or [{section}] port in server.toml"
            ) from error
        yield listener


@contextmanager
def _own_signals() -> Iterator[None]:
    # uvicorn stops at a signal and then raises it again; ours lets the rest of the process stop, too
    previous = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Ready:
    """Says where the server is, once it accepts requests."""

    def __init__(self, wiring: Wiring, *, port: int, say: Callable[[str], None]) -> None:
        self._wiring = wiring
        self._port = port
        self._say = say
        self._path: Path = wiring.config.data_dir / READY_FILE

    def announce(self) -> None:
        """Write the file and say the address."""
        config = self._wiring.config
        facts = {
            "pid": os.getpid(),
            "http": {"host": config.http.host, "port": self._port},
            "devices": {"host": config.devices.host, "port": config.devices.port},
            "broker": {"kind": config.broker.kind, "host": config.broker.host, "port": config.broker.port},
        }
        self._path.write_text(json.dumps(facts) + "\n", encoding="utf-8")
        self._say(f"devices: https://{config.devices.host}:{config.devices.port}")
        self._say(f"ready: http://{config.http.host}:{self._port}")

    def withdraw(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)


def _serve(app: FastAPI, listener: socket.socket, announce: Callable[[], None]) -> None:
    import uvicorn

    from fleet_server.console.parts import end_streams

    class AnnouncingServer(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            announce()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            end_streams(app)
            await super().shutdown(sockets)

    AnnouncingServer(
        uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=64 * 1024,
        )
    ).run(sockets=[listener])
