"""Every device gets its turn; none waits for another, and nobody's memory is filled."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from pathlib import Path

import pytest

from contracts.chunks import MAX_CHUNK_BYTES, ChunkAnswer, cut
from contracts.codec import decode
from contracts.ids import DeviceId, Digest, TenantId, digest_of
from contracts.topics import parse_topic
from fleet_server.config import DeliveryConfig
from fleet_server.delivery import sending as module
from fleet_server.delivery.buckets import Buckets
from fleet_server.delivery.recipient import Recipient
from fleet_server.delivery.sending import (
    GIVEN_UP_AFTER_S,
    UNACKNOWLEDGED,
    UNACKNOWLEDGED_IN_ALL,
    WAITING_A_DEVICE,
    Piece,
    Sending,
)
from fleet_server.releases.vault import Vault

DATA = hashlib.shake_256(b"sending").digest(102_400)
INDEX = cut(DATA, 512)
TENANT = TenantId("default")


class Letter:
    """A message that arrives when the test says."""

    def __init__(self) -> None:
        self.arrived = False

    def wait(self, timeout_s: float) -> bool:
        assert timeout_s == 0.0, "nobody may wait in the shared worker"
        return self.arrived


class Broker:
    """Implements ``Publisher``: takes everything, acknowledges what the test lets it."""

    def __init__(self) -> None:
        self.connections = 1
        self.connected = True
        self.stuck: set[str] = set()
        self.published: list[tuple[str, int]] = []
        self.letters: list[Letter] = []

    def publish(self, topic: str, body: bytes, *, retain: bool = False) -> Letter:
        assert not retain
        device = parse_topic(topic).device
        letter = Letter()
        letter.arrived = device not in self.stuck
        self.published.append((device, decode(ChunkAnswer, body).place))
        self.letters.append(letter)
        return letter


class Time:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = Vault(tmp_path)
    vault.prepare()
    with vault.receive(digest_of(DATA)) as upload:
        upload.write(DATA)
        upload.keep()
    vault.cut(INDEX)
    return vault


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def time() -> Time:
    return Time()


def _sending(broker: Broker, vault: Vault, time: Time, rates: DeliveryConfig | None = None) -> Sending:
    return Sending(broker, vault, Buckets(rates or DeliveryConfig()), monotonic_s=time)


def _device(name: str, *, site: str = "lab") -> Recipient:
    return Recipient(tenant=TENANT, site=site, device=DeviceId(name))


def _pieces(*places: int, index: str = "a") -> list[Piece]:
    return [
        Piece(index=digest_of(index.encode()), place=place, digest=Digest(INDEX.digests[place].hex()))
        for place in places
    ]


def test_devices_are_served_in_turn(broker: Broker, vault: Vault, time: Time) -> None:
    sending = _sending(broker, vault, time)
    sending.put(_device("greedy"), _pieces(*range(10)))
    sending.put(_device("modest"), _pieces(0, 1))

    sending.send_waiting()

    assert [device for device, _ in broker.published[:4]] == ["greedy", "modest", "greedy", "modest"]
    assert Counter(device for device, _ in broker.published) == {"greedy": 10, "modest": 2}


def test_a_device_whose_messages_the_broker_keeps_stalls_nobody_else(broker: Broker, vault: Vault, time: Time) -> None:
    sending = _sending(broker, vault, time)
    broker.stuck = {"stuck"}
    sending.put(_device("stuck"), _pieces(*range(40)))
    sending.put(_device("well"), _pieces(*range(40)))

    sending.send_waiting()

    assert Counter(device for device, _ in broker.published) == {"stuck": UNACKNOWLEDGED, "well": 40}


def test_what_the_broker_never_acknowledged_is_given_up(broker: Broker, vault: Vault, time: Time) -> None:
    sending = _sending(broker, vault, time)
    broker.stuck = {"stuck"}
    sending.put(_device("stuck"), _pieces(*range(40)))
    sending.send_waiting()

    time.now_s = GIVEN_UP_AFTER_S + 1.0
    sending.send_waiting()

    assert len(broker.published) == 2 * UNACKNOWLEDGED


def test_all_devices_together_fill_no_memory(broker: Broker, vault: Vault, time: Time) -> None:
    sending = _sending(broker, vault, time)
    names = [f"pi-{number}" for number in range(200)]
    broker.stuck = set(names)
    _ask_all(sending, names)

    sending.send_waiting()

    assert len(broker.published) == UNACKNOWLEDGED_IN_ALL


def _ask_all(sending: Sending, names: list[str]) -> None:
    for name in names:
        sending.put(_device(name), _pieces(*range(16)))


def test_the_same_request_again_is_cheap(broker: Broker, vault: Vault, time: Time) -> None:
    sending = _sending(broker, vault, time)

    sending.put(_device("pi-1"), _pieces(1, 2, 3))
    sending.put(_device("pi-1"), _pieces(1, 2, 3, 4))
    sending.send_waiting()

    assert broker.published == [("pi-1", 1), ("pi-1", 2), ("pi-1", 3), ("pi-1", 4)]


def test_a_newer_artifact_takes_the_place_of_the_one_before(broker: Broker, vault: Vault, time: Time) -> None:
    sending = _sending(broker, vault, time)

    sending.put(_device("pi-1"), _pieces(1, 2, 3))
    sending.put(_device("pi-1"), _pieces(7, index="b"))
    sending.send_waiting()

    assert broker.published == [("pi-1", 7)]


def test_one_device_lets_so_many_chunks_wait_and_no_more(broker: Broker, vault: Vault, time: Time) -> None:
    sending = _sending(broker, vault, time)

    sending.put(_device("pi-1"), _pieces(*range(WAITING_A_DEVICE + 20)))
    sending.send_waiting()

    assert len(broker.published) == WAITING_A_DEVICE


def test_devices_beyond_the_bound_ask_again_later(
    broker: Broker, vault: Vault, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUES_LIMIT", 20)
    sending = _sending(broker, vault, time)
    _ask_all(sending, [f"pi-{number}" for number in range(20)])

    sending.put(_device("one-more"), _pieces(0))

    assert sending.counts == {"overloaded": 1}


def test_what_waits_when_the_broker_goes_is_forgotten(broker: Broker, vault: Vault, time: Time) -> None:
    sending = _sending(broker, vault, time)
    sending.put(_device("pi-1"), _pieces(0))

    broker.connected = False
    sending.send_waiting()
    broker.connected = True
    sending.send_waiting()

    assert broker.published == []


def test_a_chunk_that_the_vault_lost_costs_no_other_chunk(broker: Broker, vault: Vault, time: Time) -> None:
    sending = _sending(broker, vault, time)
    vault.chunk_file(Digest(INDEX.digests[1].hex())).unlink()

    sending.put(_device("pi-1"), _pieces(0, 1, 2))
    sending.send_waiting()

    assert broker.published == [("pi-1", 0), ("pi-1", 2)]
    assert sending.counts["unreadable"] == 1


def test_a_site_that_used_up_its_rate_waits_and_another_does_not(broker: Broker, vault: Vault, time: Time) -> None:
    sending = _sending(broker, vault, time, DeliveryConfig(site_bytes_s=1000))
    buckets_room = MAX_CHUNK_BYTES
    sending.put(_device("a", site="far"), _pieces(*range(60)))
    sending.put(_device("b", site="near"), _pieces(*range(60)))
    sent_bytes = sum(INDEX.lengths[:60])

    pause_s = sending.send_waiting()

    assert sent_bytes < buckets_room
    assert len(broker.published) == 120
    sending.put(_device("a", site="far"), [*_pieces(*range(60, 120)), *_pieces(*range(60))])
    sending.put(_device("c", site="new"), _pieces(0))
    sending.send_waiting()
    assert ("c", 0) in broker.published
    assert pause_s <= 0.2


def test_a_throttled_chunk_goes_out_when_its_time_has_come(broker: Broker, vault: Vault, time: Time) -> None:
    rates = DeliveryConfig(device_bytes_s=10_000)
    buckets = Buckets(rates)
    sending = Sending(broker, vault, buckets, monotonic_s=time)
    assert buckets.take(_device("pi-1"), MAX_CHUNK_BYTES, now_s=0.0) == 0.0
    sending.put(_device("pi-1"), _pieces(0))

    sending.send_waiting()
    early = list(broker.published)
    time.now_s = INDEX.lengths[0] / 10_000 + 0.001
    sending.send_waiting()

    assert (early, broker.published) == ([], [("pi-1", 0)])


def test_buckets_of_device_site_and_tenant_must_all_have_room() -> None:
    buckets = Buckets(DeliveryConfig(device_bytes_s=0, site_bytes_s=1_000_000, tenant_bytes_s=500_000))
    far, near = _device("a", site="far"), _device("b", site="near")

    assert buckets.take(far, 125_000, now_s=0.0) == 0.0
    assert buckets.take(near, 125_000, now_s=0.0) == pytest.approx(0.25)
    assert buckets.take(near, 125_000, now_s=0.25) == 0.0


def test_a_bucket_without_a_rate_never_waits() -> None:
    buckets = Buckets(DeliveryConfig())

    assert {buckets.take(_device("a"), 10**9, now_s=0.0) for _ in range(10)} == {0.0}


def test_the_worker_sends_what_is_put_while_it_waits(broker: Broker, vault: Vault) -> None:
    import time as system_time

    sending, stop = (
        Sending(broker, vault, Buckets(DeliveryConfig()), monotonic_s=system_time.monotonic),
        threading.Event(),
    )
    thread = threading.Thread(target=sending.run, args=(stop,))
    thread.start()

    sending.put(_device("pi-1"), _pieces(0))
    deadline_s = system_time.monotonic() + 5.0
    while not broker.published and system_time.monotonic() < deadline_s:
        system_time.sleep(0.005)

    stop.set()
    thread.join(5.0)
    assert broker.published == [("pi-1", 0)]
