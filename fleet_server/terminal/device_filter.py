"""The console's filter line, for ``edgeship fleet device ls``: one language, one place that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet_server.console.listing import DEVICE_WORDS, list_devices
from fleet_server.console.query import FilterRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fleet_server.readmodel import DeviceView


def matching_devices(devices: Sequence[DeviceView], line: str) -> tuple[DeviceView, ...]:
    """Return the devices that the filter line keeps.

    Raises:
        FilterRefused: the line cannot be read; the message says where.
    """
    first = list_devices(devices, q=line, page=1)
    if first.complaint:
        raise FilterRefused(first.complaint)
    others = (list_devices(devices, q=line, page=page).rows for page in range(2, first.pages + 1))
    return (*first.rows, *(device for rows in others for device in rows))


def closed_words(line: str) -> tuple[str, ...]:
    """Return, as ``key:value``, the bare words of the line that are values of one column."""
    return tuple(f"{key}:{word}" for word in line.lower().split() for key in DEVICE_WORDS if word in DEVICE_WORDS[key])
