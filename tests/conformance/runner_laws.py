"""What every runner must hold, written once; the tests of each runner subclass it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from contracts.manifest import TakenOn
from optimizer.benchmark.runner import Measurable, Runner
from optimizer.errors import MeasureFailed
from tests.optimizer.benchmark.measurables import EFFORT, ROWS, a_broken_measurable, a_measurable


@pytest.mark.slow
class RunnerLaws:
    """Subclass it and supply ``runner``; it must be able to measure (or have kept) the models of ``measurables``."""

    @pytest.fixture
    def runner(self) -> Runner:
        """Return the runner under test."""
        raise NotImplementedError

    def test_it_says_which_machine_and_which_runtimes_it_measures_with(self, runner: Runner) -> None:
        assert "core" in runner.machine
        assert "onnxruntime 1." in runner.runtimes

    def test_every_model_gets_its_timing_in_the_order_asked(self, runner: Runner) -> None:
        group = (a_measurable(seed=1), a_measurable(seed=2))

        timings = runner.time(group, ROWS, effort=EFFORT, threads=1)

        assert [taken.n for taken in timings] == [EFFORT.runs, EFFORT.runs]
        assert [taken.warmup for taken in timings] == [EFFORT.warmup, EFFORT.warmup]
        assert min(sample for taken in timings for sample in taken.samples_ms) > 0

    def test_a_timing_says_where_it_was_taken(self, runner: Runner) -> None:
        (taken,) = runner.time((a_measurable(seed=1),), ROWS, effort=EFFORT, threads=1)

        assert (taken.machine, taken.threads) == (runner.machine, 1)
        assert taken.taken_on is runner.taken_on
        assert runner.taken_on in (TakenOn.HOST, TakenOn.TARGET)

    def test_the_same_file_behind_the_same_steps_has_the_same_figures(self, runner: Runner) -> None:
        twice = (a_measurable(seed=1), dataclasses.replace(a_measurable(seed=1), label="again"))

        first, second = runner.time(twice, ROWS, effort=EFFORT, threads=1)

        assert first.samples_ms == second.samples_ms

    def test_memory_is_at_least_the_file(self, runner: Runner) -> None:
        measurable = a_measurable(seed=1)

        assert runner.memory(measurable, threads=1) >= measurable.model.size_bytes

    def test_a_profile_adds_up_to_its_wall_time_and_says_where_it_was_taken(self, runner: Runner) -> None:
        profile = runner.profile(a_measurable(seed=1), ROWS, runs=5, threads=1)

        assert sum(one.p50_us for one in profile.operators) == pytest.approx(profile.wall_p50_us)
        assert (profile.runs, profile.threads) == (5, 1)
        assert "core" in profile.machine

    @pytest.mark.parametrize("broken", [a_broken_measurable()])
    def test_a_model_that_does_not_run_is_named(self, runner: Runner, broken: Measurable) -> None:
        with pytest.raises(MeasureFailed, match="the broken one"):
            runner.time((a_measurable(seed=1), broken), ROWS, effort=EFFORT, threads=1)

    def test_rows_are_not_changed(self, runner: Runner) -> None:
        before = {name: values.copy() for name, values in ROWS.items()}

        runner.time((a_measurable(seed=1),), ROWS, effort=EFFORT, threads=1)

        assert all(np.array_equal(before[name], values) for name, values in ROWS.items())
