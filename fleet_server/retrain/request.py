"""From an alert to a retrain request: which model, on what evidence. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from contracts.ids import DeviceId, split_release_id
from contracts.retrain import MovedFeature, RetrainRequest
from contracts.sketch import Sketch


def request_retraining(
    alert: str, *, device: DeviceId, moved: Sequence[MovedFeature], window: Sketch, now: datetime
) -> RetrainRequest:
    """Return the request that the alert makes; one alert makes one, so its id follows from the alert's.

    Args:
        alert: id of the alert.
        device: whose inputs moved.
        moved: the inputs, strongest first.
        window: the merged windows on which that was seen.
        now: when it is asked for.
    """
    return RetrainRequest(
        id=f"retrain-{alert.removeprefix('alert-')}",
        model=split_release_id(window.release)[0],
        release=window.release,
        alert=alert,
        moved=tuple(moved),
        devices=(device,),
        window_started_at=window.started_at,
        window_ended_at=window.ended_at,
        rows=window.rows,
        created_at=now,
    )
