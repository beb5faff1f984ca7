"""Who is in which wave: pure, repeatable, the same on every replica.

Devices stand in the order of a hash of rollout and device, so that a rollout's canaries are not
always the same devices, and a device that comes or goes does not reorder the others. A spec is
cumulative: ``("1", "25%", "100%")`` is one device, then up to a quarter of all, then all.

>>> from contracts.ids import DeviceId, RolloutId
>>> [len(wave) for wave in plan_waves(RolloutId("r"), ("1", "50%", "100%"), [DeviceId(f"d{i}") for i in range(8)])]
[1, 3, 4]
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from contracts.ids import DeviceId, RolloutId
from fleet_server.rollouts.errors import SpecRefused
from fleet_server.rollouts.spec import RolloutSpec

MAX_WAVES = 50

_COUNT = re.compile(r"[1-9][0-9]{0,8}")
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?)%")


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveEnd:
    """Where a wave ends: so many devices, or that share (0..1] of all, from the first one on."""

    count: int | None = None
    share: Fraction | None = None

    def of(self, devices: int) -> int:
        """Return how many of the devices are in this wave or an earlier one; a share is rounded up."""
        if self.share is not None:
            return -(-self.share.numerator * devices // self.share.denominator)
        return min(self.count or 0, devices)


def parse_waves(specs: Sequence[str]) -> tuple[WaveEnd, ...]:
    """Return where each wave ends.

    Raises:
        SpecRefused: not counts and shares that rise, with "100%" last.
    """
    if not specs or len(specs) > MAX_WAVES:
        raise SpecRefused(f"a rollout has 1 to {MAX_WAVES} waves, not {len(specs)}; write for example 1,25%,100%")
    ends = tuple(_parse_wave(text) for text in specs)
    if ends[-1].share != 1:
        raise SpecRefused(f"the last wave is {specs[-1]!r}; it must be '100%', so that no device is left out")
    _check_rising([end.share for end in ends if end.share is not None], specs)
    _check_rising([end.count for end in ends if end.count is not None], specs)
    return ends


def plan_waves(
    rollout: RolloutId, specs: Sequence[str], devices: Iterable[DeviceId]
) -> tuple[tuple[DeviceId, ...], ...]:
    """Return the waves, each device in exactly one; a wave that would hold nobody is left out.

    Raises:
        SpecRefused: as ``parse_waves``.
    """
    order = sorted(set(devices), key=lambda device: (_place(rollout, device), device))
    ends = [0]
    for wave in parse_waves(specs):
        ends.append(max(ends[-1], wave.of(len(order))))
    return tuple(tuple(order[start:end]) for start, end in pairwise(ends) if end > start)


def check_spec(spec: RolloutSpec) -> None:
    """Pass if the spec can be carried out by some group.

    Raises:
        SpecRefused: a figure is out of its range; the message names it and the range.
    """
    parse_waves(spec.waves)
    gate = spec.gate
    for name in ("max_failed_ratio", "max_class_distance", "max_confidence_shift"):
        _check_range(name, getattr(gate, name), 0.0, 1.0)
    for name in ("soak_s", "patience_s", "min_rows"):
        _check_range(name, getattr(gate, name), 0.0, 1e9)
    _check_range("min_devices", gate.min_devices, 1, 1e9)
    _check_range("max_latency_ratio", gate.max_latency_ratio, 1.0, 1e6)
    _check_range("max_bytes_s", spec.max_bytes_s, 0, 1e12)
    _check_range("device_timeout_s", spec.device_timeout_s, 1.0, 90 * 86_400.0)


def _parse_wave(text: str) -> WaveEnd:
    if _COUNT.fullmatch(text):
        return WaveEnd(count=int(text))
    match = _SHARE.fullmatch(text)
    if match and 0 < Fraction(match[1]) <= 100:
        return WaveEnd(share=Fraction(match[1]) / 100)
    raise SpecRefused(
        f"wave {text[:40]!r} is neither a number of devices (as in '5') nor a share above 0 up to '100%' (as in '25%')"
    )


def _check_rising(ends: Sequence[Fraction | int], specs: Sequence[str]) -> None:
    if any(left >= right for left, right in pairwise(ends)):
        raise SpecRefused(f"waves {', '.join(specs)} do not rise; each counts all devices from the first on")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also false for NaN
        raise SpecRefused(f"{name} is {value:g}; it must be {low:g} to {high:g}")


def _place(rollout: RolloutId, device: DeviceId) -> bytes:
    return hashlib.sha256(f"{rollout}\x00{device}".encode()).digest()
