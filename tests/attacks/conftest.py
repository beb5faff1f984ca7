"""A server and a device for the attacks on them."""

from __future__ import annotations

from tests.attacks.believer import device, repository
from tests.fleet_server.conftest import set_up_once, small_server

__all__ = ["device", "repository", "set_up_once", "small_server"]
