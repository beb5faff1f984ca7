"""Publishing: bytes first, then metadata; drafts stay; the server's sentence reaches the engineer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.ids import ModelName, ProfileName, ReleaseId, digest_of
from fleet_server.readmodel import ReleasedArtifactView, ReleaseView
from signing.ceremony.changes import delegate, revoke_release
from signing.connection import ServerConnection
from signing.errors import NothingSigned, RepositoryDamaged, ServerConfusing, ServerRefused, ServerUnreachable
from signing.publish import UploadProgress, publish
from tests.fleet_server.fake_api import TOKEN, FakeApi, fake_api
from tests.signing.ceremony.people import a_person
from tests.signing.repositories import NOW, PASSPHRASE, Workshop, a_workshop, an_artifact


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api() as api:
        api.answer("GET", "/api/v1/releases", [])
        yield api


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    workshop = a_workshop(tmp_path)
    workshop.draft(tmp_path, an_artifact())
    workshop.sign()
    return workshop


def accept(api: FakeApi, workshop: Workshop) -> ReleaseView:
    """Let the fake server take everything that is signed, and return the release it will tell of."""
    release = workshop.repository.releases()[0]
    for artifact in release.artifacts:
        api.answer("PUT", f"/api/v1/artifacts/{artifact.digest}", {})
        api.answer("PUT", f"/api/v1/indexes/{artifact.custom.index}", {})
    views = tuple(
        ReleasedArtifactView(profile=artifact.profile, digest=artifact.digest, length=artifact.length)
        for artifact in release.artifacts
    )
    view = ReleaseView(id=release.id, counter=1, published_at=NOW, artifacts=views, running_on=0)
    api.answer("POST", "/api/v1/metadata", [view])
    return view


def connection(api: FakeApi, token: str = TOKEN) -> ServerConnection:
    return ServerConnection(url=api.url, token=token, timeout_s=5)


def test_bytes_travel_before_the_metadata_that_name_them(api: FakeApi, workshop: Workshop) -> None:
    accept(api, workshop)
    artifact = workshop.repository.releases()[0].artifacts[0]

    published = publish(workshop.repository, connection(api), now=NOW)

    assert published.releases == ("digits@1.0.0",)
    assert api.paths() == [
        "GET /api/v1/releases",
        f"PUT /api/v1/artifacts/{artifact.digest}",
        f"PUT /api/v1/indexes/{artifact.custom.index}",
        "POST /api/v1/metadata",
    ]
    assert digest_of(api.asked[1].body) == artifact.digest
    assert digest_of(api.asked[2].body) == artifact.custom.index
    sent = json.loads(api.asked[3].body)
    assert sent["targets"].encode() == workshop.repository.targets_path.read_bytes()
    assert [root.encode() for root in sent["roots"]] == [workshop.repository.root_path.read_bytes()]
    assert [root.encode() for root in sent["director_roots"]] == [workshop.repository.director_root_path.read_bytes()]
    assert sent["teams"] == {}


def test_a_release_that_was_taken_back_is_told_apart_from_a_new_one(
    api: FakeApi, workshop: Workshop, tmp_path: Path
) -> None:
    old = accept(api, workshop)
    revoke_release(workshop.repository, ReleaseId("digits@1.0.0"), and_older=False, now=NOW)
    workshop.draft(tmp_path, an_artifact(version="2.0.0", counter=2))
    workshop.sign()
    new = accept(api, workshop)
    api.answer("POST", "/api/v1/metadata", [new, old])

    published = publish(workshop.repository, connection(api), now=NOW)

    assert (published.releases, published.taken_back) == (("digits@2.0.0",), ("digits@1.0.0",))


def test_a_teams_listing_travels_and_stays_here_once_it_has_expired(
    api: FakeApi, workshop: Workshop, tmp_path: Path
) -> None:
    dora = a_person("Dora", "vision")
    keys = [dora.public("vision")]
    delegate(workshop.repository, "vision", models=[ModelName("digits")], keys=keys, threshold=1, now=NOW)
    workshop.sign()
    dora.signs(workshop.repository)
    accept(api, workshop)

    published = publish(workshop.repository, connection(api), now=NOW)
    later = NOW + timedelta(days=100)
    workshop.repository.sign(workshop.keys, passphrase=PASSPHRASE, now=later, renew=True)
    left = publish(workshop.repository, connection(api), now=later)

    first, second = (json.loads(api.asked[place].body) for place in (3, -1))
    assert (published.teams_left_out, list(first["teams"])) == ((), ["vision"])
    assert (left.teams_left_out, second["teams"]) == (("vision",), {})


def test_artifacts_that_the_server_has_are_not_sent_again(api: FakeApi, workshop: Workshop) -> None:
    view = accept(api, workshop)
    api.answer("GET", "/api/v1/releases", [view])
    api.answer("POST", "/api/v1/metadata", [])

    published = publish(workshop.repository, connection(api), now=NOW)

    assert (published.releases, published.artifacts_sent, published.bytes_sent) == ((), 0, 0)
    assert api.paths() == ["GET /api/v1/releases", "POST /api/v1/metadata"]


def test_progress_counts_bytes_up_to_the_total(api: FakeApi, workshop: Workshop, tmp_path: Path) -> None:
    workshop.draft(tmp_path, an_artifact(model="welds", content=bytes(600_000)))
    workshop.sign()
    accept(api, workshop)
    big = workshop.repository.releases()[1].artifacts[0]
    api.answer("PUT", f"/api/v1/artifacts/{big.digest}", {})
    api.answer("PUT", f"/api/v1/indexes/{big.custom.index}", {})
    seen: list[UploadProgress] = []

    published = publish(workshop.repository, connection(api), now=NOW, progress=seen.append)

    assert [one.sent_bytes for one in seen] == sorted(one.sent_bytes for one in seen)
    assert len(seen) == 4
    assert seen[-1].sent_bytes == seen[-1].total_bytes == published.bytes_sent


def test_a_draft_without_a_signature_is_not_published(api: FakeApi, tmp_path: Path) -> None:
    workshop = a_workshop(tmp_path)
    workshop.draft(tmp_path, an_artifact())

    with pytest.raises(NothingSigned):
        publish(workshop.repository, connection(api), now=NOW)

    assert api.asked == []


def test_a_draft_stays_when_what_is_signed_goes(api: FakeApi, workshop: Workshop, tmp_path: Path) -> None:
    accept(api, workshop)
    workshop.draft(tmp_path, an_artifact(version="2.0.0", counter=2, content=b"secret plan"))

    publish(workshop.repository, connection(api), now=NOW)

    assert not [asked for asked in api.asked if b"2.0.0" in asked.body or b"secret plan" in asked.body]
    assert len(workshop.repository.drafted()) == 1


def test_a_damaged_repository_sends_nothing(api: FakeApi, workshop: Workshop) -> None:
    artifact = workshop.repository.releases()[0].artifacts[0]
    workshop.repository.artifact_path(artifact.digest).write_bytes(b"other")

    with pytest.raises(RepositoryDamaged):
        publish(workshop.repository, connection(api), now=NOW)

    assert api.asked == []


def test_an_unreachable_server_is_one_line_with_its_address(workshop: Workshop) -> None:
    with fake_api() as gone:
        address = gone.url

    with pytest.raises(ServerUnreachable, match=rf"no answer from {address} .*is the server running") as caught:
        publish(workshop.repository, ServerConnection(url=address, token=TOKEN), now=NOW)

    assert "\n" not in str(caught.value)


def test_a_refusal_carries_the_servers_own_sentence(api: FakeApi, workshop: Workshop) -> None:
    accept(api, workshop)
    sentence = "no root is trusted yet; run 'edgeship server trust'"
    api.refuse("POST", "/api/v1/metadata", status=409, code="trust_missing", message=sentence)

    with pytest.raises(ServerRefused) as caught:
        publish(workshop.repository, connection(api), now=NOW)

    assert str(caught.value) == f"the server refused: {sentence}"
    assert (caught.value.status, caught.value.reason) == (409, "trust_missing")


def test_a_wrong_token_is_refused_and_not_repeated(api: FakeApi, workshop: Workshop) -> None:
    with pytest.raises(ServerRefused, match="token is not known") as caught:
        publish(workshop.repository, connection(api, "wrong-token"), now=NOW)

    assert "wrong-token" not in str(caught.value)
    assert "wrong-token" not in repr(connection(api, "wrong-token"))


def test_a_redirect_is_not_followed_with_the_token(api: FakeApi, workshop: Workshop) -> None:
    with fake_api() as elsewhere:
        api.answer("GET", "/api/v1/releases", {}, status=302, headers={"Location": f"{elsewhere.url}/api/v1/releases"})

        with pytest.raises(ServerRefused, match=f"points to {elsewhere.url}"):
            publish(workshop.repository, connection(api), now=NOW)

        assert elsewhere.asked == []


def test_an_answer_that_is_not_the_apis_is_named(api: FakeApi, workshop: Workshop) -> None:
    api.answer("GET", "/api/v1/releases", {"welcome": "to another server"})

    with pytest.raises(ServerConfusing, match="is it a fleet server"):
        publish(workshop.repository, connection(api), now=NOW)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ServerUnreachable, match="http://HOST:PORT"):
        ServerConnection(url=url)


def test_the_releases_of_two_profiles_are_sent_in_full(api: FakeApi, tmp_path: Path) -> None:
    workshop = a_workshop(tmp_path)
    workshop.draft(tmp_path, an_artifact(profile="raspberry-pi-4"))
    workshop.draft(tmp_path, an_artifact(profile="coral-dev-board"))
    workshop.sign()
    view = accept(api, workshop)

    published = publish(workshop.repository, connection(api), now=NOW)

    assert published.artifacts_sent == 2
    assert published.bytes_sent == sum(artifact.length for artifact in view.artifacts)
    assert view.id == ReleaseId("digits@1.0.0")
    assert view.artifacts[0].profile == ProfileName("coral-dev-board")
