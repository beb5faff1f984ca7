"""Attacks on the model repository's metadata: 1 to 11 and 13 to 18 of the design's list (12 is in ``test_time``)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import DelegatedRole, MetaFile, Snapshot, Timestamp

from contracts.codec import decode, encode
from contracts.metadata import LIMITS_BYTES, PART_BYTES, MetadataAnswer, MetadataName, MetadataRequest
from contracts.topics import Channel
from contracts.update import UpdateState
from edge_agent.delivery.courier import Courier, Letter, Patience
from edge_agent.trust.errors import MetadataTooLong
from tests.attacks.trusting import (
    FAR_AHEAD,
    MODELS,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    assert_follows,
    assert_refused,
    assert_untouched,
    spelt,
)
from tests.fakes.clock import FakeClock
from tests.fakes.courier import Answers, FakeCourier
from tests.fakes.device import FakeDevice, an_artifact
from tests.fakes.repository import SignedRepository

DIGITS_2 = an_artifact(version="2", counter=2)
OWN_PATH = "digits/*/*.artifact"


@pytest.mark.parametrize("role", [TARGETS, SNAPSHOT, TIMESTAMP, "line-3"])
def test_attack_01_metadata_signed_by_a_stranger(role: str, device: FakeDevice, repository: SignedRepository) -> None:
    repository.delegate("line-3", OWN_PATH)
    repository.lose_key(role)
    repository.publish(DIGITS_2, team="line-3")

    device.offer("digits@2")

    assert_refused(device, "signature_refused")


@pytest.mark.parametrize("role", [TARGETS, SNAPSHOT, TIMESTAMP, ROOT])
def test_attack_01_metadata_with_a_bad_signature_or_none(
    role: str, device: FakeDevice, repository: SignedRepository
) -> None:
    repository.rotate_root()
    repository.publish(DIGITS_2)
    genuine = repository.files[role, repository.newest(role)]

    repository.instead[MODELS, role] = spelt(genuine, _empty_signatures)
    device.offer("digits@2")
    assert_refused(device, "signature_refused")

    repository.instead[MODELS, role] = spelt(genuine, _flip_first_signature)
    device.offer("digits@2")
    assert_refused(device, "signature_refused")


@pytest.mark.parametrize("role", [TARGETS, ROOT, SNAPSHOT, TIMESTAMP])
def test_attack_02_fewer_signatures_than_the_threshold(
    role: str, device: FakeDevice, repository: SignedRepository
) -> None:
    repository.demand(role, keys=3, threshold=2)
    repository.signers[role] = repository.signers[role][:1]
    repository.rotate_root()
    repository.publish(DIGITS_2)

    device.offer("digits@2")

    assert_refused(device, "signature_refused")


def test_attack_02_a_team_below_its_threshold(device: FakeDevice, repository: SignedRepository) -> None:
    repository.delegate("line-3", OWN_PATH, keys=3, threshold=2)
    repository.signers["line-3"] = repository.signers["line-3"][:1]
    repository.publish(DIGITS_2, team="line-3")

    device.offer("digits@2")

    assert_refused(device, "signature_refused")


def test_attack_03_one_key_counted_twice_under_two_names(device: FakeDevice, repository: SignedRepository) -> None:
    alias = _under_another_name(repository.signers["targets"][0])
    repository._root.add_key(alias.public_key, "targets")
    repository.signers["targets"].append(alias)
    repository.demand("targets", keys=2, threshold=2)
    repository.publish(DIGITS_2)

    device.offer("digits@2")

    assert_refused(device, "key_repeated")


def test_attack_03_one_p256_key_counted_twice_in_two_spellings(
    device: FakeDevice, repository: SignedRepository
) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    plain = SSlibKey.from_crypto(private.public_key())
    compressed = private.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    body = base64.encodebytes(bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + compressed)
    pem = f"-----BEGIN PUBLIC KEY-----\n{body.decode()}-----END PUBLIC KEY-----\n"
    twin = SSlibKey("b" * 64, plain.keytype, plain.scheme, {"public": pem})
    repository._root.add_key(plain, "targets")
    repository._root.add_key(twin, "targets")
    repository.signers["targets"] = [CryptoSigner(private, plain), CryptoSigner(private, twin)]
    repository.demand("targets", keys=2, threshold=2)
    repository.publish(DIGITS_2)

    device.offer("digits@2")

    assert_refused(device, "key_repeated")


def test_attack_03_a_teams_key_counted_twice_under_two_names(device: FakeDevice, repository: SignedRepository) -> None:
    repository.delegate("line-3", OWN_PATH)
    signers = [repository.signers["line-3"][0], _under_another_name(repository.signers["line-3"][0])]
    keys = [signer.public_key for signer in signers]
    role = DelegatedRole("line-3", [key.keyid for key in keys], 2, True, [OWN_PATH])
    repository.add_delegation("targets", role, keys)
    repository.signers["line-3"] = signers
    repository.publish(DIGITS_2, team="line-3")

    device.offer("digits@2")

    assert_refused(device, "key_repeated")


def test_attack_03_a_second_signature_by_the_same_key_is_none(device: FakeDevice, repository: SignedRepository) -> None:
    repository.demand("targets", keys=2, threshold=2)
    first = repository.signers["targets"][0]
    repository.signers["targets"] = [first, _under_another_name(first)]
    repository.publish(DIGITS_2)

    device.offer("digits@2")

    assert_refused(device, "signature_refused")


def test_attack_04_a_root_signed_only_by_its_new_keys(device: FakeDevice, repository: SignedRepository) -> None:
    repository.rotate_root(signed_by_old=False)
    repository.publish(DIGITS_2)

    device.offer("digits@2")

    assert_refused(device, "signature_refused")


def test_attack_05_a_root_signed_only_by_the_old_keys(device: FakeDevice, repository: SignedRepository) -> None:
    repository.rotate_root(signed_by_new=False)
    repository.publish(DIGITS_2)

    device.offer("digits@2")

    assert_refused(device, "signature_refused")


def test_attack_06_a_root_that_skips_a_version(device: FakeDevice, repository: SignedRepository) -> None:
    repository.rotate_root(skip=1)
    repository.instead[MODELS, ROOT] = repository.files[ROOT, 3]
    repository.publish(DIGITS_2)

    device.offer("digits@2")

    assert_refused(device, "root_skipped")


def test_attack_06_an_older_root_in_place_of_the_next(device: FakeDevice, repository: SignedRepository) -> None:
    repository.instead[MODELS, ROOT] = repository.root
    repository.publish(DIGITS_2)

    device.offer("digits@2")

    assert_refused(device, "root_skipped")


def test_attack_06_the_newest_root_withheld_from_a_device_that_has_lost_its_files(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.rotate_root()
    device.offer("digits@9")
    (device.state / "metadata" / "models" / "2.root.json").unlink()
    del repository.files[ROOT, 2]
    repository.publish(DIGITS_2)

    device.offer("digits@2")

    assert_refused(device, "metadata_rollback")


def test_attack_07_timestamp_version_rollback(device: FakeDevice, repository: SignedRepository) -> None:
    old = _newest(repository, TIMESTAMP)
    repository.publish(DIGITS_2)
    device.offer("digits@9")
    repository.instead[MODELS, TIMESTAMP] = old

    device.offer("digits@2")

    assert_refused(device, "metadata_rollback")


def test_attack_07_timestamp_rollback_on_a_device_that_has_lost_its_files(
    device: FakeDevice, repository: SignedRepository
) -> None:
    old = _newest(repository, TIMESTAMP)
    repository.publish(DIGITS_2)
    device.offer("digits@9")
    device.disk.remove_tree(device.state / "metadata" / "models")
    repository.instead[MODELS, TIMESTAMP] = old

    device.offer("digits@2")

    assert_refused(device, "metadata_rollback")


def test_attack_08_snapshot_rollback(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    device.offer("digits@9")
    repository.rewrite(TIMESTAMP, _next_timestamp(snapshot=repository.newest(SNAPSHOT) - 1))

    device.offer("digits@2")

    assert_refused(device, "metadata_rollback")


def test_attack_09_targets_rollback_inside_a_newer_snapshot(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    device.offer("digits@9")
    older = repository.newest(TARGETS) - 1
    repository.rewrite(SNAPSHOT, lambda snapshot: _next_snapshot(snapshot, targets=older))
    repository.rewrite(TIMESTAMP, _next_timestamp(snapshot=repository.newest(SNAPSHOT)))

    device.offer("digits@2")

    assert_refused(device, "metadata_rollback")


def test_attack_09_a_teams_rollback_on_a_device_that_has_lost_its_files(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.delegate("line-3", OWN_PATH)
    repository.publish(DIGITS_2, team="line-3")
    device.offer("digits@9")
    device.disk.remove_tree(device.state / "metadata" / "models")
    repository.rewrite(SNAPSHOT, lambda snapshot: snapshot.meta.update({"line-3.json": MetaFile(2)}))
    repository.files["line-3", 2] = _resigned_as(repository, "line-3", 2)

    device.offer("digits@2")

    assert_refused(device, "metadata_rollback")


def test_attack_10_a_delegated_role_removed_from_the_snapshot(device: FakeDevice, repository: SignedRepository) -> None:
    repository.delegate("line-3", OWN_PATH)
    repository.publish(DIGITS_2, team="line-3")
    device.offer("digits@9")
    repository.rewrite(SNAPSHOT, lambda snapshot: _next_snapshot(snapshot, without="line-3"))
    repository.rewrite(TIMESTAMP, _next_timestamp(snapshot=repository.newest(SNAPSHOT)))

    device.offer("digits@2")

    assert_refused(device, "role_removed")


def test_attack_10_a_delegated_role_that_no_snapshot_ever_named(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.delegate("line-3", OWN_PATH)
    repository.publish(DIGITS_2, team="line-3")
    repository.rewrite(SNAPSHOT, lambda snapshot: snapshot.meta.pop("line-3.json"))

    device.offer("digits@2")

    assert_refused(device, "role_removed")


def test_attack_13_targets_of_another_snapshot(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    repository.publish(an_artifact(version="3", counter=3))
    repository.instead[MODELS, TARGETS] = repository.files[TARGETS, repository.newest(TARGETS) - 1]

    device.offer("digits@2")

    assert_refused(device, "metadata_mixed")


def test_attack_13_a_snapshot_of_another_timestamp(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    repository.publish(an_artifact(version="3", counter=3))
    repository.instead[MODELS, SNAPSHOT] = repository.files[SNAPSHOT, repository.newest(SNAPSHOT) - 1]

    device.offer("digits@2")

    assert_refused(device, "metadata_mixed")


def test_attack_14_fast_forward_by_a_stolen_online_key_then_recovery_by_rotation(
    device: FakeDevice, repository: SignedRepository
) -> None:
    honest = repository.newest(TARGETS)
    repository.jump(FAR_AHEAD)
    device.offer("digits@9")
    for role in (TIMESTAMP, SNAPSHOT, TARGETS):
        del repository.files[role, FAR_AHEAD]
    repository.jump(honest + 1)
    repository.publish(DIGITS_2)

    device.offer("digits@2")
    assert_refused(device, "metadata_rollback")

    repository.rotate(TIMESTAMP, SNAPSHOT, TARGETS)
    repository.sign()
    assert_follows(device, "digits@2")


def test_attack_14_a_floor_fast_forwarded_by_stolen_targets_keys_then_recovery_by_rotation(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.raise_floor("digits", FAR_AHEAD)
    device.offer("digits@2")
    assert_refused(device, "below_floor")

    repository.targets["targets"].unrecognized_fields.clear()
    repository.sign()
    device.offer("digits@2")
    assert_refused(device, "below_floor")

    repository.rotate(TARGETS)
    repository.sign()
    assert_follows(device, "digits@2")


@pytest.mark.parametrize("name", [TIMESTAMP, SNAPSHOT, TARGETS, ROOT])
def test_attack_15_metadata_of_ten_gigabytes(
    name: MetadataName, device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    device.courier = _Announcing(repository, name, parts=10_000_000_000 // PART_BYTES)

    device.offer("digits@2")

    assert_refused(device, "metadata_too_long")


@pytest.mark.parametrize("part", [lambda number: number, lambda _: 0], ids=["new-parts", "one-part-again-and-again"])
@pytest.mark.parametrize("name", [TIMESTAMP, TARGETS])
def test_attack_15_metadata_without_an_end(name: MetadataName, part: Callable[[int], int]) -> None:
    flood = _Flood(name, part)
    courier = Courier(lambda *_: None, flood, clock=FakeClock(), patience=Patience(first_s=5.0, chance=Random(7)))

    with pytest.raises(MetadataTooLong) as caught:
        courier.metadata(MetadataRequest(name=name, request=0), limit_bytes=LIMITS_BYTES[name])

    assert caught.value.code == "metadata_too_long"
    assert flood.taken_bytes <= 2 * LIMITS_BYTES[name] + PART_BYTES


def test_attack_15_a_source_that_hands_over_too_much_at_once(device: FakeDevice, repository: SignedRepository) -> None:
    repository.publish(DIGITS_2)
    repository.instead[MODELS, TIMESTAMP] = b"[" * (LIMITS_BYTES[TIMESTAMP] + 1)

    device.offer("digits@2")

    assert_refused(device, "metadata_too_long")


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(lambda _: b'{"signatures":' + b"[" * 4_000 + b"]" * 4_000 + b"}", id="deep-nesting"),
        pytest.param(lambda _: b"[" * 16_000, id="nesting-without-end"),
        pytest.param(lambda data: data.replace(b'"signed":', b'"signed":{},"signed":', 1), id="a-key-twice"),
        pytest.param(lambda data: json.dumps(json.loads(data)).encode(), id="blanks"),
        pytest.param(lambda data: data + b"\n", id="a-byte-at-the-end"),
        pytest.param(lambda data: b"\xef\xbb\xbf" + data, id="a-byte-order-mark"),
        pytest.param(lambda data: data.decode().encode("utf-16"), id="another-encoding"),
        pytest.param(lambda data: data.replace(b'"version":', b'"version":1e9,"w":', 1), id="no-whole-number"),
        pytest.param(lambda data: data.replace(b'"version":', b'"version":' + b"9" * 400, 1), id="a-huge-number"),
        pytest.param(lambda _: b'{"signatures":[],"signed":[]}', id="no-metadata"),
        pytest.param(lambda _: b"", id="a-file-of-nothing"),
    ],
)
def test_attack_16_bytes_that_are_no_one_spelling(
    spelling: Callable[[bytes], bytes], device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.instead[MODELS, TIMESTAMP] = spelling(_newest(repository, TIMESTAMP)) or b" "

    device.offer("digits@2")

    assert_refused(device, "metadata_malformed")


@pytest.mark.parametrize(
    "pattern",
    ["../faces/*/*.artifact", "/digits/*/*.artifact", "digits/*", "*", "digits/../*/*.artifact", "d[i]gits/*/*"],
)
def test_attack_17_a_delegation_of_paths_that_no_team_may_have(
    pattern: str, device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.delegate("line-3", pattern)

    device.offer("digits@2")

    assert_refused(device, "delegation_refused")


@pytest.mark.parametrize("name", ["../timestamp", "2.root", "Line_3", "x" * 64])
def test_attack_17_a_team_whose_name_leads_elsewhere(
    name: str, device: FakeDevice, repository: SignedRepository
) -> None:
    repository.publish(DIGITS_2)
    repository.delegate(name, OWN_PATH)

    device.offer("digits@2")

    assert_refused(device, "delegation_refused")


@pytest.mark.parametrize("further", ["line-3", "line-4"])
def test_attack_17_a_circle_of_delegations(further: str, device: FakeDevice, repository: SignedRepository) -> None:
    repository.delegate("line-4", "faces/*/*.artifact")
    repository.delegate("line-3", OWN_PATH)
    keys = [signer.public_key for signer in repository.signers[further]]
    repository.add_delegation("line-3", DelegatedRole(further, [key.keyid for key in keys], 1, True, [OWN_PATH]), keys)
    repository.publish(DIGITS_2, team="line-3")

    device.offer("digits@2")

    assert_refused(device, "delegation_refused")


def test_attack_17_a_delegation_that_does_not_end_the_search(device: FakeDevice, repository: SignedRepository) -> None:
    repository.delegate("line-3", OWN_PATH, terminating=False)
    repository.publish(DIGITS_2, team="line-3")

    device.offer("digits@2")

    assert_refused(device, "delegation_refused")


def test_attack_17_more_delegations_than_anyone_has(device: FakeDevice, repository: SignedRepository) -> None:
    signer = CryptoSigner.generate_ed25519()
    for number in range(33):
        role = DelegatedRole(f"line-{number}", [signer.public_key.keyid], 1, True, [OWN_PATH])
        repository.add_delegation("targets", role, [signer.public_key])
    repository.publish(DIGITS_2)

    device.offer("digits@2")

    assert_refused(device, "delegation_refused")


def test_attack_18_a_teams_key_signs_another_teams_file(device: FakeDevice, repository: SignedRepository) -> None:
    repository.delegate("line-3", OWN_PATH)
    repository.delegate("line-4", "faces/*/*.artifact")
    repository.signers["line-3"] = repository.signers["line-4"]
    repository.publish(DIGITS_2, team="line-3")

    device.offer("digits@2")

    assert_refused(device, "signature_refused")


def test_attack_18_a_team_lists_a_path_that_is_another_teams(device: FakeDevice, repository: SignedRepository) -> None:
    repository.delegate("line-3", OWN_PATH)
    repository.delegate("line-4", "faces/*/*.artifact")
    repository.publish(DIGITS_2, team="line-4")

    device.offer("digits@2")

    assert_refused(device, "release_unknown")


def test_attack_18_a_team_raises_the_floor_of_another_teams_model(
    device: FakeDevice, repository: SignedRepository
) -> None:
    repository.delegate("line-3", OWN_PATH)
    repository.delegate("line-4", "dig*/*/*.artifact")
    repository.publish(DIGITS_2, team="line-3")
    repository.raise_floor("digits", FAR_AHEAD, team="line-4")

    device.offer("digs@1")

    assert (device.last.state, device.last.code) == (UpdateState.REFUSED, "release_unknown")
    assert device.machine._parts.trust.floors() == {}
    assert_untouched(device)
    assert_follows(device, "digits@2")


def _newest(repository: SignedRepository, role: str) -> bytes:
    return repository.files[role, repository.newest(role)]


def _empty_signatures(plain: dict[str, object]) -> None:
    plain["signatures"] = []


def _flip_first_signature(plain: dict[str, list[dict[str, str]]]) -> None:
    signature = plain["signatures"][0]
    signature["sig"] = f"{int(signature['sig'], 16) ^ 1:0128x}"


def _under_another_name(signer: CryptoSigner) -> CryptoSigner:
    key = signer.public_key
    alias = SSlibKey("a" * 64, key.keytype, key.scheme, {"public": key.keyval["public"].upper()})
    return CryptoSigner(signer._private_key, alias)


def _next_timestamp(*, snapshot: int) -> Callable[[Timestamp], None]:
    def change(timestamp: Timestamp) -> None:
        timestamp.version += 1
        timestamp.snapshot_meta = MetaFile(snapshot)

    return change


def _next_snapshot(snapshot: Snapshot, *, targets: int = 0, without: str = "") -> None:
    snapshot.version += 1
    snapshot.meta["targets.json"] = MetaFile(targets or snapshot.meta["targets.json"].version)
    snapshot.meta.pop(f"{without}.json", None)


def _resigned_as(repository: SignedRepository, role: str, version: int) -> bytes:
    repository.targets[role].version = version
    repository.write(role, repository.targets[role])
    return repository.files[role, version]


class _Announcing(FakeCourier):
    """Answers one name with the first of very many parts."""

    def __init__(self, repository: SignedRepository, name: MetadataName, *, parts: int) -> None:
        super().__init__(repository)
        self._name = name
        self._parts = parts

    def answers(self, channel: Channel, data: bytes) -> Answers:
        return self._first_part(data) if self._asks(channel, data) else super().answers(channel, data)

    def _asks(self, channel: Channel, data: bytes) -> bool:
        return channel is Channel.META_REQUEST and decode(MetadataRequest, data).name is self._name

    def _first_part(self, data: bytes) -> Answers:
        asked = decode(MetadataRequest, data)
        answer = MetadataAnswer(
            name=asked.name, request=asked.request, part=0, parts=self._parts, data=bytes(PART_BYTES)
        )
        yield Channel.META, encode(answer)


class _Flood:
    """Implements ``Mailbox``: every letter is one more part of a file of two parts."""

    sessions = 0

    def __init__(self, name: MetadataName, part: Callable[[int], int]) -> None:
        self._name = name
        self._part = part
        self._taken = 0
        self.taken_bytes = 0

    def expect(self, _: Channel | None) -> None:
        return

    def take(self, timeout_s: float) -> Letter | None:
        assert timeout_s > 0
        assert self.taken_bytes < 10_000_000, "nobody stops reading"
        part = self._part(self._taken)
        self._taken += 1
        self.taken_bytes += PART_BYTES
        answer = MetadataAnswer(name=self._name, request=1, part=part, parts=2 + part, data=bytes(PART_BYTES))
        return Letter(channel=Channel.META, data=encode(answer))
