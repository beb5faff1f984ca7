"""What a person may do."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a person may do: a viewer looks, an operator also acts, an admin also lets people in."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
