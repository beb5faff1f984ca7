"""Joining: who gets in, once, and who does not."""

from __future__ import annotations

import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.fleet_server.server import SmallServer, enrollment_body


def a_token(server: SmallServer, *, uses: int = 1, ttl_s: int = 60) -> str:
    server.api.post("/api/v1/groups", json={"name": "lab"})
    body = {"group": "lab", "uses": uses, "ttl_s": ttl_s}
    return str(server.api.post("/api/v1/enrollment-tokens", json=body).json()["token"])


def test_a_device_joins_the_tokens_group_and_learns_its_broker(small_server: SmallServer) -> None:
    token = a_token(small_server)

    answer = small_server.devices_api.post(
        "/api/v1/enroll", json=enrollment_body(token, "pi-1", Ed25519PrivateKey.generate())
    )

    assert answer.status_code == 200
    given = answer.json()
    assert given["authorities"] == small_server.wiring.authority.pem
    assert x509.load_pem_x509_certificate(given["certificate"].encode()).subject.rfc4514_string() == "CN=default/d/pi-1"
    assert {key: given[key] for key in ("tenant", "device", "group", "broker_host", "broker_port")} == {
        "tenant": "default",
        "device": "pi-1",
        "group": "lab",
        "broker_host": "127.0.0.1",
        "broker_port": 1883,
    }
    assert small_server.api.get("/api/v1/devices").json()[0]["status"] == "enrolled"


def test_a_token_for_one_device_is_refused_to_the_second(small_server: SmallServer) -> None:
    token = a_token(small_server)
    first = enrollment_body(token, "pi-1", Ed25519PrivateKey.generate())
    second = enrollment_body(token, "pi-2", Ed25519PrivateKey.generate())

    small_server.devices_api.post("/api/v1/enroll", json=first)
    answer = small_server.devices_api.post("/api/v1/enroll", json=second)

    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "enrollment_refused"
    assert [device["id"] for device in small_server.api.get("/api/v1/devices").json()] == ["pi-1"]


def test_a_device_whose_answer_was_lost_may_ask_again(small_server: SmallServer) -> None:
    body = enrollment_body(a_token(small_server), "pi-1", Ed25519PrivateKey.generate())

    first = small_server.devices_api.post("/api/v1/enroll", json=body)
    again = small_server.devices_api.post("/api/v1/enroll", json=body)

    assert again.status_code == 200
    assert again.json() | {"certificate": ""} == first.json() | {"certificate": ""}


def test_a_name_cannot_be_taken_over_with_another_key(small_server: SmallServer) -> None:
    token = a_token(small_server, uses=2)

    small_server.devices_api.post("/api/v1/enroll", json=enrollment_body(token, "pi-1", Ed25519PrivateKey.generate()))
    answer = small_server.devices_api.post(
        "/api/v1/enroll", json=enrollment_body(token, "pi-1", Ed25519PrivateKey.generate())
    )

    assert answer.status_code == 403
    assert "another key" in answer.json()["error"]["message"]


def test_an_expired_token_is_refused(small_server: SmallServer) -> None:
    token = a_token(small_server, ttl_s=60)

    small_server.clock.pass_s(61)
    answer = small_server.devices_api.post(
        "/api/v1/enroll", json=enrollment_body(token, "pi-1", Ed25519PrivateKey.generate())
    )

    assert answer.status_code == 403


def test_a_made_up_token_is_refused(small_server: SmallServer) -> None:
    answer = small_server.devices_api.post(
        "/api/v1/enroll", json=enrollment_body("nothing", "pi-1", Ed25519PrivateKey.generate())
    )

    assert answer.json()["error"]["code"] == "enrollment_refused"


def test_a_key_that_is_none_is_refused(small_server: SmallServer) -> None:
    body = enrollment_body(a_token(small_server), "pi-1", Ed25519PrivateKey.generate()) | {"csr": "ab" * 31}

    answer = small_server.devices_api.post("/api/v1/enroll", json=body)

    assert answer.status_code == 422
    assert "no certificate request" in answer.json()["error"]["message"]


@pytest.mark.parametrize("place", [0, 1], ids=["its key", "its signature"])
@pytest.mark.parametrize("path", ["/api/v1/enroll", "/api/v1/renew"])
def test_a_request_of_an_algorithm_that_nobody_knows_is_refused(
    small_server: SmallServer, path: str, place: int
) -> None:
    body = enrollment_body("nothing", "pi-1", Ed25519PrivateKey.generate())
    csr = _with_another_algorithm(body["csr"], place)
    said = {"tenant": "default", "device": "pi-1", "csr": csr} if path.endswith("renew") else body | {"csr": csr}

    answer = small_server.devices_api.post(path, json=said)

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "request_refused")
    assert "certificate request" in answer.json()["error"]["message"]


def _with_another_algorithm(csr: str, place: int) -> str:
    """Return the request with 1.3.101.127, which means nothing, instead of the ed25519 that stands there."""
    parts = ssl.PEM_cert_to_DER_cert(csr.replace("CERTIFICATE REQUEST", "CERTIFICATE")).split(b"\x2b\x65\x70")
    changed = b"\x2b\x65\x70".join(parts[: place + 1]) + b"\x2b\x65\x7f" + b"\x2b\x65\x70".join(parts[place + 1 :])
    return ssl.DER_cert_to_PEM_cert(changed).replace("CERTIFICATE", "CERTIFICATE REQUEST")


def test_a_name_that_is_no_name_is_refused(small_server: SmallServer) -> None:
    body = enrollment_body(a_token(small_server), "../etc", Ed25519PrivateKey.generate())

    answer = small_server.devices_api.post("/api/v1/enroll", json=body)

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_id")


def test_a_profile_that_is_not_in_the_catalog_is_refused_and_the_nearest_named(small_server: SmallServer) -> None:
    token = a_token(small_server)
    key = Ed25519PrivateKey.generate()

    answer = small_server.devices_api.post(
        "/api/v1/enroll", json=enrollment_body(token, "pi-1", key, profile="rasberry-pi-4")
    )
    again = small_server.devices_api.post("/api/v1/enroll", json=enrollment_body(token, "pi-1", key))

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "request_refused")
    assert "did you mean raspberry-pi-4" in answer.json()["error"]["message"]
    assert again.status_code == 200  # the token's one use was not spent


def test_a_token_needs_a_group_that_exists(small_server: SmallServer) -> None:
    answer = small_server.api.post("/api/v1/enrollment-tokens", json={"group": "nowhere"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_an_unknown_key_in_a_request_is_refused(small_server: SmallServer) -> None:
    answer = small_server.api.post("/api/v1/enrollment-tokens", json={"group": "lab", "use": 3})

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "malformed")
