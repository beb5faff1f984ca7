"""What a person at the device may ask: what is installed, is it whole, what waits to be sent.

Reads the state folder only, so it works beside a running agent and without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.ids import ModelName, ReleaseId
from edge_agent.disk import SystemDisk
from edge_agent.errors import ArtifactMismatch, NotEnrolled
from edge_agent.identity import device_key, load_enrollment
from edge_agent.outbox import waiting_reports
from edge_agent.state_folder import StateFolder, serving_address
from edge_agent.trust.memory import MemoryFiles, memory_key
from edge_agent.trust.standing import Standing, read_standing
from edge_agent.trust.trust import TrustPlaces
from edge_agent.update.journal import Journal
from edge_agent.update.slots import SlotName, Slots

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from contracts.enrollment import EnrollmentAnswer
    from edge_agent.config import AgentConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledModel:
    """One model's slots: what serves at power-on and what lies beside it (empty: nothing)."""

    model: ModelName
    good: str
    previous: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentStatus:
    """The device at one look. ``serving`` is HOST:PORT while an agent runs, else empty."""

    device: str
    group: str
    broker: str
    serving: str
    update: str
    generation: int
    models: tuple[InstalledModel, ...]
    reports_waiting: int
    trust: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotCheck:
    """Whether one slot holds what was installed there; ``problem`` is empty where it does."""

    model: ModelName
    slot: SlotName
    release: ReleaseId
    problem: str


def read_status(config: AgentConfig) -> AgentStatus:
    """Return what the state folder says.

    Raises:
        StateError: a file in it is damaged.
        ConfigError: a configured root cannot be used.
    """
    state = StateFolder(config.state_dir)
    enrollment = _enrollment(config.state_dir)
    entry = Journal(state.journal, SystemDisk()).read()
    slots = Slots(state.models, SystemDisk())
    serving = serving_address(state)
    return AgentStatus(
        device=config.device,
        group=enrollment.group if enrollment else "not enrolled",
        broker=f"{enrollment.broker_host}:{enrollment.broker_port}" if enrollment else "",
        serving=str(serving) if serving else "",
        update=entry.state,
        generation=entry.generation,
        models=tuple(_installed(slots, model) for model in slots.models()),
        reports_waiting=waiting_reports(state.outbox),
        trust=read_trust(config),
    )


def check_slots(config: AgentConfig) -> tuple[SlotCheck, ...]:
    """Return every slot's check: the bytes are hashed again."""
    slots = Slots(StateFolder(config.state_dir).models, SystemDisk())
    return tuple(
        SlotCheck(model=model, slot=slot, release=held.release, problem=_problem(slots, model, slot))
        for model in slots.models()
        for slot, held in sorted(slots.pointer(model).slots.items())
    )


def read_trust(config: AgentConfig) -> Standing:
    """Return what this device believes.

    Raises:
        ConfigError: a configured root cannot be used.
    """
    return read_standing(TrustPlaces.of(config), _memory_key(config))


def read_floors(config: AgentConfig) -> Mapping[ModelName, int]:
    """Return the lowest counter of each model that this device may still go back to.

    Raises:
        MemoryDamaged: nobody knows.
    """
    return MemoryFiles(StateFolder(config.state_dir).metadata, SystemDisk(), _memory_key(config)).load().floors


def _memory_key(config: AgentConfig) -> bytes:
    """Return the memory's key; asking makes no device key where there is none."""
    made = StateFolder(config.state_dir).device_key.exists()
    return memory_key(device_key(config.state_dir).sign) if made else b""


def _enrollment(state: Path) -> EnrollmentAnswer | None:
    try:
        return load_enrollment(state)
    except NotEnrolled:
        return None


def _installed(slots: Slots, model: ModelName) -> InstalledModel:
    pointer = slots.pointer(model)
    good, spare = pointer.good_release, pointer.spare_release
    return InstalledModel(model=model, good=good.release if good else "", previous=spare.release if spare else "")


def _problem(slots: Slots, model: ModelName, slot: SlotName) -> str:
    try:
        slots.read(model, slot)
    except ArtifactMismatch as error:
        return str(error)
    return ""
