"""The same device and repository as the update's tests have."""

from tests.edge_agent.update.conftest import _no_waiting_for_the_disk, device, repository

__all__ = ["_no_waiting_for_the_disk", "device", "repository"]
