"""What the server trusts, as a page: the roles that people sign, security floors, the server's own keys. Pure."""

from __future__ import annotations

from datetime import datetime

from fleet_server.readmodel import TrustView
from fleet_server.terminal.page import Column, Part, Table, cell, line
from fleet_server.trust.expiry import stages_reached


def trust_page(trust: TrustView, now: datetime) -> tuple[Part, ...]:
    """Return the roles with their expiry and, once that is near, the command that renews them; then floors and keys."""
    roles = Table(
        columns=(
            Column(heading="signed by people"),
            Column(heading="version", number=True),
            Column(heading="expires"),
            Column(heading="days left", number=True),
            Column(heading="renew", spare=1),
        ),
        rows=tuple(
            (
                cell(role.name),
                cell(role.version),
                cell(f"{role.expires_at:%Y-%m-%d}"),
                cell(max(0, (role.expires_at - now).days)),
                cell(role.renewed_by if stages_reached(role, now) else ""),
            )
            for role in trust.roles
        ),
        empty="No root is trusted yet. On the server: edgeship server trust",
    )
    floors = Table(
        columns=(Column(heading="model"), Column(heading="security floor", number=True)),
        rows=tuple((cell(model), cell(counter)) for model, counter in sorted(trust.floors.items())),
        empty="No model has a security floor.",
    )
    keys = Table(
        columns=(Column(heading="server key for"), Column(heading="key id")),
        rows=tuple((cell(name), cell(keyid[:16])) for name, keyid in sorted(trust.server_keys.items())),
        empty="",
    )
    return (roles, line(), floors, line(), keys)
