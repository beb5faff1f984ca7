"""Two slots a model and one pointer that changes all at once.

    models/MODEL/a.artifact, b.artifact     what was installed
    models/MODEL/pointer.cbor               which slot is good, which is on trial, what each holds

The good slot is never written while it is good. Staging clears the spare slot's entry, moves the
verified file in (no second copy, so it needs no room), checks it where it lies and then names it:
the pointer never names bytes that are not there. After a commit the former good slot stays as the
way back.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from contracts.codec import decode, encode
from contracts.errors import DecodeError
from contracts.ids import Digest, ModelName, ReleaseId, digest_of
from edge_agent.errors import ArtifactMismatch, NothingToRevert, StateError
from edge_agent.trust.decision import check_floor
from edge_agent.update.wholeness import file_digest

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.disk import Disk


class SlotName(StrEnum):
    """The two slots."""

    A = "a"
    B = "b"

    @property
    def other(self) -> SlotName:
        """The one that this is not."""
        return SlotName.B if self is SlotName.A else SlotName.A


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """What a slot holds; ``length`` in bytes; ``proven`` once a commit kept it."""

    release: ReleaseId
    digest: Digest
    length: int
    counter: int
    installed_at: datetime
    proven: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """Which slot serves at power-on, and which is being tried."""

    good: SlotName | None = None
    trial: SlotName | None = None
    slots: Mapping[SlotName, Installed] = field(default_factory=dict)
    schema: int = 1

    @property
    def good_release(self) -> Installed | None:
        """What serves at power-on."""
        return self.slots.get(self.good) if self.good else None

    @property
    def spare(self) -> SlotName:
        """The slot that may be overwritten."""
        return self.good.other if self.good else SlotName.A

    @property
    def spare_release(self) -> Installed | None:
        """What lies beside the good release."""
        return self.slots.get(self.spare)


class Slots:
    """The slots of every model, under one folder."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk

    def models(self) -> tuple[ModelName, ...]:
        """Return the models that have slots."""
        return tuple(ModelName(path.parent.name) for path in sorted(self._folder.glob("*/pointer.cbor")))

    def pointer(self, model: ModelName) -> Pointer:
        """Return the model's pointer; empty where nothing was installed.

        Raises:
            StateError: the pointer's file is damaged.
        """
        path = self._pointer_path(model)
        if not path.exists():
            return Pointer()
        try:
            return decode(Pointer, path.read_bytes())
        except DecodeError as error:
            raise StateError(f"{path} is damaged ({error}); remove the folder and offer the release again") from error

    def path(self, model: ModelName, slot: SlotName) -> Path:
        """Return where the slot's artifact lies."""
        return self._folder / model / f"{slot}.artifact"

    def held(self) -> Iterator[tuple[Digest, Path]]:
        """Yield digest and file of every artifact in a slot; a model whose pointer is damaged has none."""
        for model in self.models():
            with contextlib.suppress(StateError):
                for slot, installed in self.pointer(model).slots.items():
                    yield installed.digest, self.path(model, slot)

    def bases(self, model: ModelName) -> Iterator[tuple[Digest, Path]]:
        """Yield digest and file of the model's artifacts, the good one first; none where its pointer is damaged."""
        with contextlib.suppress(StateError):
            pointer = self.pointer(model)
            for slot in sorted(pointer.slots, key=lambda slot: slot is not pointer.good):
                yield pointer.slots[slot].digest, self.path(model, slot)

    def stage(self, model: ModelName, verified: Path, installed: Installed) -> None:
        """Make the spare slot hold the verified file; repeating it after a power cut is safe.

        Raises:
            ArtifactMismatch: what lies in the slot is not what was signed.
            OSError: the disk refused; the good slot is untouched.
        """
        pointer = self.pointer(model)
        spare = pointer.spare
        cleared = dataclasses.replace(
            pointer, trial=None, slots={name: held for name, held in pointer.slots.items() if name is not spare}
        )
        self._write(model, cleared)
        if verified.exists():
            self._disk.move(verified, self.path(model, spare))
        _check_same(f"slot {spare} of model {model}", *file_digest(self.path(model, spare)), installed)
        self._write(model, dataclasses.replace(cleared, slots={**cleared.slots, spare: installed}))

    def begin_trial(self, model: ModelName) -> None:
        """Name the spare slot as the one on trial."""
        pointer = self.pointer(model)
        self._write(model, dataclasses.replace(pointer, trial=pointer.spare))

    def commit(self, model: ModelName) -> None:
        """Make the slot on trial the good one; the former good one is kept. Done already: nothing happens."""
        pointer = self.pointer(model)
        if pointer.trial is None:
            return
        proven = dataclasses.replace(pointer.slots[pointer.trial], proven=True)
        self._write(
            model,
            dataclasses.replace(
                pointer, good=pointer.trial, trial=None, slots={**pointer.slots, pointer.trial: proven}
            ),
        )

    def take_back(self, model: ModelName, release: ReleaseId) -> None:
        """Forget the release: on trial, or just made the good one. Neither: nothing happens."""
        pointer = self.pointer(model)
        held = pointer.good_release
        if pointer.trial is not None:
            bad, good = pointer.trial, pointer.good
        elif pointer.good is not None and held is not None and held.release == release:
            bad, good = pointer.good, pointer.good.other if pointer.spare_release else None
        else:
            return
        kept = {name: installed for name, installed in pointer.slots.items() if name is not bad}
        self._write(model, dataclasses.replace(pointer, good=good, trial=None, slots=kept))

    def previous(self, model: ModelName, *, floors: Mapping[ModelName, int]) -> Installed:
        """Return what the spare slot holds, if a person may go back to it.

        Raises:
            NothingToRevert: the spare slot is empty, or what lies there was never kept.
            BelowFloor: it was revoked.
        """
        held = self.pointer(model).spare_release
        if held is None or not held.proven:
            raise NothingToRevert(f"model {model} has no previous release on this device; roll one out instead")
        check_floor(held.release, held.counter, floors.get(model, 0))
        return held

    def swap(self, model: ModelName, *, floors: Mapping[ModelName, int]) -> Installed:
        """Make the spare slot the good one and return what it holds: the way back, by hand.

        Raises:
            NothingToRevert: the spare slot is empty, or what lies there was never kept.
            BelowFloor: it was revoked.
            ArtifactMismatch: it is not what was installed there.
        """
        pointer, held = self.pointer(model), self.previous(model, floors=floors)
        self.read(model, pointer.spare)
        self._write(model, dataclasses.replace(pointer, good=pointer.spare, trial=None))
        return held

    def read(self, model: ModelName, slot: SlotName) -> bytes:
        """Return the slot's artifact; the bytes returned are the bytes whose digest was checked.

        Raises:
            ArtifactMismatch: the file is gone, or not what was installed.
        """
        held = self.pointer(model).slots.get(slot)
        if held is None:
            raise ArtifactMismatch(f"slot {slot} of model {model} is empty; offer the release again")
        path = self.path(model, slot)
        data = path.read_bytes() if path.exists() else b""
        _check_same(f"slot {slot} of model {model}", len(data), digest_of(data), held)
        return data

    def _pointer_path(self, model: ModelName) -> Path:
        return self._folder / model / "pointer.cbor"

    def _write(self, model: ModelName, pointer: Pointer) -> None:
        self._disk.write(self._pointer_path(model), encode(pointer))


def _check_same(what: str, length: int, actual: Digest, installed: Installed) -> None:
    if actual != installed.digest:
        raise ArtifactMismatch(
            f"{what}: {length} bytes with digest {actual[:12]}, but {installed.release} "
            f"is {installed.length} bytes with {installed.digest[:12]}; offer the release again"
        )
