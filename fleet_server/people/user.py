"""Who is asking."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.ids import TenantId
from fleet_server.people.role import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person who is signed in, or whose token was shown."""

    id: str
    tenant: TenantId
    name: str
    role: Role

    @property
    def may_operate(self) -> bool:
        """Whether the person may change things, not only look."""
        return self.role in (Role.OPERATOR, Role.ADMIN)
