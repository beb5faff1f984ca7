"""Who takes the figures: the protocol that every place of measuring holds, and this machine as the first of them.

``taken_on`` is the runner's own claim: a machine is the target only where somebody said so. Figures
of models that are the same file behind the same steps are taken once and are equal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from contracts.codec import to_plain
from contracts.ids import Digest, digest_of
from contracts.manifest import TakenOn
from contracts.preprocessing import Step
from contracts.tensors import TensorSpec
from optimizer.benchmark.lock import machine_to_oneself
from optimizer.benchmark.machine import machine_in_words, runtimes_in_words
from optimizer.benchmark.memory import measure_memory
from optimizer.benchmark.timing import Effort, Timing, measure
from optimizer.errors import MeasureFailed, OptimizerError
from optimizer.formats.session import open_session
from optimizer.model import Model
from optimizer.served import Served
from optimizer.telling import Told, nobody

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optimizer.benchmark.operators import OperatorProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurable:
    """A model file and how it is served: the user's tensors, and the steps from those to the file's own.

    ``steps`` are all of them: the user's preprocessing, then the model's adapter.
    """

    label: str
    model: Model
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    steps: tuple[Step, ...] = ()

    @property
    def identity(self) -> Digest:
        """What its figures depend on, as a digest: the file, its steps, what it is served; not its label."""
        told = {
            "model": self.model.digest,
            "format": self.model.format.value,
            "steps": [to_plain(step) for step in self.steps],
            "inputs": [to_plain(spec) for spec in self.inputs],
            "outputs": [spec.name for spec in self.outputs],
        }
        return digest_of(json.dumps(told, sort_keys=True).encode())


class Runner(Protocol):
    """Where latency and memory are taken."""

    @property
    def taken_on(self) -> TakenOn:
        """Whether its figures are the target's own."""
        ...

    @property
    def machine(self) -> str:
        """The machine that it measures on, in words."""
        ...

    @property
    def runtimes(self) -> str:
        """The runtimes there with their versions, in words."""
        ...

    def time(
        self,
        measurables: Sequence[Measurable],
        rows: Mapping[str, NDArray[np.generic]],
        *,
        effort: Effort,
        threads: int,
    ) -> tuple[Timing, ...]:
        """Return the timing of each, in their order, all interleaved in one process.

        Args:
            measurables: what to time, the original among them where ratios are wanted.
            rows: a few rows by served input name, shape (n, ...), raw; each run takes another one.
            effort: how many runs, and when to stop.
            threads: how many threads each runtime gets.

        Raises:
            MeasureFailed: one of them does not run there; the message begins with its label.
        """
        ...

    def memory(self, measurable: Measurable, *, threads: int) -> int:
        """Return the bytes of resident memory that loading and running the model adds to a process.

        Raises:
            MeasureFailed: it does not run there, or wants more memory than there is.
        """
        ...

    def profile(
        self,
        measurable: Measurable,
        rows: Mapping[str, NDArray[np.generic]],
        *,
        runs: int,
        threads: int,
        named_as: Model | None = None,
    ) -> OperatorProfile:
        """Return where the time of one row goes; see ``profile_operators``. The profile says where it was taken.

        Raises:
            MeasureFailed: the model does not run there.
        """
        ...


class HostRunner:
    """This process measures, one process at a time on this machine.

    ``taken_on`` is the target's only where this machine is the device that the models are for (``--target host``).
    """

    def __init__(self, *, taken_on: TakenOn = TakenOn.HOST, seed: int = 0, told: Told = nobody) -> None:
        self.taken_on = taken_on
        self.machine = machine_in_words()
        self.runtimes = runtimes_in_words()
        self._seed = seed
        self._told = told

    def time(
        self,
        measurables: Sequence[Measurable],
        rows: Mapping[str, NDArray[np.generic]],
        *,
        effort: Effort,
        threads: int,
    ) -> tuple[Timing, ...]:
        """See ``Runner.time``."""
        distinct = {one.identity: one for one in measurables}
        with machine_to_oneself(self._told):
            calls = {key: _checked_call(one, rows, threads) for key, one in distinct.items()}
            timings = measure(
                calls,
                effort=effort,
                threads=threads,
                machine=self.machine,
                taken_on=self.taken_on,
                seed=self._seed,
            )
        return tuple(timings[one.identity] for one in measurables)

    def memory(self, measurable: Measurable, *, threads: int) -> int:
        """See ``Runner.memory``."""
        with machine_to_oneself(self._told):
            return measure_memory((measurable.model,), threads=threads)[0]

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
        from optimizer.benchmark.operators import profile_operators

        return profile_operators(
            measurable, rows, runs=runs, threads=threads, named_as=named_as, taken_on=self.taken_on, told=self._told
        )


def _checked_call(one: Measurable, rows: Mapping[str, NDArray[np.generic]], threads: int) -> Callable[[], object]:
    """Return a call that serves one row, after one such call went well."""
    try:
        served = Served(
            model=one.model,
            session=open_session(one.model, threads=threads),
            inputs=one.inputs,
            outputs=one.outputs,
            steps=one.steps,
        )
        call = served.one_row(rows)
        call()
    except OptimizerError as error:
        raise MeasureFailed(f"{one.label}: {error}") from error
    return call
