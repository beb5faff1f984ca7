"""The agent's own version: what ``min_agent_version`` of a release is compared with."""

from __future__ import annotations

AGENT_VERSION = "0.1.0"


def version_key(version: str) -> tuple[int, ...]:
    """Return the numbers of a dotted version; what follows a number within a part is ignored.

    >>> version_key("0.10.2rc1") > version_key("0.9")
    True
    """
    numbers = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        numbers.append(int(digits) if digits else 0)
    return tuple(numbers)
