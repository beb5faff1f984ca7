"""What later rounds build on: the padded float model where padding alone was measured faster on the target."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from contracts.manifest import ModelFormat, TakenOn
from optimizer.benchmark.runner import HostRunner, Measurable
from optimizer.benchmark.timing import Effort, Timing
from optimizer.passes import PadChannels
from optimizer.search.budget import Objective, OptimizeBudget
from optimizer.search.candidate import Search
from optimizer.search.case import Bench, Case
from optimizer.search.optimize import search
from optimizer.search.proposing.rounds import floats, whole
from tests.optimizer.builders import a_dataset, a_profile, an_onnx_mlp
from tests.optimizer.passes.pad_channels.nets import a_narrow_net

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.benchmark.operators import OperatorProfile
    from optimizer.model import Model

_EFFORT = Effort(runs=4, warmup=1, least_runs=2)


class _ToldRunner:
    """This machine as the target, but what was padded takes the told share of the original's time."""

    machine, runtimes = "a machine", "a runtime"

    def __init__(self, padded: float, taken_on: TakenOn) -> None:
        self.taken_on = taken_on
        self._padded = padded
        self._host = HostRunner(taken_on=taken_on)

    def time(
        self,
        measurables: Sequence[Measurable],
        rows: Mapping[str, NDArray[np.generic]],
        *,
        effort: Effort,
        threads: int,
    ) -> tuple[Timing, ...]:
        found = self._host.time(measurables, rows, effort=effort, threads=threads)
        shares = [self._padded if "padded" in one.label else 1.0 for one in measurables]
        return tuple(
            dataclasses.replace(one, samples_ms=(share,) * len(one.samples_ms))
            for one, share in zip(found, shares, strict=True)
        )

    def memory(self, measurable: Measurable, *, threads: int) -> int:
        del measurable, threads
        return 1

    def profile(
        self,
        measurable: Measurable,
        rows: Mapping[str, NDArray[np.generic]],
        *,
        runs: int,
        threads: int,
        named_as: Model | None = None,
    ) -> OperatorProfile:
        return self._host.profile(measurable, rows, runs=runs, threads=threads, named_as=named_as)


@cache
def _searched(
    padded: float, *, objective: Objective = Objective.LATENCY, taken_on: TakenOn = TakenOn.TARGET, narrow: bool = True
) -> Search:
    """Return a search of two rounds, where what was padded takes that share of the original's time."""
    model = a_narrow_net() if narrow else an_onnx_mlp(inputs=64)
    case = Case(model=model, dataset=a_dataset(model), target=a_profile(formats=(ModelFormat.ONNX,)))
    bench = Bench(effort=_EFFORT, runner=_ToldRunner(padded, taken_on))
    budget = OptimizeBudget(max_drop=1.0, max_latency_ms=1000.0)
    return search(case, (floats, whole), budget=budget, objective=objective, bench=bench)


def _built_on_padded(found: Search) -> bool:
    """Return whether whole int8 was made of the padded model."""
    return PadChannels().name in found.recipes["onnx int8 static u8s8"]


@pytest.mark.slow
@pytest.mark.parametrize("padded", [0.5, 0.985])
def test_later_rounds_build_on_the_padded_model_where_it_is_faster(padded: float) -> None:
    assert _built_on_padded(_searched(padded))


@pytest.mark.slow
@pytest.mark.parametrize("padded", [0.995, 1.04, 2.0])
def test_they_build_on_the_plain_one_where_padding_gains_a_percent_at_most(padded: float) -> None:
    assert not _built_on_padded(_searched(padded))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "taken_on"), [(Objective.SIZE, TakenOn.TARGET), (Objective.LATENCY, TakenOn.HOST)]
)
def test_for_size_or_where_another_machine_measured_they_build_on_the_plain_one(
    objective: Objective, taken_on: TakenOn
) -> None:
    found = _searched(0.5, objective=objective, taken_on=taken_on)

    assert not _built_on_padded(found)
    assert "onnx float padded" in {one.label for one in found.candidates}


@pytest.mark.slow
def test_where_there_is_nothing_to_pad_the_attempt_is_a_failure_that_says_so() -> None:
    found = _searched(0.5, narrow=False)

    (failure,) = (one for one in found.failures if one.label == "onnx float padded")
    assert failure.cause == "pad-channels: mlp has no convolution: nothing to pad; leave pad-channels out"
    assert not _built_on_padded(found)
