"""The four numbers, and what is behind them."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

from contracts.ids import ReleaseId, TenantId
from fleet_server.alerts import store as alerts
from fleet_server.config import OFFLINE_AFTER_S
from fleet_server.devices import store as devices
from fleet_server.readmodel import AlertState, DeviceStatus, OverviewView
from fleet_server.rollouts import store as rollouts
from fleet_server.rollouts.states import UNDER_WAY

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def overview(
    session: Session, tenant: TenantId, now: datetime, *, offline_after_s: float = OFFLINE_AFTER_S
) -> OverviewView:
    """Return how the fleet is.

    A device is failing when its newest update went wrong or an alert on it is open.
    """
    fleet = devices.list_devices(session, tenant, now, offline_after_s=offline_after_s)
    failing = [
        device
        for device in fleet
        if device.open_alerts or (device.update_state is not None and device.update_state.is_failure)
    ]
    return OverviewView(
        devices=len(fleet),
        online=sum(device.status is DeviceStatus.ONLINE for device in fleet),
        failing=len(failing),
        active_rollouts=rollouts.list_rollouts(session, tenant, states=UNDER_WAY),
        open_alerts=tuple(view for view in alerts.list_alerts(session, tenant) if view.state is AlertState.OPEN),
        versions=Counter(ReleaseId(release) for device in fleet for release in device.running.values()),
    )
