"""Which broker to use, and having it ready."""

from __future__ import annotations

import dataclasses
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleet_server.broker.child import ChildBroker, settled_port
from fleet_server.broker.embedded import start_embedded
from fleet_server.broker.mosquitto import find_mosquitto, start_mosquitto
from fleet_server.config import BrokerConfig, BrokerKind
from fleet_server.errors import BrokerUnreachable
from fleet_server.identity.folder import IdentityFolder

if TYPE_CHECKING:
    from pathlib import Path

REACH_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyBroker:
    """A broker that accepts connections; ``child`` is None for one that others run."""

    config: BrokerConfig
    banner: str
    child: ChildBroker | None


def start_broker(config: BrokerConfig, data_dir: Path) -> ReadyBroker:
    """Return the broker of the configured kind, accepting connections; the configuration names its port.

    The server's certificates and its revocation list must be in their folder.

    Raises:
        BrokerUnreachable: it does not start, or nobody accepts at the external address.
        PortTaken: another process listens on the port.
    """
    if config.kind is BrokerKind.EXTERNAL:
        _reach(config)
        banner = f"broker: external, at {config.host}:{config.port}"
        return ReadyBroker(config=config, banner=banner, child=None)
    folder, identity = (data_dir / "broker").absolute(), IdentityFolder.of(data_dir.absolute())
    port = settled_port(folder, config.port)
    kind = settled_kind(config.kind)
    start = start_mosquitto if kind is BrokerKind.MOSQUITTO else start_embedded
    child = start(folder, port, identity)
    settled = dataclasses.replace(config, kind=kind, host=child.host, port=port)
    return ReadyBroker(config=settled, banner=child.banner, child=child)


def settled_kind(kind: BrokerKind) -> BrokerKind:
    """Return the kind, AUTO decided by what is installed."""
    if kind is not BrokerKind.AUTO:
        return kind
    return BrokerKind.MOSQUITTO if find_mosquitto() else BrokerKind.AMQTT


def _reach(config: BrokerConfig) -> None:
    try:
        socket.create_connection((config.host, config.port), timeout=REACH_TIMEOUT_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise BrokerUnreachable(
            f"no broker accepts at {config.host}:{config.port} ({reason}); start it, or correct [broker] in server.toml"
        ) from error
