"""What ``edgeship fleet trust`` prints."""

from __future__ import annotations

from datetime import timedelta

from contracts.ids import ModelName
from fleet_server.readmodel import SignedRoleView, TrustView
from fleet_server.terminal.page import Table
from fleet_server.terminal.trust_page import trust_page
from tests.fakes.clock import START

ROOT = SignedRoleView(
    name="models root", version=3, expires_at=START + timedelta(days=20), renewed_by="edgeship keys renew"
)
TARGETS = SignedRoleView(
    name="targets", version=7, expires_at=START + timedelta(days=80), renewed_by="edgeship release sign --renew"
)


def texts(trust: TrustView) -> list[list[str]]:
    tables = [part for part in trust_page(trust, START) if isinstance(part, Table)]
    return [[cell.text for cell in row] for table in tables for row in table.rows]


def test_what_expires_soon_names_the_command_that_renews_it() -> None:
    trust = TrustView(roles=(ROOT, TARGETS), floors={ModelName("digits"): 4}, server_keys={"director": "ab" * 32})

    assert texts(trust) == [
        ["models root", "3", "2026-12-10", "20", "edgeship keys renew"],
        ["targets", "7", "2027-02-08", "80", "-"],
        ["digits", "4"],
        ["director", "ab" * 8],
    ]


def test_before_a_root_is_trusted_the_next_step_is_named() -> None:
    roles = trust_page(TrustView(roles=(), floors={}, server_keys={}), START)[0]

    assert isinstance(roles, Table)
    assert "edgeship server trust" in roles.empty
