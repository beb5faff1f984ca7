"""The chain of roots, of both repositories: thresholds hold, nothing is skipped, each key does its own work."""

from __future__ import annotations

from datetime import timedelta

import pytest
from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Root

from contracts.metadata import RepositoryName
from fleet_server.errors import ReleaseRefused
from fleet_server.trust.roots import check_apart, follow_roots, read_first_root
from tests.fakes.clock import START
from tests.fleet_server.trust.office import DIRECTOR, MODELS, Office, an_office


@pytest.fixture
def office() -> Office:
    return an_office()


def trust(office: Office, text: str, repository: RepositoryName = MODELS) -> Root:
    return read_first_root(text, repository, keyids={office.online[repository].keyid}, now=START)


def offline(office: Office, repository: RepositoryName) -> list[CryptoSigner]:
    return office.signers["root" if repository is MODELS else "director-root"]


@pytest.mark.parametrize("repository", RepositoryName)
def test_a_root_that_two_of_three_signed_is_trusted(office: Office, repository: RepositoryName) -> None:
    assert trust(office, office.roots[repository], repository).version == 1


@pytest.mark.parametrize("repository", RepositoryName)
def test_a_root_below_its_threshold_is_refused(office: Office, repository: RepositoryName) -> None:
    text = office.sign_root(repository, offline(office, repository)[0])

    with pytest.raises(ReleaseRefused, match="1/2 keys"):
        trust(office, text, repository)


def test_one_key_under_two_names_does_not_count_twice(office: Office) -> None:
    signer = office.signers["root"][0]
    twin = SSlibKey("f" * 64, "ed25519", "ed25519", dict(signer.public_key.keyval))
    office.root_metadata[MODELS].add_key(twin, "root")

    with pytest.raises(ReleaseRefused, match="root version 1 could count a key twice"):
        trust(office, office.sign_root(MODELS, signer, CryptoSigner(signer._private_key, twin)))


def test_three_roots_at_once_are_followed(office: Office) -> None:
    first = office.roots[DIRECTOR]
    news = [rotate(office, DIRECTOR), rotate(office, DIRECTOR)]

    newest, followed = follow_roots(first, [first, *news])

    assert (newest.version, list(followed)) == (3, news)


def test_a_root_signed_only_by_new_keys_is_refused(office: Office) -> None:
    first = office.roots[MODELS]
    new = CryptoSigner.generate_ed25519()
    office.root_metadata[MODELS].version = 2
    office.root_metadata[MODELS].add_key(new.public_key, "root")

    with pytest.raises(ReleaseRefused, match="version 2 is not signed by version 1"):
        follow_roots(first, [office.sign_root(MODELS, new, CryptoSigner.generate_ed25519())])


def test_a_root_signed_only_by_old_keys_is_refused(office: Office) -> None:
    first, old = office.roots[MODELS], office.signers["root"][:2]
    root = office.root_metadata[MODELS]
    root.version = 2
    root.roles["root"].keyids.clear()
    root.add_key(CryptoSigner.generate_ed25519().public_key, "root")
    root.add_key(CryptoSigner.generate_ed25519().public_key, "root")

    with pytest.raises(ReleaseRefused, match="version 2 is not signed by its own keys"):
        follow_roots(first, [office.sign_root(MODELS, *old)])


def test_a_root_version_cannot_be_skipped(office: Office) -> None:
    first = office.roots[DIRECTOR]
    rotate(office, DIRECTOR)

    with pytest.raises(ReleaseRefused, match="version 3 does not follow 1"):
        follow_roots(first, [rotate(office, DIRECTOR)])


def test_an_expired_root_is_refused(office: Office) -> None:
    office.root_metadata[MODELS].expires = START - timedelta(seconds=1)

    with pytest.raises(ReleaseRefused, match="expired"):
        trust(office, office.roots[MODELS])


@pytest.mark.parametrize("repository", RepositoryName)
def test_a_root_for_another_server_is_refused(office: Office, repository: RepositoryName) -> None:
    other = an_office()

    with pytest.raises(ReleaseRefused, match="does not name this server's key"):
        trust(office, other.roots[repository], repository)


def test_a_root_that_lets_the_server_release_models_is_refused(office: Office) -> None:
    root = office.root_metadata[MODELS]
    root.roles["targets"].keyids.append(office.online[MODELS].keyid)

    with pytest.raises(ReleaseRefused, match="names this server's key for targets"):
        trust(office, office.roots[MODELS])


def test_the_two_roots_share_no_key(office: Office) -> None:
    shared = office.signers["root"][0].public_key
    office.root_metadata[DIRECTOR].add_key(shared, "root")

    with pytest.raises(ReleaseRefused, match="stands in the root of both"):
        check_apart(trust(office, office.roots[MODELS]), trust(office, office.roots[DIRECTOR], DIRECTOR))


@pytest.mark.parametrize("repository", RepositoryName)
def test_one_key_of_the_server_signs_all_that_is_the_servers(office: Office, repository: RepositoryName) -> None:
    root, newer = office.root_metadata[repository], CryptoSigner.generate_ed25519().public_key
    old = root.roles["snapshot"].keyids[0]
    root.revoke_key(old, "snapshot")
    root.add_key(newer, "snapshot")

    with pytest.raises(ReleaseRefused, match="names different keys of this server"):
        read_first_root(office.roots[repository], repository, keyids={old, newer.keyid}, now=START)


def test_the_two_roots_share_no_key_in_another_spelling(office: Office) -> None:
    key = office.signers["root"][0].public_key
    shouted = SSlibKey("e" * 64, key.keytype, key.scheme, {"public": str(key.keyval["public"]).upper()})
    office.root_metadata[DIRECTOR].add_key(shouted, "root")

    with pytest.raises(ReleaseRefused, match="could count a key twice"):
        trust(office, office.roots[DIRECTOR], DIRECTOR)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"_type":"root"', '"_type":"root" ', "not spelt as they were signed"),
        ('"version":1', '"version":1,"version":1', "not spelt as they were signed"),
        ('"_type":"root"', '"_type":"nothing"', "no root metadata"),
        ('"threshold":2', '"threshold":2.5', "no root metadata"),
        ('"version":1', f'"version":{2**53}', "no root metadata"),
        ('"spec_version"', f'"more":{"[" * 16}{"]" * 16},"spec_version"', "no root metadata"),
        ('"spec_version"', f'"more":{"[" * 15}{"]" * 15},"spec_version"', "no root metadata"),
        ('{"signatures"', '{"signatures"' + " " * 256_000, "over the limit"),
    ],
    ids=[
        "other spelling",
        "a field twice",
        "no role",
        "a fraction",
        "a number beyond all",
        "too deep",
        "one too deep",
        "too long",
    ],
)
def test_a_file_in_another_form_is_refused(office: Office, old: str, new: str, said: str) -> None:
    text = office.roots[MODELS]
    assert old in text

    with pytest.raises(ReleaseRefused, match=said):
        trust(office, text.replace(old, new, 1))


def test_brackets_without_end_are_refused(office: Office) -> None:
    with pytest.raises(ReleaseRefused, match="no root metadata"):
        trust(office, "[" * 100_000)


def rotate(office: Office, repository: RepositoryName) -> str:
    """Replace the first root key; the old and the new ones sign."""
    root, signers = office.root_metadata[repository], offline(office, repository)
    old = signers.pop(0)
    signers.append(CryptoSigner.generate_ed25519())
    root.version += 1
    root.revoke_key(old.public_key.keyid, "root")
    root.add_key(signers[-1].public_key, "root")
    return office.sign_root(repository, old, *signers)
