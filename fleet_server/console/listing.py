"""A filtered list, a page at a time; the filter and the page live in the address. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Generic, TypeVar

from fleet_server.console.progress import in_order
from fleet_server.console.query import FilterRefused, parse_filter
from fleet_server.console.words import face
from fleet_server.readmodel import DeviceStatus, DeviceView, RolloutDeviceView, RolloutView

ROWS = 50
DEVICE_KEYS = frozenset({"id", "group", "profile", "status", "running", "update", "health"})
NEEDS_LOOK = "needs-look"
"""What ``health:`` finds devices by that ``is_failing``."""
DEVICE_WORDS: Mapping[str, Sequence[str]] = MappingProxyType({"status": tuple(status.value for status in DeviceStatus)})
"""The values of keys that have no others."""
PART_KEYS = frozenset({"id", "profile", "status", "wave", "code"})

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Generic[Row]):
    """One page of the rows that match; ``complaint`` says what is wrong with the filter, else it is empty."""

    rows: tuple[Row, ...]
    matching: int
    total: int
    page: int
    pages: int
    q: str
    complaint: str = ""

    @property
    def first(self) -> int:
        """Place of the first row shown, counted from 1."""
        return (self.page - 1) * ROWS + 1 if self.rows else 0

    @property
    def last(self) -> int:
        """Place of the last row shown."""
        return (self.page - 1) * ROWS + len(self.rows)


def list_devices(devices: Sequence[DeviceView], *, q: str, page: int) -> Listing[DeviceView]:
    """Return that page of the devices that match."""
    return _listing(devices, _device_columns, keys=DEVICE_KEYS, q=q, page=page, closed=DEVICE_WORDS)


def list_parts(rollout: RolloutView, *, q: str, page: int) -> Listing[RolloutDeviceView]:
    """Return that page of the rollout's devices that match: failures first, then those at work, by wave."""
    parts = sorted(in_order(rollout.devices), key=lambda part: (not part.state.is_failure, part.state.is_final))
    return _listing(parts, _part_columns, keys=PART_KEYS, q=q, page=page, closed={})


def _listing(
    rows: Sequence[Row],
    columns: Callable[[Row], Mapping[str, str]],
    *,
    keys: Collection[str],
    closed: Mapping[str, Collection[str]],
    q: str,
    page: int,
) -> Listing[Row]:
    try:
        wanted = parse_filter(q, keys=keys, closed=closed)
    except FilterRefused as error:
        return Listing(rows=(), matching=0, total=len(rows), page=1, pages=1, q=q, complaint=str(error))
    kept = [row for row in rows if wanted.matches(columns(row))] if wanted.terms else rows
    pages = max(1, -(-len(kept) // ROWS))
    page = min(max(page, 1), pages)
    shown = tuple(kept[(page - 1) * ROWS : page * ROWS])
    return Listing(rows=shown, matching=len(kept), total=len(rows), page=page, pages=pages, q=q)


def is_failing(device: DeviceView) -> bool:
    """Whether its newest update went wrong or an alert on it is open: what the overview counts."""
    return bool(device.open_alerts) or (device.update_state is not None and device.update_state.is_failure)


def _device_columns(device: DeviceView) -> Mapping[str, str]:
    return {
        "id": device.id,
        "group": device.group,
        "profile": device.profile,
        "status": device.status.value,
        "running": " ".join(device.running.values()),
        "update": " ".join((face(device.update_state).word if device.update_state else "", device.update_code)),
        "health": NEEDS_LOOK if is_failing(device) else "well",
    }


def _part_columns(part: RolloutDeviceView) -> Mapping[str, str]:
    return {
        "id": part.device,
        "profile": part.profile,
        "status": f"{part.state.value} {face(part.state).word}",
        "wave": str(part.wave + 1),
        "code": f"{part.code} {part.detail}",
    }
