"""Figures that are taken once: a runner that keeps each by content, and one that only gives what was kept.

One folder for each machine (with its runtimes, and whether it was the target), in it one file for each figure,
written whole, and ``ledger.jsonl``: one line for each figure that was taken, none for those found. A figure of
a group belongs to the whole group: models that were not timed beside each other are not compared.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from contracts.codec import from_plain, to_plain
from contracts.errors import DecodeError
from contracts.ids import Digest, digest_of
from contracts.manifest import TakenOn
from optimizer.benchmark.lock import WAITING
from optimizer.benchmark.operators import OperatorProfile
from optimizer.benchmark.runner import Measurable, Runner
from optimizer.benchmark.timing import Effort, Timing
from optimizer.errors import MeasureFailed
from optimizer.exclusive import exclusive
from optimizer.ledger import LEDGER, Entry, append_entry
from optimizer.telling import Told, nobody
from optimizer.whole_file import write_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.model import Model

_PLACE: Final = "machine.json"
_VERSION: Final = 1
"""Raised whenever figures are taken in another way than before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where figures were taken."""

    machine: str
    runtimes: str
    taken_on: TakenOn

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return _digest(to_plain(self))[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What a file holds: timings of a group by identity, bytes of memory, or a profile.

    ``check`` is over the rest and the key, so that a file under another key's name is none.
    """

    timings: Mapping[str, Timing] = field(default_factory=dict)
    memory_bytes: int = 0
    profile: OperatorProfile | None = None
    check: str = ""

    def sealed(self, key: Digest) -> _Taken:
        return replace(self, check=self.digest(key))

    def digest(self, key: Digest) -> str:
        return _digest([key, to_plain(replace(self, check=""))])


class KeptRunner:
    """A runner beside a folder: what is kept is given, what is not is taken by the runner and kept.

    Any number of processes may share the folder; a figure that one of them takes is awaited by the others.
    """

    def __init__(
        self,
        runner: Runner,
        folder: Path,
        *,
        told: Told = nobody,
    ) -> None:
        self._runner = runner
        self._folder = folder
        self._told = told

    @property
    def taken_on(self) -> TakenOn:
        """See ``Runner.taken_on``."""
        return self._runner.taken_on

    @property
    def machine(self) -> str:
        """See ``Runner.machine``."""
        return self._runner.machine

    @property
    def runtimes(self) -> str:
        """See ``Runner.runtimes``."""
        return self._runner.runtimes

    def time(
        self,
        measurables: Sequence[Measurable],
        rows: Mapping[str, NDArray[np.generic]],
        *,
        effort: Effort,
        threads: int,
    ) -> tuple[Timing, ...]:
        """See ``Runner.time``."""

        def take() -> _Taken:
            timings = self._runner.time(measurables, rows, effort=effort, threads=threads)
            taken = zip((one.identity for one in measurables), timings, strict=True)
            return _Taken(timings=dict(taken))

        kept = self._kept_or(take, _time_key(measurables, rows, effort, threads), f"timing of {_labels(measurables)}")
        return tuple(kept.timings[one.identity] for one in measurables)

    def memory(self, measurable: Measurable, *, threads: int) -> int:
        """See ``Runner.memory``."""

        def take() -> _Taken:
            return _Taken(memory_bytes=self._runner.memory(measurable, threads=threads))

        return self._kept_or(take, _memory_key(measurable, threads), f"memory of {measurable.label}").memory_bytes

    def profile(
        self,
        measurable: Measurable,
        rows: Mapping[str, NDArray[np.generic]],
        *,
        runs: int,
        threads: int,
        named_as: Model | None = None,
    ) -> OperatorProfile:
        """See ``Runner.profile``."""

        def take() -> _Taken:
            return _Taken(profile=self._runner.profile(measurable, rows, runs=runs, threads=threads, named_as=named_as))

        key = _profile_key(measurable, rows, named_as, runs=runs, threads=threads)
        return _profile_of(self._kept_or(take, key, f"profile of {measurable.label}"))

    def _kept_or(self, take: Callable[[], _Taken], key: Digest, labels: str) -> _Taken:
        folder = self._folder / self._place.folder
        kept = _read(folder, key)
        if kept is not None:
            return kept
        with self._writing():
            self._make(folder)
        with exclusive(folder / "lock", error=MeasureFailed, waiting=lambda: self._told(WAITING)):
            kept = _read(folder, key)
            if kept is None:
                kept = take()
                with self._writing():
                    self._keep(folder, key, labels, kept)
        return kept

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MeasureFailed(
                f"cannot keep figures in {self._folder} ({error.strerror}); free some room or give another folder"
            ) from error

    def _keep(self, folder: Path, key: Digest, labels: str, taken: _Taken) -> None:
        plain = to_plain(taken.sealed(key))
        write_whole(folder / f"{key}.json", json.dumps(plain, sort_keys=True).encode())
        append_entry(folder / LEDGER, Entry(key=key, what=labels))

    def _make(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / _PLACE).exists():
            write_whole(folder / _PLACE, json.dumps(to_plain(self._place), sort_keys=True).encode())

    @property
    def _place(self) -> Place:
        return Place(machine=self.machine, runtimes=self.runtimes, taken_on=self.taken_on)


