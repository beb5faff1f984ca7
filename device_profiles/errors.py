"""What can be wrong with a device profile.

ProfileError
├── UnknownProfile   no profile of that name in the catalog
└── ProfileInvalid   a file is not a profile: which line, what is wrong, what would be right
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class ProfileError(Exception):
    """Root of what this package raises."""

    code: ClassVar[str] = "profile"


class UnknownProfile(ProfileError):
    """No profile of that name in the catalog."""

    code: ClassVar[str] = "unknown_profile"

    def __init__(self, name: str, nearest: Sequence[str]) -> None:
        """Name the nearest names and the command that lists all."""
        hint = f"did you mean {' or '.join(nearest)}? " if nearest else ""
        super().__init__(f"no device profile {name[:80]!r}; {hint}'edgeship profile ls' lists them all")
        self.name = name
        self.nearest = tuple(nearest)


class ProfileInvalid(ProfileError):
    """A file is not a profile."""

    code: ClassVar[str] = "profile_invalid"

    def __init__(self, where: str, line: int, problem: str) -> None:
        """Name the file and the line (from 1), then the problem with its remedy."""
        super().__init__(f"{where}:{line}: {problem}")
        self.where = where
        self.line = line
