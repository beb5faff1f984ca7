"""Snapshot and timestamp: signed by the server's key, renewed in time, accepted by TUF's own client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Snapshot, Timestamp
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from contracts.ids import DEFAULT_TENANT
from contracts.metadata import MetadataName
from fleet_server.database.session import reading, transaction
from fleet_server.releases.online_roles import next_version, renew_online_roles
from fleet_server.releases.store import newest_document
from tests.fleet_server.server import SmallServer, a_release


def newest(server: SmallServer, role: MetadataName) -> str:
    with reading(server.engine) as session:
        document = newest_document(session, DEFAULT_TENANT, role)
        assert document is not None
        return document.text


def renew(server: SmallServer) -> bool:
    with transaction(server.engine) as session:
        return renew_online_roles(session, DEFAULT_TENANT, server.online_keys, server.clock.now())


def test_a_publication_is_what_tufs_own_rules_accept(small_server: SmallServer, tmp_path: Path) -> None:
    desk = small_server.desk(tmp_path / "desk")
    small_server.publish(desk, a_release())

    trusted = TrustedMetadataSet(desk.root.encode(), EnvelopeType.METADATA)
    trusted.reference_time = small_server.clock.now()
    trusted.update_timestamp(newest(small_server, MetadataName.TIMESTAMP).encode())
    trusted.update_snapshot(newest(small_server, MetadataName.SNAPSHOT).encode())
    targets = trusted.update_targets(newest(small_server, MetadataName.TARGETS).encode())

    assert list(targets.targets) == ["digits/1.0.0/raspberry-pi-4.artifact"]


def test_fresh_roles_are_left_alone(small_server: SmallServer, tmp_path: Path) -> None:
    small_server.publish(small_server.desk(tmp_path / "desk"), a_release())
    before = newest(small_server, MetadataName.TIMESTAMP)

    small_server.clock.pass_s(timedelta(hours=11).total_seconds())

    assert not renew(small_server)
    assert newest(small_server, MetadataName.TIMESTAMP) == before


def test_roles_past_half_of_their_life_are_signed_anew(small_server: SmallServer, tmp_path: Path) -> None:
    small_server.publish(small_server.desk(tmp_path / "desk"), a_release())

    small_server.clock.pass_s(timedelta(hours=12).total_seconds())
    renewed = renew(small_server)

    timestamp: Metadata[Timestamp] = Metadata.from_bytes(newest(small_server, MetadataName.TIMESTAMP).encode())
    snapshot: Metadata[Snapshot] = Metadata.from_bytes(newest(small_server, MetadataName.SNAPSHOT).encode())
    assert renewed
    assert timestamp.signed.version == int(small_server.clock.now().timestamp())
    assert timestamp.signed.expires == small_server.clock.now() + timedelta(days=1)
    assert timestamp.signed.snapshot_meta.version == snapshot.signed.version


@pytest.mark.parametrize(
    ("previous", "expected"),
    [(0, 1_763_640_000), (1_763_640_000, 1_763_640_001), (1_999_999_999, 2_000_000_000), (1_000, 1_763_640_000)],
    ids=["first", "twice in a second", "the clock was ahead once", "restored from a backup"],
)
def test_a_version_is_above_the_last_one_and_above_all_that_a_lost_database_knew(previous: int, expected: int) -> None:
    now = datetime(2025, 11, 20, 12, 0, tzinfo=UTC)

    assert next_version(previous, now) == expected


def test_a_server_without_a_release_signs_nothing(small_server: SmallServer) -> None:
    assert not renew(small_server)
