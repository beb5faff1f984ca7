"""When a certificate is renewed, and what happens where that fails."""

from __future__ import annotations

import dataclasses
import json
import os
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from contracts.codec import from_plain
from contracts.enrollment import EnrollmentAnswer
from edge_agent.config import AgentConfig
from edge_agent.disk import SystemDisk
from edge_agent.errors import AuthorityRefused, EnrollmentRefused
from edge_agent.identity import device_key
from edge_agent.identity.credentials import KeptCredentials
from edge_agent.identity.place import keep_enrollment
from edge_agent.identity.renewal import HeldCertificate, Renewer, held_certificate, is_due, renew
from edge_agent.state_folder import StateFolder
from tests.edge_agent.identity.test_enrolling import _config, _good
from tests.fakes.clock import START, FakeClock
from tests.fakes.https_server import ScriptedServer, scripted_server
from tests.fakes.identities import Registry

DAY_S = 86_400.0
HELD = HeldCertificate(life=timedelta(days=30), received_at=START)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry.make(tmp_path / "server")


@pytest.fixture
def server(registry: Registry) -> Iterator[ScriptedServer]:
    with scripted_server(registry) as server:
        server.answer = _good(registry)
        yield server


@pytest.fixture
def member(tmp_path: Path, registry: Registry, server: ScriptedServer) -> AgentConfig:
    """A device that got its certificate when the fake clock started."""
    config = _config(tmp_path / "state", server.url)
    answer = from_plain(EnrollmentAnswer, json.loads(json.dumps(_good(registry))))
    state = StateFolder(config.state_dir)
    keep_enrollment(answer, device_key(config.state_dir), state=state, disk=SystemDisk())
    os.utime(state.certificate, (START.timestamp(), START.timestamp()))
    return config


def _renewer(config: AgentConfig, clock: FakeClock) -> tuple[Renewer, KeptCredentials]:
    credentials = KeptCredentials(StateFolder(config.state_dir))
    return Renewer(config, credentials, disk=SystemDisk(), clock=clock, chance=random.Random(7)), credentials


@pytest.mark.parametrize(("days", "due"), [(0, False), (19.9, False), (20.1, True), (400, True), (-400, False)])
def test_a_certificate_is_due_at_its_share_of_life(days: float, *, due: bool) -> None:
    assert is_due(HELD, START + timedelta(days=days), share=2 / 3) is due


def test_a_young_certificate_is_left_alone(member: AgentConfig, server: ScriptedServer) -> None:
    clock = FakeClock()
    renewer, credentials = _renewer(member, clock)

    clock.pass_s(17 * DAY_S)
    renewer.look()

    assert (server.heard, credentials.version) == ([], 0)


def test_a_due_certificate_is_replaced_and_the_link_told(member: AgentConfig, server: ScriptedServer) -> None:
    clock = FakeClock()
    renewer, credentials = _renewer(member, clock)

    clock.pass_s(21 * DAY_S)
    renewer.look()

    assert (server.posted, credentials.version) == ("/api/v1/renew", 1)
    assert server.asked.keys() == {"tenant", "device", "csr"}
    assert held_certificate(StateFolder(member.state_dir).certificate).received_at > START


def test_a_certificate_that_the_broker_refused_is_replaced_whatever_the_clock_says(
    member: AgentConfig, server: ScriptedServer
) -> None:
    clock = FakeClock()
    renewer, credentials = _renewer(member, clock)

    credentials.note_refusal()
    renewer.look()

    assert (server.posted, credentials.version, credentials.refused()) == ("/api/v1/renew", 1, False)


@pytest.mark.parametrize("damage", [b"", b"not a certificate"])
def test_a_damaged_certificate_is_healed_by_a_renewal(
    member: AgentConfig, server: ScriptedServer, damage: bytes
) -> None:
    renewer, credentials = _renewer(member, FakeClock())
    StateFolder(member.state_dir).certificate.write_bytes(damage)

    renewer.look()

    assert credentials.version == 1
    assert held_certificate(StateFolder(member.state_dir).certificate).life > timedelta(days=29)


def test_a_refusal_is_tried_again_later_not_at_once(member: AgentConfig, server: ScriptedServer) -> None:
    clock = FakeClock()
    renewer, credentials = _renewer(member, clock)
    server.status = 403
    clock.pass_s(21 * DAY_S)

    renewer.look()
    renewer.look()
    asked_at_once = len(server.heard)
    clock.pass_s(61)
    renewer.look()

    assert (asked_at_once, len(server.heard), credentials.version) == (2, 4, 0)


def test_devices_of_one_batch_do_not_renew_at_one_moment(member: AgentConfig) -> None:
    shares = {
        Renewer(
            member,
            KeptCredentials(StateFolder(member.state_dir)),
            disk=SystemDisk(),
            clock=FakeClock(),
            chance=random.Random(seed),
        )._share
        for seed in range(50)
    }

    assert len(shares) == 50
    assert 0.6 <= min(shares) < 0.62
    assert 0.64 < max(shares) <= 2 / 3


def test_another_authority_gets_no_request(tmp_path: Path, member: AgentConfig) -> None:
    with scripted_server(Registry.make(tmp_path / "other")) as impostor:
        elsewhere = dataclasses.replace(member, server=_config(tmp_path, impostor.url).server)

        with pytest.raises(AuthorityRefused):
            renew(elsewhere, disk=SystemDisk())

        assert impostor.heard == []


def test_a_certificate_for_another_device_is_not_kept(
    member: AgentConfig, server: ScriptedServer, registry: Registry
) -> None:
    before = StateFolder(member.state_dir).certificate.read_bytes()
    server.answer = _good(registry) | {"device": "pi-2"}

    with pytest.raises(EnrollmentRefused, match="took this device for pi-2"):
        renew(member, disk=SystemDisk())

    assert StateFolder(member.state_dir).certificate.read_bytes() == before
