"""What we run on: one profile for each kind of device, and where each of its facts comes from.

In story order: ``errors``, ``profile`` (DeviceProfile), ``host`` (this machine), ``loader`` (TOML to
DeviceProfile), ``catalog/`` (one device per file), ``cli`` (``edgeship profile``).

>>> from device_profiles import load_profile
>>> load_profile("raspberry-pi-4").cores
4
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device_profiles.loader import all_profiles, load_profile
    from device_profiles.profile import DeviceProfile

__all__ = ["DeviceProfile", "all_profiles", "load_profile"]

_HOMES = {
    "DeviceProfile": "device_profiles.profile",
    "all_profiles": "device_profiles.loader",
    "load_profile": "device_profiles.loader",
}


def __getattr__(name: str) -> object:
    """Import the public name's module on first use, so that ``edgeship --help`` imports none."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
