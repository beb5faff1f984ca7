"""How often the drift watch alarms where nothing moved."""

from __future__ import annotations

import pytest

from tests.fleet_server.drift.test_distance import looks_that_alarm
from tests.slow import record

pytestmark = [pytest.mark.long, pytest.mark.slow]

DEVICES = range(100, 400)


def test_less_than_one_clean_device_in_a_hundred_alarms_over_a_hundred_windows() -> None:
    alarmed = [device for device in DEVICES if looks_that_alarm(device)]

    record(f"clean devices that alarmed, of {len(DEVICES)} over 100 windows each", len(alarmed))
    assert len(alarmed) <= 2
