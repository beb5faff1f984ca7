"""Chunks over HTTPS: the same bytes to the same devices, whole or in part, to be kept for ever."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from contracts.chunks import ChunkIndex, cut, pieces
from contracts.codec import encode
from contracts.ids import DEFAULT_TENANT, digest_of
from fleet_server.config import DeliveryConfig
from fleet_server.delivery import routes
from fleet_server.delivery.buckets import Buckets
from fleet_server.delivery.cuts import Cut, Cuts
from fleet_server.delivery.recipient import Recipient
from tests.fleet_server.server import SmallServer, a_release

DATA = a_release()
INDEX = cut(DATA)
FIRST = next(pieces(DATA, INDEX.lengths))
PATH = f"/api/v1/device/chunks/{digest_of(FIRST)}"


@dataclass(frozen=True, kw_only=True)
class Offered:
    """A device that was offered the release."""

    server: SmallServer
    api: TestClient


@pytest.fixture
def offered(small_server: SmallServer, tmp_path: Path) -> Offered:
    small_server.publish(small_server.desk(tmp_path / "desk"), DATA)
    device = small_server.enroll()
    small_server.offer(device, "digits@1.0.0")
    return Offered(server=small_server, api=small_server.api_of(device))


def test_every_chunk_of_the_assigned_artifact_comes(offered: Offered) -> None:
    answers = [offered.api.get(f"/api/v1/device/chunks/{digest.hex()}") for digest in INDEX.digests]

    assert b"".join(answer.content for answer in answers) == DATA
    assert {answer.headers["cache-control"] for answer in answers} == {"private, max-age=31536000, immutable"}
    assert answers[0].headers["etag"] == f'"{digest_of(FIRST)}"'


def test_a_part_of_a_chunk_comes(offered: Offered) -> None:
    answer = offered.api.get(PATH, headers={"Range": "bytes=10-19"})

    assert (answer.status_code, answer.content) == (206, FIRST[10:20])


def test_a_part_that_the_chunk_has_not_is_refused(offered: Offered) -> None:
    assert offered.api.get(PATH, headers={"Range": f"bytes={len(FIRST)}-"}).status_code == 416


def test_who_has_the_chunk_gets_no_bytes(offered: Offered) -> None:
    answer = offered.api.get(PATH, headers={"If-None-Match": f'"{digest_of(FIRST)}"'})

    assert (answer.status_code, answer.content) == (304, b"")


def test_without_a_certificate_there_is_nothing(offered: Offered) -> None:
    assert offered.server.devices_api.get(PATH).status_code == 403


@pytest.mark.parametrize("name", ["0" * 64, "../../vault", "not-a-digest", "%2e%2e%2fx"])
def test_what_is_no_chunk_is_not_found(name: str, offered: Offered) -> None:
    assert offered.api.get(f"/api/v1/device/chunks/{name}").status_code in (404, 422)


def test_a_rate_that_is_used_up_delays_and_then_tells_to_come_again(
    offered: Offered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "LONGEST_DELAY_S", 0.3)
    app, wiring = offered.server.devices_app, offered.server.wiring
    app.state.wiring = replace(wiring, buckets=Buckets(DeliveryConfig(device_bytes_s=1_000_000)))
    delayed = [offered.api.get(PATH).status_code for _ in range(3)]
    app.state.wiring = replace(wiring, buckets=Buckets(DeliveryConfig(device_bytes_s=1_000)))

    refused = [offered.api.get(PATH).status_code for _ in range(3)]

    assert delayed == [200, 200, 200]
    assert refused[-1] == 429


def test_a_cut_knows_its_digests_and_no_others() -> None:
    made = Cut(INDEX)

    assert len(made) == len(INDEX.digests)
    assert [made.digest(place) for place in range(len(made))] == [digest.hex() for digest in INDEX.digests]
    assert made.has(digest_of(FIRST))
    assert not made.has(digest_of(b"other"))


def test_bytes_across_two_digests_are_no_digest() -> None:
    digests = (b"\1" * 31 + b"\2", b"\3" * 32)
    across = (digests[0] + digests[1])[5:37].hex()

    assert not Cut(ChunkIndex(artifact=digest_of(b""), digests=digests, lengths=(1, 1))).has(across)  # type: ignore[arg-type]  # a digest by form


def test_cuts_are_kept_up_to_a_bound(offered: Offered, monkeypatch: pytest.MonkeyPatch) -> None:
    from fleet_server.delivery import cuts

    monkeypatch.setattr(cuts, "CHUNKS_KEPT", 1)
    index = digest_of(encode(INDEX))

    kept = Cuts(offered.server.engine)

    assert kept.find(DEFAULT_TENANT, index) is kept.find(DEFAULT_TENANT, index)
    assert len(kept._kept) == 1


def test_a_device_without_a_site_stands_at_its_groups(offered: Offered) -> None:
    from contracts.ids import DeviceId
    from fleet_server.database.session import reading
    from fleet_server.delivery.recipient import find_share

    with reading(offered.server.engine) as session:
        share = find_share(session, DEFAULT_TENANT, DeviceId("pi-1"))
        nobody = find_share(session, DEFAULT_TENANT, DeviceId("nobody"))

    assert share is not None
    assert share.recipient == Recipient(tenant=DEFAULT_TENANT, site="lab", device=DeviceId("pi-1"))
    assert nobody is None
