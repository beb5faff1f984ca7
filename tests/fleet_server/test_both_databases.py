"""The server's part of the story, the same on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.chunks import ChunkAnswer, ChunkRequest, bitmap, cut
from contracts.codec import decode, encode
from contracts.envelope import ReportAck, ReportKind
from contracts.ids import digest_of
from contracts.topics import Channel
from contracts.update import Offer
from fleet_server.broker.outbox import Outbox
from tests.fleet_server.broker.test_inbox import a_heartbeat
from tests.fleet_server.server import SmallServer, a_release, enrollment_body

DATABASES = [
    "small_server",
    pytest.param("postgres_server", marks=[pytest.mark.slow, pytest.mark.system]),
]


@pytest.fixture(params=DATABASES)
def server(request: pytest.FixtureRequest) -> SmallServer:
    chosen = request.getfixturevalue(request.param)
    assert isinstance(chosen, SmallServer)
    return chosen


def test_a_release_reaches_a_device_and_the_device_is_heard(server: SmallServer, tmp_path: Path) -> None:
    data = a_release()
    server.publish(server.desk(tmp_path / "desk"), data)
    device = server.enroll()
    places = set(range(len(cut(data).digests)))

    server.offer(device, "digits@1.0.0")
    Outbox(server.engine, server.clock, server.publisher).send_waiting()
    request = ChunkRequest(index=digest_of(encode(cut(data))), first=0, missing=bitmap(places, 0), credit=8)
    server.courier.answer(device.topic(Channel.CHUNK_REQUEST), encode(request))
    server.sending.send_waiting()
    server.courier.tally()
    server.inbox.take([(device.topic(), device.seal(1, ReportKind.HEARTBEAT, a_heartbeat()))])

    assert decode(Offer, server.publisher.bodies(Channel.OFFER)[-1]).release == "digits@1.0.0"
    chunks = [decode(ChunkAnswer, body).data for body in server.publisher.bodies(Channel.CHUNK)]
    assert b"".join(chunks) == data
    assert [decode(ReportAck, body).sequence for body in server.publisher.bodies(Channel.ACK)] == [1]
    assert server.api.get("/api/v1/devices/pi-1/transfers").json()[0]["distinct"] == len(places)
    assert server.api.get("/api/v1/releases").json()[0]["running_on"] == 1
    assert server.api.get("/api/v1/overview").json()["versions"] == {"digits@1.0.0": 1}


def test_of_many_devices_at_once_one_gets_the_tokens_only_place(server: SmallServer) -> None:
    server.api.post("/api/v1/groups", json={"name": "lab"})
    token = server.api.post("/api/v1/enrollment-tokens", json={"group": "lab"}).json()["token"]
    bodies = [enrollment_body(token, f"pi-{place}", Ed25519PrivateKey.generate()) for place in range(8)]

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda body: server.devices_api.post("/api/v1/enroll", json=body).status_code, bodies))

    assert sorted(statuses) == [200, *[403] * 7]
    assert len(server.api.get("/api/v1/devices").json()) == 1


def test_a_value_that_the_database_cannot_hold_is_not_applied_and_does_not_stop_the_rest(server: SmallServer) -> None:
    device = server.enroll()
    huge = device.seal(1, ReportKind.HEARTBEAT, a_heartbeat(requests=2**70))

    server.inbox.take([(device.topic(), huge), (device.topic(), device.seal(2, ReportKind.HEARTBEAT, a_heartbeat()))])

    assert server.inbox.counts == {"not_applied": 1, "committed": 1}


def test_an_offer_that_a_device_does_not_know_of_is_sent_again(server: SmallServer) -> None:
    device, outbox = server.enroll(), Outbox(server.engine, server.clock, server.publisher)
    server.offer(device, "digits@1.0.0")
    outbox.send_waiting()

    server.clock.pass_s(16.0)
    server.inbox.take([(device.topic(), device.seal(1, ReportKind.HEARTBEAT, a_heartbeat()))])

    assert server.inbox.counts == {"committed": 1}
    assert outbox.send_waiting() == 1
