"""The console over the server's own stores: each question one transaction that reads, each act one that writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.ids import DEFAULT_TENANT, DeviceId, ReleaseId, RolloutId, TenantId
from fleet_server.alerts import store as alerts
from fleet_server.config import OFFLINE_AFTER_S
from fleet_server.console.acting import RolloutAct
from fleet_server.console.parts import Console
from fleet_server.console.reading import FeatureOverlay, SketchesView
from fleet_server.database.session import reading, transaction
from fleet_server.devices import store as devices
from fleet_server.devices import transfers
from fleet_server.drift import store as drift
from fleet_server.drift.distance import movement
from fleet_server.overview import overview
from fleet_server.people import store as people
from fleet_server.people.user import User
from fleet_server.releases import store as releases
from fleet_server.releases import trust_watch
from fleet_server.retrain import store as retrain
from fleet_server.rollouts import store as rollouts
from fleet_server.rollouts.states import RolloutEvent

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from contracts.retrain import RetrainRequest
    from fleet_server.clock import Clock
    from fleet_server.readmodel import (
        AlertView,
        DeviceView,
        OverviewView,
        ReleaseView,
        RolloutView,
        TransferView,
        TrustView,
    )
    from fleet_server.wiring import Wiring

SHOWN_WINDOWS = 20


def console_over(wiring: Wiring, *, tenant: TenantId = DEFAULT_TENANT) -> Console:
    """Return the console of that tenant over the server's database."""
    place = Place(
        engine=wiring.engine, clock=wiring.clock, tenant=tenant, offline_after_s=wiring.config.offline_after_s
    )
    people_there = StorePeople(place)
    return Console.over(StoreReading(place), StoreActing(place), people=people_there, clock=wiring.clock)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the stores look: one tenant of one database; devices silent for ``offline_after_s`` are offline."""

    engine: Engine
    clock: Clock
    tenant: TenantId
    offline_after_s: float = OFFLINE_AFTER_S


class StoreReading:
    """Answers from the database; see ``reading.Reading``."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def overview(self) -> OverviewView:
        """Return the figures of the fleet."""
        with self._session() as session:
            now = self._place.clock.now()
            return overview(session, self._place.tenant, now, offline_after_s=self._place.offline_after_s)

    def devices(self) -> tuple[DeviceView, ...]:
        """Return every device, by id."""
        with self._session() as session:
            now = self._place.clock.now()
            return devices.list_devices(session, self._place.tenant, now, offline_after_s=self._place.offline_after_s)

    def device(self, device: DeviceId) -> DeviceView:
        """Return that device, or raise NotFound."""
        with self._session() as session:
            now = self._place.clock.now()
            return devices.get_device(
                session, self._place.tenant, device, now=now, offline_after_s=self._place.offline_after_s
            )

    def transfers(self, device: DeviceId) -> tuple[TransferView, ...]:
        """Return how artifacts went to the device."""
        with self._session() as session:
            return transfers.list_transfers(session, self._place.tenant, device)

    def sketches(self, device: DeviceId) -> SketchesView | None:
        """Return what the device saw lately under a release that it runs."""
        with self._session() as session:
            running = devices.get_device(session, self._place.tenant, device, now=self._place.clock.now()).running
            found = (self._sketches(session, device, release) for release in running.values())
            return next((view for view in found if view is not None), None)

    def _sketches(self, session: Session, device: DeviceId, release: ReleaseId) -> SketchesView | None:
        merged = drift.merged_recent(session, self._place.tenant, device=device, release=release, limit=SHOWN_WINDOWS)
        if merged is None:
            return None
        sketch, windows = merged
        source = drift.Source(tenant=self._place.tenant, device=device, release=release, plan=sketch.plan)
        plan, fitting = drift.fitting(session, source, [sketch])
        if plan is None or not fitting:
            return None
        moves = [movement(feature, sketch.features[feature.name]) for feature in plan.features]
        return SketchesView(
            release=release,
            windows=windows,
            rows=sketch.rows,
            started_at=sketch.started_at,
            ended_at=sketch.ended_at,
            features=tuple(
                FeatureOverlay(
                    name=move.feature.name,
                    edges=move.feature.edges,
                    reference=move.feature.reference,
                    current=move.current,
                    psi=move.psi,
                )
                for move in moves
            ),
        )

    def rollouts(self) -> tuple[RolloutView, ...]:
        """Return the newest rollouts, newest first."""
        with self._session() as session:
            return rollouts.list_rollouts(session, self._place.tenant)

    def rollout(self, rollout: RolloutId) -> RolloutView:
        """Return that rollout, or raise NotFound."""
        with self._session() as session:
            return rollouts.get_rollout(session, self._place.tenant, rollout)

    def trust(self) -> TrustView:
        """Return what is trusted, and until when."""
        with self._session() as session:
            return trust_watch.trust_view(session, self._place.tenant)

    def releases(self) -> tuple[ReleaseView, ...]:
        """Return every release, newest first."""
        with self._session() as session:
            return releases.list_releases(session, self._place.tenant)

    def alerts(self) -> tuple[AlertView, ...]:
        """Return the newest alerts, newest first."""
        with self._session() as session:
            return alerts.list_alerts(session, self._place.tenant)

    def retrain_request(self, request: str) -> RetrainRequest:
        """Return that retrain request, or raise NotFound."""
        with self._session() as session:
            return retrain.get_retrain_request(session, self._place.tenant, request)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with reading(self._place.engine) as session:
            yield session


class StoreActing:
    """Acts in the database; see ``acting.Acting``."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def change_rollout(self, rollout: RolloutId, act: RolloutAct, *, by: str) -> None:
        """Make the act happen to the rollout."""
        with transaction(self._place.engine) as session:
            event, now = RolloutEvent(act.value), self._place.clock.now()
            rollouts.change_rollout(session, self._place.tenant, rollout, event, by=by, now=now)

    def acknowledge(self, alert: str, *, by: str) -> None:
        """Note that the person has seen the alert."""
        with transaction(self._place.engine) as session:
            alerts.acknowledge(session, self._place.tenant, alert, by=by, now=self._place.clock.now())


class StorePeople:
    """Passwords and sessions in the database; see ``access.People``."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def sign_in(self, name: str, password: str) -> str:
        """Begin a session; the password is checked before the write lock is taken, because that takes a while."""
        now = self._place.clock.now()
        with reading(self._place.engine) as session:
            user = people.check_password(session, self._place.tenant, name, password)
        with transaction(self._place.engine) as session:
            people.record_act(
                session, self._place.tenant, actor=user.name, action="session.open", thing="console", now=now
            )
            return people.open_web_session(session, user, now=now)

    def user(self, cookie: str) -> User:
        """Return whose session it is."""
        with reading(self._place.engine) as session:
            return people.user_of_web_session(session, cookie, now=self._place.clock.now())

    def sign_out(self, cookie: str) -> None:
        """End the session, if there is one."""
        with transaction(self._place.engine) as session:
            people.close_web_session(session, cookie)