class ReplayRunner:
    """Gives the figures that a ``KeptRunner`` left in the folder, whatever machine it runs on; never measures."""

    def __init__(self, folder: Path, *, machine: str = "") -> None:
        places = [place for place in _places(folder) if machine in ("", place.machine)]
        if not places:
            raise MeasureFailed(f"{folder} holds no kept figures{machine and f' of {machine}'}; give another folder")
        if len(places) > 1:
            known = "; ".join(f"{place.machine} ({place.runtimes})" for place in places)
            raise MeasureFailed(f"{folder} holds figures of several machines ({known}); keep those of one in it")
        self._place = places[0]
        self._folder = folder / self._place.folder

    @property
    def taken_on(self) -> TakenOn:
        """What the recorded runner claimed."""
        return self._place.taken_on

    @property
    def machine(self) -> str:
        """The machine that the figures were taken on."""
        return self._place.machine

    @property
    def runtimes(self) -> str:
        """The runtimes that they were taken with."""
        return self._place.runtimes

    def time(
        self,
        measurables: Sequence[Measurable],
        rows: Mapping[str, NDArray[np.generic]],
        *,
        effort: Effort,
        threads: int,
    ) -> tuple[Timing, ...]:
        """See ``Runner.time``; MeasureFailed also where the group was never timed so."""
        kept = self._kept(_time_key(measurables, rows, effort, threads), f"the timing of {_labels(measurables)}")
        return tuple(kept.timings[one.identity] for one in measurables)

    def memory(self, measurable: Measurable, *, threads: int) -> int:
        """See ``Runner.memory``; MeasureFailed also where it was never measured."""
        return self._kept(_memory_key(measurable, threads), f"the memory of {measurable.label}").memory_bytes

    def profile(
        self,
        measurable: Measurable,
        rows: Mapping[str, NDArray[np.generic]],
        *,
        runs: int,
        threads: int,
        named_as: Model | None = None,
    ) -> OperatorProfile:
        """See ``Runner.profile``; MeasureFailed also where it was never taken."""
        key = _profile_key(measurable, rows, named_as, runs=runs, threads=threads)
        return _profile_of(self._kept(key, f"the profile of {measurable.label}"))

    def _kept(self, key: Digest, what: str) -> _Taken:
        kept = _read(self._folder, key)
        if kept is None:
            raise MeasureFailed(
                f"{what} is not among the kept figures in "
                f"{self._folder} (key {key[:12]}); record them with the same models, rows and effort first"
            )
        return kept


def _read(folder: Path, key: Digest) -> _Taken | None:
    """Return what is kept under the key; None where nothing is, or it is damaged."""
    try:
        taken = from_plain(_Taken, json.loads((folder / f"{key}.json").read_bytes()))
    except (OSError, ValueError, DecodeError, RecursionError):
        return None
    return taken if taken.check == taken.digest(key) else None


def _places(folder: Path) -> list[Place]:
    found = []
    for path in sorted(folder.glob(f"*/{_PLACE}")):
        try:
            found.append(from_plain(Place, json.loads(path.read_bytes())))
        except (OSError, ValueError, DecodeError):
            continue
    return [place for place in found if (folder / place.folder).is_dir()]


def _time_key(
    measurables: Sequence[Measurable], rows: Mapping[str, NDArray[np.generic]], effort: Effort, threads: int
) -> Digest:
    told = {
        "version": _VERSION,
        "models": sorted({one.identity for one in measurables}),
        "rows": {name: _rows_digest(values) for name, values in rows.items()},
        "effort": to_plain(effort),
        "threads": threads,
    }
    return _digest(told)


def _memory_key(measurable: Measurable, threads: int) -> Digest:
    told = {
        "version": _VERSION,
        "memory": [measurable.model.digest, measurable.model.format.value],
        "threads": threads,
    }
    return _digest(told)


def _profile_key(
    measurable: Measurable,
    rows: Mapping[str, NDArray[np.generic]],
    named_as: Model | None,
    *,
    runs: int,
    threads: int,
) -> Digest:
    told = {
        "version": _VERSION,
        "profile": measurable.identity,
        "named_as": named_as.digest if named_as else "",
        "rows": {name: _rows_digest(values) for name, values in rows.items()},
        "runs": runs,
        "threads": threads,
    }
    return _digest(told)


def _profile_of(taken: _Taken) -> OperatorProfile:
    if taken.profile is None:
        raise MeasureFailed("a kept profile is none: remove the folder of figures and take them anew")
    return taken.profile


def _rows_digest(values: NDArray[np.generic]) -> str:
    told = hashlib.sha256(f"{values.dtype.str} {values.shape}".encode())
    told.update(np.ascontiguousarray(values).tobytes())
    return told.hexdigest()


def _digest(plain: object) -> Digest:
    return digest_of(json.dumps(plain, sort_keys=True).encode())


def _labels(measurables: Sequence[Measurable]) -> str:
    return ", ".join(one.label for one in measurables)
