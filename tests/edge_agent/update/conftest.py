"""A device with release 1 installed, and the repository that it believes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fakes.device import FakeDevice, an_artifact
from tests.fakes.repository import SignedRepository


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests cut the power by order of writes, not by pulling a plug: syncing would only cost time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)


@pytest.fixture
def repository() -> SignedRepository:
    repository = SignedRepository()
    repository.publish(an_artifact(version="1", counter=1))
    return repository


@pytest.fixture
def device(tmp_path: Path, repository: SignedRepository) -> FakeDevice:
    device = FakeDevice(tmp_path / "state", repository)
    device.offer("digits@1")
    device.reports.clear()
    device.courier.sent.clear()
    device.courier.metadata_requests.clear()
    return device
