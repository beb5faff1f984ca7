"""When somebody has to sign anew."""

from __future__ import annotations

from datetime import timedelta

import pytest

from fleet_server.readmodel import SignedRoleView
from fleet_server.trust.expiry import describe, stages_reached
from tests.fakes.clock import START

ROLE = SignedRoleView(
    name="team vision", version=3, expires_at=START + timedelta(days=90), renewed_by="edgeship release sign --renew"
)


@pytest.mark.parametrize(
    ("day", "stages"), [(0, ()), (59, ()), (60, (30,)), (82, (30,)), (83, (30, 7)), (90, (30, 7)), (400, (30, 7))]
)
def test_the_alarm_comes_thirty_and_seven_days_ahead(day: int, stages: tuple[int, ...]) -> None:
    assert stages_reached(ROLE, START + timedelta(days=day)) == stages


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (0, "version 3, expires 2027-02-18"),
        (70, "in 20 days; sign it anew with 'edgeship release sign --renew'"),
        (91, "expired, devices install nothing new; sign it anew with 'edgeship release sign --renew'"),
    ],
)
def test_it_says_until_when_and_what_to_do(day: int, said: str) -> None:
    assert describe(ROLE, START + timedelta(days=day)).endswith(said)
