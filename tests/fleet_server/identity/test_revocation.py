"""How a revocation takes hold: listed first, told next, ended then; and counted."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography import x509

from contracts.ids import DeviceId, TenantId
from contracts.topics import Channel
from fleet_server.errors import BrokerUnreachable
from fleet_server.identity.folder import IdentityFolder
from fleet_server.identity.revocation import RevocationWatch
from tests.fleet_server.server import SmallServer


class Broker:
    """What the watch does to the broker, in order."""

    def __init__(self) -> None:
        self.acts: list[str] = []
        self.reachable = True

    def tell(self) -> None:
        self.acts.append("reload")

    def end(self, tenant: TenantId, device: DeviceId) -> None:
        if not self.reachable:
            raise BrokerUnreachable("gone")
        self.acts.append(f"end {tenant}/{device}")


@pytest.fixture
def folder(small_server: SmallServer) -> IdentityFolder:
    return IdentityFolder.of(small_server.config.data_dir)


@pytest.fixture
def watch(small_server: SmallServer, folder: IdentityFolder) -> RevocationWatch:
    watch = RevocationWatch(small_server.engine, small_server.clock, small_server.wiring.authority, folder)
    watch.write_list()
    return watch


@pytest.fixture
def tick(watch: RevocationWatch) -> Callable[[Broker], list[str]]:
    def tick(broker: Broker) -> list[str]:
        broker.acts.clear()
        watch.tick(broker.tell, broker.end)
        return list(broker.acts)

    return tick


def _listed(folder: IdentityFolder) -> set[int]:
    return {one.serial_number for one in x509.load_pem_x509_crl(folder.revoked.read_bytes())}


def _revoke(server: SmallServer, device: str) -> None:
    server.api.post(f"/api/v1/devices/{device}/revoke").raise_for_status()


def test_nothing_revoked_is_an_empty_list_and_no_word_to_the_broker(
    folder: IdentityFolder, tick: Callable[[Broker], list[str]]
) -> None:
    assert (tick(Broker()), _listed(folder)) == ([], set())


def test_a_revocation_is_listed_before_the_session_ends(
    small_server: SmallServer, folder: IdentityFolder, tick: Callable[[Broker], list[str]]
) -> None:
    device, broker = small_server.enroll("pi-1"), Broker()
    small_server.enroll("pi-2")
    _revoke(small_server, "pi-1")

    acts = [tick(broker) for _ in range(3)]

    assert acts == [["reload"], ["end default/pi-1"], []]
    assert _listed(folder) == {x509.load_pem_x509_certificate(device.certificate.encode()).serial_number}


def test_a_session_that_cannot_be_ended_is_tried_again(
    small_server: SmallServer, tick: Callable[[Broker], list[str]]
) -> None:
    broker = Broker()
    small_server.enroll("pi-1")
    _revoke(small_server, "pi-1")
    tick(broker)

    broker.reachable = False
    missed = tick(broker)
    broker.reachable = True

    assert (missed, tick(broker)) == ([], ["end default/pi-1"])


def test_a_certificate_that_has_expired_leaves_the_list(
    small_server: SmallServer, folder: IdentityFolder, tick: Callable[[Broker], list[str]]
) -> None:
    small_server.enroll("pi-1")
    _revoke(small_server, "pi-1")
    tick(Broker())

    small_server.clock.pass_s(31 * 86_400)
    tick(Broker())

    assert _listed(folder) == set()


def test_messages_of_a_revoked_device_are_dropped_and_counted(
    small_server: SmallServer, watch: RevocationWatch, tick: Callable[[Broker], list[str]]
) -> None:
    lost, honest = small_server.enroll("pi-1"), small_server.enroll("pi-2")
    _revoke(small_server, "pi-1")
    tick(Broker())

    passed = [watch.lets_pass(one.topic(Channel.CHUNK_REQUEST)) for one in (lost, honest)]

    assert (passed, watch.dropped) == ([False, True], {"chunk-request": 1})


def test_a_revocation_is_audited_shown_and_final(small_server: SmallServer) -> None:
    small_server.enroll("pi-1")
    _revoke(small_server, "pi-1")

    again = small_server.api.post("/api/v1/devices/pi-1/revoke")
    unknown = small_server.api.post("/api/v1/devices/pi-9/revoke")

    assert (again.status_code, unknown.status_code) == (409, 404)
    assert small_server.api.get("/api/v1/devices/pi-1").json()["status"] == "revoked"
    assert small_server.api.get("/api/v1/devices", params={"status": "revoked"}).json()[0]["id"] == "pi-1"


def test_a_device_gets_no_more_than_a_dozen_certificates_an_hour(small_server: SmallServer) -> None:
    from tests.attacks.test_identity import _nonce, _renew

    device = small_server.enroll("pi-1")

    answers = [_renew(small_server, "pi-1", device.key, nonce=_nonce(small_server)) for _ in range(12)]

    assert answers[:11] == [(200, "")] * 11
    assert answers[11] == (429, "too_many_tries")
