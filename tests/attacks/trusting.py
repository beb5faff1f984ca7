"""What the attacks on trust share: what a refusal must look like, and how an attacker signs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from contracts.metadata import MetadataName, RepositoryName
from contracts.update import UpdateState
from tests.fakes.device import MODEL, FakeDevice

MODELS, DIRECTOR = RepositoryName.MODELS, RepositoryName.DIRECTOR
TARGETS, SNAPSHOT, TIMESTAMP, ROOT = (
    MetadataName.TARGETS,
    MetadataName.SNAPSHOT,
    MetadataName.TIMESTAMP,
    MetadataName.ROOT,
)
FAR_AHEAD = 2**31


def assert_refused(device: FakeDevice, code: str) -> None:
    """The newest offer was refused for that reason, and release 1 serves on, now and after a restart."""
    assert (device.last.state, device.last.code) == (UpdateState.REFUSED, code), device.last.detail
    assert_untouched(device)


def assert_untouched(device: FakeDevice) -> None:
    """Release 1 serves, now and after a restart; nothing is on trial, no half of a release lies about."""
    assert device.running == "digits@1"
    assert list((device.state / "fetch").glob("*")) == []
    device.restart()
    assert device.running == "digits@1"
    assert device.slots.pointer(MODEL).trial is None


def assert_follows(device: FakeDevice, release: str) -> None:
    """An honest offer of the release is carried out."""
    device.offer(release)
    assert (device.last.state, device.running) == (UpdateState.HEALTHY, release), device.last.detail


def spelt(data: bytes, change: Callable[[Any], object]) -> bytes:
    """Return the file with something changed that its signatures may not cover, in the one spelling."""
    plain = json.loads(data)
    change(plain)
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
