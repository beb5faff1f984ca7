"""Snapshot and timestamp: signed by the server's key, renewed in time, accepted by TUF's own client."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Snapshot, Timestamp
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType

from contracts.ids import DEFAULT_TENANT
from contracts.metadata import MetadataName
from fleet_server.database.session import reading, transaction
from fleet_server.errors import DataDirUnusable
from fleet_server.releases.online_roles import create_online_key, load_online_key, renew_online_roles
from fleet_server.releases.store import newest_document
from tests.fleet_server.server import SmallServer, a_release


def newest(server: SmallServer, role: MetadataName) -> str:
    with reading(server.engine) as session:
        document = newest_document(session, DEFAULT_TENANT, role)
        assert document is not None
        return document.text


def renew(server: SmallServer) -> bool:
    with transaction(server.engine) as session:
        return renew_online_roles(session, DEFAULT_TENANT, server.online_key, server.clock.now())


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
    assert timestamp.signed.version == 2
    assert timestamp.signed.expires == small_server.clock.now() + timedelta(days=1)
    assert timestamp.signed.snapshot_meta.version == snapshot.signed.version == 2


def test_a_server_without_a_release_signs_nothing(small_server: SmallServer) -> None:
    assert not renew(small_server)


def test_the_key_is_for_its_owner_only_and_never_overwritten(tmp_path: Path) -> None:
    key = create_online_key(tmp_path)

    with pytest.raises(DataDirUnusable, match="exists"):
        create_online_key(tmp_path)

    assert (tmp_path / "online.pem").stat().st_mode & 0o777 == 0o600
    assert load_online_key(tmp_path).public == key.public
    assert "PRIVATE" not in (tmp_path / "online.pub.json").read_text()
