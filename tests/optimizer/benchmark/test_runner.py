"""This machine as a runner, under the laws."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from contracts.manifest import TakenOn
from optimizer.benchmark.lock import WAITING, machine_to_oneself
from optimizer.benchmark.runner import HostRunner, Runner
from optimizer.telling import nobody
from tests.conformance.runner_laws import RunnerLaws
from tests.optimizer.benchmark.measurables import EFFORT, ROWS, a_measurable


class TestHostRunner(RunnerLaws):
    """The laws, in this process."""

    @pytest.fixture
    def runner(self) -> Runner:
        """Return this machine."""
        return HostRunner()


def test_this_machine_is_the_target_only_where_somebody_says_so() -> None:
    assert HostRunner().taken_on is TakenOn.HOST
    assert HostRunner(taken_on=TakenOn.TARGET).taken_on is TakenOn.TARGET


def test_a_label_does_not_belong_to_what_figures_depend_on_and_steps_do() -> None:
    measurable = a_measurable(seed=1)

    relabelled = dataclasses.replace(measurable, label="another")
    unscaled = dataclasses.replace(measurable, steps=())

    assert relabelled.identity == measurable.identity
    assert unscaled.identity != measurable.identity


def test_two_never_measure_at_the_same_moment() -> None:
    told, done = list[str](), threading.Event()
    waiting = threading.Event()

    def tell(what: str) -> None:
        told.append(what)
        waiting.set()

    def measure() -> None:
        HostRunner(told=tell).time((a_measurable(seed=1),), ROWS, effort=EFFORT, threads=1)
        done.set()

    with machine_to_oneself(nobody):
        other = threading.Thread(target=measure)
        other.start()
        waited = waiting.wait(timeout=30)
        was_done = done.is_set()
    other.join(timeout=30)

    assert (waited, was_done, done.is_set()) == (True, False, True)
    assert told == [WAITING]
