"""Real agent processes on real brokers: killed in the middle of a download, cut off, stopped."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.delta import make
from contracts.update import UpdateState
from fleet_server.broker.embedded import start_embedded
from fleet_server.broker.mosquitto import start_mosquitto
from tests.builders import TinyModel, TunedModel, a_tiny_onnx_artifact
from tests.fakes.device import an_offer
from tests.fakes.fleet import AgentProcess, FakeFleet
from tests.fakes.real_broker import Starter
from tests.fakes.repository import SignedRepository

pytestmark = pytest.mark.slow

CHUNK_BYTES = 4096
BROKERS = [
    pytest.param(start_mosquitto, id="mosquitto", marks=pytest.mark.system),
    pytest.param(start_embedded, id="amqtt"),
]

TUNED = (
    a_tiny_onnx_artifact(TinyModel(hidden=3000), version="3", counter=3),
    a_tiny_onnx_artifact(TunedModel(hidden=3000), version="4", counter=4),
)

Launch = Callable[[], AgentProcess]


@pytest.fixture
def repository() -> SignedRepository:
    repository = SignedRepository()
    big = TinyModel(hidden=4000)
    repository.publish(a_tiny_onnx_artifact(TinyModel(), version="1", counter=1), chunk_bytes=CHUNK_BYTES)
    repository.publish(a_tiny_onnx_artifact(big, version="2", counter=2), chunk_bytes=CHUNK_BYTES)
    for artifact in TUNED:
        repository.publish(artifact, chunk_bytes=CHUNK_BYTES)
    return repository


@pytest.fixture(params=BROKERS)
def fleet(request: pytest.FixtureRequest, tmp_path: Path, repository: SignedRepository) -> Iterator[FakeFleet]:
    starter: Starter = request.param
    fleet = FakeFleet(tmp_path / "fleet", repository, starter)
    yield fleet
    fleet.close()


@pytest.fixture
def launch(fleet: FakeFleet) -> Iterator[Launch]:
    started: list[AgentProcess] = []

    def launch() -> AgentProcess:
        started.append(AgentProcess(fleet.config))
        return started[-1]

    yield launch
    for process in started:
        process.stop()


def test_an_agent_killed_in_the_middle_of_a_download_asks_for_no_verified_chunk_again(
    fleet: FakeFleet, launch: Launch
) -> None:
    fleet.offer(an_offer("digits@2", max_bytes_s=60_000))
    agent = launch()
    fleet.wait_for(lambda: 15 <= len(fleet.courier.sent) <= 25)
    agent.kill()
    sent_before = len(fleet.courier.sent)

    launch()
    fleet.wait_for(lambda: UpdateState.HEALTHY in _states(fleet))

    assert len(fleet.courier.sent) >= 30
    assert sent_before < len(fleet.courier.sent)
    assert fleet.courier.repeated_verified == 0
    assert sum(fleet.courier.sent.values()) <= len(fleet.courier.sent) + 4
    fleet.wait_for(lambda: fleet.heartbeats[-1].running == {"digits": "digits@2"})


def test_an_agent_serves_what_it_installed_and_stops_cleanly(fleet: FakeFleet, launch: Launch) -> None:
    fleet.offer(an_offer("digits@1"))
    agent = launch()
    fleet.wait_for(lambda: UpdateState.HEALTHY in _states(fleet))
    port = json.loads((fleet.state / "serving.json").read_text())["port"]

    answer = _infer(port, TinyModel())
    fleet.wait_for(lambda: bool(fleet.sketches))

    assert answer["model_name"] == "digits"
    assert fleet.sketches[0].rows == 1
    assert agent.stop() == 0
    assert not (fleet.state / "serving.json").exists()
    assert fleet.config.with_suffix(".log").read_text().count(f"serving on 127.0.0.1:{port}\n") == 1


def test_an_agent_stopped_in_the_middle_of_a_download_goes_on_where_it_was(fleet: FakeFleet, launch: Launch) -> None:
    fleet.offer(an_offer("digits@2", max_bytes_s=60_000))
    agent = launch()
    fleet.wait_for(lambda: len(fleet.courier.sent) >= 15)

    assert agent.stop() == 0

    launch()
    fleet.wait_for(lambda: UpdateState.HEALTHY in _states(fleet))
    assert fleet.courier.repeated_verified == 0


def test_reports_that_nobody_acknowledged_are_sent_by_the_next_life(fleet: FakeFleet, launch: Launch) -> None:
    fleet.acknowledges = False
    fleet.offer(an_offer("digits@1"))
    agent = launch()
    fleet.wait_for((fleet.state / "models" / "digits" / "pointer.cbor").exists)
    fleet.wait_for(lambda: bool(fleet.sequences))
    agent.kill()
    first_boot = next(iter(fleet.sequences))[0]

    fleet.acknowledges = True
    launch()

    fleet.wait_for(lambda: UpdateState.HEALTHY in _states(fleet))
    numbers = [sequence for boot, sequence in fleet.sequences if boot == first_boot]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_broker_that_comes_back_finds_the_agent_again(fleet: FakeFleet, launch: Launch) -> None:
    launch()
    fleet.wait_for(lambda: bool(fleet.heartbeats))

    fleet.restart_broker()
    fleet.offer(an_offer("digits@1"))
    fleet.wait_for(lambda: UpdateState.HEALTHY in _states(fleet))

    assert len(fleet.courier.sent) >= 1


def test_the_next_version_comes_by_a_delta_in_fewer_bytes_than_by_chunks(fleet: FakeFleet, launch: Launch) -> None:
    news = fleet.courier.repository.offer_delta(*TUNED, make(*TUNED), chunk_bytes=CHUNK_BYTES)
    fleet.offer(an_offer("digits@3"))
    launch()
    fleet.wait_for(lambda: UpdateState.HEALTHY in _states(fleet))
    fleet.courier.sent_bytes.clear()

    fleet.offer(an_offer("digits@4", generation=2))
    fleet.wait_for(lambda: _states(fleet).count(UpdateState.HEALTHY) == 2)

    assert set(fleet.courier.sent_bytes) == {news.index}
    assert fleet.courier.sent_bytes[news.index] < 0.7 * len(TUNED[1])
    fleet.wait_for(lambda: fleet.heartbeats[-1].running == {"digits": "digits@4"})


def test_a_damaged_delta_costs_no_update(fleet: FakeFleet, launch: Launch) -> None:
    delta = make(*TUNED)
    damaged = delta[:-64] + bytes(64)
    fleet.courier.repository.offer_delta(*TUNED, damaged, chunk_bytes=CHUNK_BYTES)
    fleet.offer(an_offer("digits@3"))
    launch()
    fleet.wait_for(lambda: UpdateState.HEALTHY in _states(fleet))

    fleet.offer(an_offer("digits@4", generation=2))
    fleet.wait_for(lambda: _states(fleet).count(UpdateState.HEALTHY) == 2)

    assert "delta_unusable" in {report.code for report in fleet.updates}
    fleet.wait_for(lambda: fleet.heartbeats[-1].running == {"digits": "digits@4"})


def _states(fleet: FakeFleet) -> list[UpdateState]:
    return [report.state for report in fleet.updates]


def _infer(port: int, tiny: TinyModel) -> dict[str, str]:
    row = tiny.rows(1)
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, tiny.features], "data": row.ravel().tolist()}]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v2/models/digits/infer",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, str] = json.load(response)
    return answer
