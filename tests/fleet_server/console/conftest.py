"""The fleets that the console's tests look at."""

from __future__ import annotations

import pytest

from tests.fleet_server.console.fake_fleet import FakeFleet, TestClock
from tests.fleet_server.console.fixtures import a_busy_fleet


@pytest.fixture
def empty_fleet() -> FakeFleet:
    """No device, no rollout, no alert."""
    return FakeFleet(TestClock())


@pytest.fixture
def busy_fleet() -> FakeFleet:
    """Two hundred devices in the middle of a rollout."""
    return a_busy_fleet(TestClock(), devices=200)
