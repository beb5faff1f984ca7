"""The door: what is not signed, not newer, not uploaded or not as it says does not come in."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from securesystemslib.signer import CryptoSigner
from sqlalchemy import text
from tuf.api.metadata import Metadata, Root, Targets

from contracts.chunks import cut
from contracts.codec import encode
from contracts.ids import DEFAULT_TENANT, digest_of
from contracts.metadata import RepositoryName
from fleet_server.database.session import transaction
from fleet_server.errors import BytesMissing, DatabaseUnreachable, ReleaseRefused
from fleet_server.releases.publishing import Submission, publish, trust_roots
from signing.keys import KeyRole, load_signer
from tests.fakes.clock import START
from tests.fleet_server.server import Desk, SmallServer, a_release
from tests.signing.repositories import PASSPHRASE


def submit(server: SmallServer, targets: str, *roots: str) -> httpx.Response:
    answer: httpx.Response = server.api.post("/api/v1/metadata", json={"roots": list(roots), "targets": targets})
    return answer


def published(server: SmallServer) -> list[str]:
    return [release["id"] for release in server.api.get("/api/v1/releases").json()]


@pytest.fixture
def desk(small_server: SmallServer, tmp_path: Path) -> Desk:
    return small_server.desk(tmp_path / "desk")


def test_what_is_signed_and_uploaded_is_published(small_server: SmallServer, desk: Desk) -> None:
    data = a_release()
    desk.release(data)
    small_server.upload(data)

    answer = submit(small_server, desk.targets, desk.root)

    assert answer.status_code == 200
    assert [view["id"] for view in answer.json()] == ["digits@1.0.0"]
    assert answer.json()[0]["artifacts"] == [
        {"profile": "raspberry-pi-4", "digest": digest_of(data), "length": len(data)}
    ]


def test_nothing_is_published_without_its_line_in_the_audit(small_server: SmallServer, desk: Desk) -> None:
    data = a_release()
    desk.release(data)
    small_server.upload(data)
    with small_server.engine.begin() as connection:
        connection.execute(text("DROP TABLE audit"))

    with pytest.raises(DatabaseUnreachable, match="audit"):
        publish(
            small_server.engine,
            DEFAULT_TENANT,
            Submission(roots=[desk.root], targets=desk.targets),
            vault=small_server.wiring.vault,
            rings=small_server.wiring.rings,
            actor="ana",
            now=START,
        )

    assert published(small_server) == []


def test_publishing_the_same_again_changes_nothing(small_server: SmallServer, desk: Desk) -> None:
    small_server.publish(desk, a_release())

    answer = submit(small_server, desk.targets, desk.root)

    assert (answer.status_code, answer.json()) == (200, [])


def test_a_release_signed_with_another_key_is_refused(small_server: SmallServer, desk: Desk) -> None:
    data = a_release()
    desk.release(data)
    small_server.upload(data)
    forged: Metadata[Targets] = Metadata.from_bytes(desk.targets.encode())
    forged.sign(CryptoSigner.generate_ed25519())

    answer = submit(small_server, forged.to_bytes().decode(), desk.root)

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "release_refused")
    assert published(small_server) == []


def test_one_changed_word_in_signed_targets_is_refused(small_server: SmallServer, desk: Desk) -> None:
    data = a_release()
    desk.release(data)
    small_server.upload(data)

    changed = desk.targets.replace('"counter":1', '"counter":2')
    answer = submit(small_server, changed, desk.root)

    assert changed != desk.targets
    assert answer.status_code == 422
    assert published(small_server) == []


def test_an_artifact_that_was_not_uploaded_is_missed_by_name(small_server: SmallServer, desk: Desk) -> None:
    data = a_release()
    desk.release(data)
    index = encode(cut(data))
    small_server.api.put(f"/api/v1/indexes/{digest_of(index)}", content=index)

    answer = submit(small_server, desk.targets, desk.root)

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "bytes_missing")
    assert digest_of(data) in answer.json()["error"]["message"]
    assert published(small_server) == []


def test_an_index_that_was_not_uploaded_is_missed(small_server: SmallServer, desk: Desk) -> None:
    data = a_release()
    desk.release(data)
    small_server.api.put(f"/api/v1/artifacts/{digest_of(data)}", content=data)

    answer = submit(small_server, desk.targets, desk.root)

    assert answer.json()["error"]["code"] == "bytes_missing"


def test_targets_that_name_an_index_of_other_chunks_are_refused(small_server: SmallServer, desk: Desk) -> None:
    data, other = a_release(), a_release(version="9.9.9")
    desk.release(data)
    small_server.upload(data, other)
    digest, length = digest_of(encode(cut(other))), len(encode(cut(other)))
    targets: Metadata[Targets] = Metadata.from_bytes(desk.targets.encode())
    (target,) = targets.signed.targets.values()
    target.custom.update(index=digest, index_length=length)
    targets.sign(load_signer(desk.keys, KeyRole.TARGETS, PASSPHRASE))

    answer = submit(small_server, targets.to_bytes().decode(), desk.root)

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bytes_differ")
    assert "index's artifact" in answer.json()["error"]["message"]


def test_older_targets_are_refused(small_server: SmallServer, desk: Desk) -> None:
    small_server.publish(desk, a_release())
    older = desk.targets
    small_server.publish(desk, a_release(version="2.0.0", counter=2))

    answer = submit(small_server, older, desk.root)

    assert answer.status_code == 422
    assert "not newer" in answer.json()["error"]["message"]
    assert published(small_server) == ["digits@2.0.0", "digits@1.0.0"]


def test_expired_targets_are_refused(small_server: SmallServer, desk: Desk) -> None:
    data = a_release()
    desk.release(data)
    small_server.upload(data)
    small_server.clock.pass_s(timedelta(days=200).total_seconds())

    answer = submit(small_server, desk.targets, desk.root)

    assert "expired" in answer.json()["error"]["message"]


def test_a_server_that_trusts_nobody_publishes_nothing(small_server: SmallServer) -> None:
    answer = submit(small_server, "{}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "trust_missing")


def test_a_new_root_signed_by_the_old_one_is_followed(small_server: SmallServer, desk: Desk) -> None:
    small_server.publish(desk, a_release())
    successor: Metadata[Root] = Metadata.from_bytes(desk.root.encode())
    successor.signed.version = 2
    successor.sign(load_signer(desk.keys, KeyRole.ROOT, PASSPHRASE))

    answer = submit(small_server, desk.targets, desk.root, successor.to_bytes().decode())

    assert answer.status_code == 200


def test_a_new_root_that_signs_only_for_itself_is_refused(small_server: SmallServer, desk: Desk) -> None:
    small_server.publish(desk, a_release())
    usurper = CryptoSigner.generate_ed25519()
    successor: Metadata[Root] = Metadata.from_bytes(desk.root.encode())
    successor.signed.version = 2
    successor.signed.add_key(usurper.public_key, "root")
    successor.signed.revoke_key(desk_root_keyid(desk), "root")
    successor.sign(usurper)

    answer = submit(small_server, desk.targets, desk.root, successor.to_bytes().decode())

    assert answer.status_code == 422
    assert "not signed by version 1" in answer.json()["error"]["message"]


def test_a_root_version_cannot_be_skipped(small_server: SmallServer, desk: Desk) -> None:
    small_server.publish(desk, a_release())
    successor: Metadata[Root] = Metadata.from_bytes(desk.root.encode())
    successor.signed.version = 3
    successor.sign(load_signer(desk.keys, KeyRole.ROOT, PASSPHRASE))

    answer = submit(small_server, desk.targets, successor.to_bytes().decode())

    assert "does not follow" in answer.json()["error"]["message"]


def test_the_root_of_another_server_is_not_trusted(small_server: SmallServer, desk: Desk, tmp_path: Path) -> None:
    foreign: Metadata[Root] = Metadata.from_bytes(desk.root.encode())
    stranger = CryptoSigner.generate_ed25519()
    foreign.signed.add_key(stranger.public_key, "timestamp")
    foreign.signed.revoke_key(small_server.online_keys.public.keyid, "timestamp")
    foreign.sign(load_signer(desk.keys, KeyRole.ROOT, PASSPHRASE))

    texts = desk.roots | {RepositoryName.MODELS: foreign.to_bytes().decode()}
    with (
        pytest.raises(ReleaseRefused, match="does not name this server's key"),
        transaction(small_server.engine) as session,
    ):
        trust_roots(session, DEFAULT_TENANT, texts, rings=small_server.wiring.rings, now=START)


def test_a_second_root_is_not_trusted_beside_the_first(small_server: SmallServer, desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(ReleaseRefused, match="trusted already"):
        small_server.desk(tmp_path / "another-desk")


def test_bytes_of_another_digest_are_not_kept(small_server: SmallServer) -> None:
    digest = digest_of(b"expected")

    answer = small_server.api.put(f"/api/v1/artifacts/{digest}", content=b"something else")

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bytes_differ")
    assert list((small_server.config.data_dir / "vault" / "incoming").iterdir()) == []
    with pytest.raises(BytesMissing, match="was not uploaded"):
        small_server.vault.artifact_head(digest)


def test_a_body_over_the_limit_is_refused(small_server: SmallServer) -> None:
    body = b"x" * 1_000_001

    answer = small_server.api.post("/api/v1/groups", content=body)

    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_an_artifact_over_the_limit_is_refused(tmp_path: Path, small_server: SmallServer) -> None:
    digest = digest_of(b"")
    stated = {"content-length": str(small_server.config.max_artifact_bytes + 1)}

    answer = small_server.api.put(f"/api/v1/artifacts/{digest}", content=b"x", headers=stated)

    assert answer.status_code == 413


def test_publishing_needs_a_token(small_server: SmallServer) -> None:
    answer = small_server.strangers_api.post("/api/v1/metadata", json={"roots": [], "targets": ""})

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_signed_in")


def desk_root_keyid(desk: Desk) -> str:
    root: Metadata[Root] = Metadata.from_bytes(desk.root.encode())
    (keyid,) = root.signed.roles["root"].keyids
    return keyid
