"""What one device should run now: one released artifact for each model [wire-8.4]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from contracts.ids import ModelName, ReleaseId, split_release_id
from contracts.release import target_path
from fleet_server.releases.standing import offerable_artifacts

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from contracts.codec import Plain
    from fleet_server.database.tables import DeviceRow


def assigned_targets(session: Session, device: DeviceRow) -> Mapping[str, Mapping[str, Plain]]:
    """Return the signed targets that the device should run, by path.

    For the model of its newest offer that is the offered release, for each other model, and where the offered one is
    barred meanwhile, the one that runs. Only what is released, not revoked and at or above the floor is named.
    """
    running = {ModelName(model): ReleaseId(release) for model, release in device.running.items()}
    offered = (
        {} if device.offered_release is None else {split_release_id(device.offered_release)[0]: device.offered_release}
    )
    artifacts = offerable_artifacts(session, device.tenant, device.profile, {*running.values(), *offered.values()})
    chosen: dict[str, Mapping[str, Plain]] = {}
    for model in sorted({*running, *offered}):
        for release in (wanted[model] for wanted in (offered, running) if model in wanted):
            if release in artifacts:
                chosen[target_path(*split_release_id(release), device.profile)] = artifacts[release].target
                break
    return chosen
