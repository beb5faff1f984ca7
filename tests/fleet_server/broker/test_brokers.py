"""Both brokers that we can start, held to the same laws."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet_server.broker.mosquitto import find_mosquitto
from fleet_server.broker.starting import start_broker
from fleet_server.config import BrokerConfig, BrokerKind
from fleet_server.errors import BrokerUnreachable, PortTaken
from tests.conformance.broker_laws import BrokerLaws


@pytest.mark.slow
class TestAmqtt(BrokerLaws):
    kind = BrokerKind.AMQTT


@pytest.mark.slow
@pytest.mark.system
class TestMosquitto(BrokerLaws):
    kind = BrokerKind.MOSQUITTO

    @pytest.fixture(autouse=True)
    def installed(self) -> None:
        assert find_mosquitto(), "mosquitto is not installed; 'make test' says how to get it"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def test_a_taken_port_is_named_with_the_way_out(taken_port: int, tmp_path: Path) -> None:
    with pytest.raises(PortTaken, match=f"port {taken_port} .* server.toml"):
        start_broker(BrokerConfig(kind=BrokerKind.AMQTT, port=taken_port), tmp_path)


def test_an_external_broker_that_nobody_runs_is_one_clear_line(tmp_path: Path) -> None:
    config = BrokerConfig(kind=BrokerKind.EXTERNAL, host="127.0.0.1", port=9)

    with pytest.raises(BrokerUnreachable, match=r"no broker accepts at 127.0.0.1:9 \(.*\); start it"):
        start_broker(config, tmp_path)


def test_an_external_broker_is_used_as_it_is(taken_port: int, tmp_path: Path) -> None:
    ready = start_broker(BrokerConfig(kind=BrokerKind.EXTERNAL, port=taken_port), tmp_path)

    assert (ready.child, ready.config.port) == (None, taken_port)
