"""A device that runs release 1, and the two repositories that it believes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fakes.device import FakeDevice, an_artifact
from tests.fakes.repository import SignedRepository


@pytest.fixture
def repository() -> SignedRepository:
    repository = SignedRepository()
    repository.publish(an_artifact(version="1", counter=1))
    return repository


@pytest.fixture
def device(tmp_path: Path, repository: SignedRepository, monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # nothing here pulls a plug: syncing would only cost time
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    device = FakeDevice(tmp_path / "state", repository)
    device.offer("digits@1")
    return device
