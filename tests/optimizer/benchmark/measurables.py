"""Small models to measure, and runners that count or invent."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.ids import digest_of
from contracts.manifest import TakenOn
from contracts.preprocessing import Step, StepKind
from optimizer.benchmark.operators import OperatorProfile, OperatorTime
from optimizer.benchmark.runner import Measurable
from optimizer.benchmark.timing import Effort, Timing
from optimizer.model import Model
from tests.optimizer.builders import an_onnx_mlp, rows

EFFORT: Final = Effort(runs=5, warmup=2, seconds=60.0, least_runs=5)
ROWS: Final[dict[str, NDArray[np.generic]]] = {"row": rows((12,), count=3)}


@cache
def a_measurable(*, seed: int) -> Measurable:
    """Return an MLP behind one scaling step."""
    model = an_onnx_mlp(seed=seed)
    return Measurable(
        label=f"mlp {seed}",
        model=model,
        inputs=model.inputs,
        outputs=model.outputs,
        steps=(Step(kind=StepKind.SCALE, tensor="row", factor=(0.5,)),),
    )


def a_broken_measurable() -> Measurable:
    """Return a measurable whose file no runtime reads."""
    good = a_measurable(seed=1)
    content = b"no model at all"
    model = dataclasses.replace(good.model, content=content, digest=digest_of(content))
    return dataclasses.replace(good, label="the broken one", model=model)


class InventingRunner:
    """Gives made-up figures, another one each time, and counts how often it was asked."""

    def __init__(self, *, machine: str = "Cortex-A72, 4 cores", taken_on: TakenOn = TakenOn.TARGET) -> None:
        self.machine = machine
        self.runtimes = "onnxruntime 1.0"
        self.taken_on = taken_on
        self.asked = 0

    def time(
        self,
        measurables: Sequence[Measurable],
        rows: Mapping[str, NDArray[np.generic]],
        *,
        effort: Effort,
        threads: int,
    ) -> tuple[Timing, ...]:
        """See ``Runner.time``."""
        del rows
        self.asked += 1
        return tuple(
            Timing(
                samples_ms=(self.asked + place / 10,) * effort.runs,
                warmup=effort.warmup,
                threads=threads,
                machine=self.machine,
                taken_on=self.taken_on,
            )
            for place in range(len(measurables))
        )

    def memory(self, measurable: Measurable, *, threads: int) -> int:
        """See ``Runner.memory``."""
        del measurable, threads
        self.asked += 1
        return 1000 + self.asked

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
        del measurable, rows, named_as
        self.asked += 1
        one = OperatorTime(name="y", operator="Gemm", p50_us=float(self.asked), told_us=1.0, share=1.0)
        return OperatorProfile(
            operators=(one,),
            wall_p50_us=one.p50_us,
            told_us=1.0,
            runs=runs,
            threads=threads,
            machine=self.machine,
            taken_on=self.taken_on,
        )
