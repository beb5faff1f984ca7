"""Pruning as part of a search: guided, trained, and shown beside its dense control."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import optuna
import pytest

from contracts.manifest import ModelFormat
from device_profiles.host import host_profile
from optimizer.benchmark.timing import Effort
from optimizer.data.dataset import Dataset
from optimizer.model import Model
from optimizer.passes import FineTune, PruneChannels
from optimizer.passes.prune_channels.widths import parse_widths
from optimizer.recipe.recipe_file import parse, read_steps
from optimizer.search.budget import Objective, OptimizeBudget
from optimizer.search.candidate import Search
from optimizer.search.case import Bench, Case
from optimizer.search.optimize import search
from optimizer.search.proposing.rounds import ROUNDS, floats, pruned, repairs, rounds_with, whole
from tests.optimizer.builders import a_dataset, a_profile, an_onnx_mlp

_BRIEF = FineTune(epochs=2, rounded_epochs=1, rows=64, batch=32)
_ROUNDS = (floats, whole, pruned(_BRIEF))


def _a_wide_convnet() -> Model:
    """Return a network whose time is spent on channels: x (n, 3, 24, 24) to 4 scores."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide = torch.nn.Conv2d(3, 64, 3, padding=1)
            self.again = torch.nn.Conv2d(64, 64, 3, padding=1, stride=2)
            self.scores = torch.nn.Linear(64, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            values = self.again(self.wide(x).relu()).relu()
            scores: torch.Tensor = self.scores(values.mean(dim=(2, 3)))
            return scores

    torch.manual_seed(3)
    return Model.from_torch(Net().eval(), inputs={"x": (1, 3, 24, 24)}, name="wide")


def _search(bench: Bench) -> Search:
    rows = np.random.default_rng(0).normal(size=(160, 3, 24, 24)).astype(np.float32)
    dataset = Dataset.of(calibration={"x": rows[:80]}, holdout={"x": rows[80:]})
    target = dataclasses.replace(host_profile(), formats=(ModelFormat.ONNX,))
    case = Case(model=_a_wide_convnet(), dataset=dataset, target=target, metric="agreement")
    budget = OptimizeBudget(max_drop=None)
    return search(case, _ROUNDS, budget=budget, objective=Objective.LATENCY, bench=bench)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('study') / 'search.db'}"


@pytest.fixture(scope="module")
def found(storage: str) -> Search:
    return _search(_bench(storage))


def _bench(storage: str) -> Bench:
    return Bench(effort=Effort(runs=60, warmup=5, seconds=2.0, least_runs=20), storage=storage)


def _tail(of: Search) -> str:
    """Return the label of the quantized recipe that was put behind the cuts: the fastest."""
    (label,) = [label for label in of.recipes if label.endswith(", pruned")]
    return label.removesuffix(", pruned")


def _steps(of: Search, label: str) -> tuple[object, ...]:
    return read_steps(parse(of.recipes[label]))


@pytest.mark.slow
def test_what_is_cut_is_a_candidate_with_the_tail_that_was_best(found: Search) -> None:
    cut, *tail = _steps(found, f"{_tail(found)}, pruned")
    best = _steps(found, _tail(found))

    assert isinstance(cut, PruneChannels)
    assert set(parse_widths(cut.widths)) <= {"wide", "again"}
    assert tail == list(best)


@pytest.mark.slow
def test_a_control_that_training_could_not_make_better_is_the_dense_file_itself(found: Search) -> None:
    (same,) = [one for one in found.failures if one.label == f"{_tail(found)}, dense control"]

    assert same.cause == f"the same file as {_tail(found)}"


@pytest.mark.slow
def test_a_pruned_candidate_is_faster_and_smaller_than_the_dense_one(found: Search) -> None:
    by_label = {one.label: one for one in found.candidates}
    one, dense = by_label[f"{_tail(found)}, pruned"], by_label[_tail(found)]

    assert one.size_bytes < dense.size_bytes
    assert one.ratio < dense.ratio


@pytest.mark.slow
def test_both_are_put_side_by_side_and_what_was_bought_and_refused_is_told(found: Search) -> None:
    told = "\n".join(found.pruning)

    assert "Pruning leaves alone: scores (its channels are the model's outputs)." in told
    assert f"{_tail(found)}, pruned: " in told
    assert "us for an error of" in told
    assert "points against the original" in told
    assert re.search(r"\(± at most \d+\.\d\d\) against its dense control given the same fine-tuning \(80 rows\)", told)


@pytest.mark.slow
def test_a_second_worker_measures_no_cut_and_comes_to_the_same_widths(found: Search, storage: str) -> None:
    (name,) = optuna.get_all_study_names(storage)
    before = len(optuna.load_study(study_name=name, storage=storage).trials)

    again = _search(_bench(storage))

    assert again.recipes == found.recipes
    assert again.pruning == found.pruning
    assert len(optuna.load_study(study_name=name, storage=storage).trials) == before


@pytest.mark.slow
def test_what_is_no_torch_program_is_searched_without_pruning_and_says_so() -> None:
    model = an_onnx_mlp(inputs=64)
    case = Case(model=model, dataset=a_dataset(model), target=a_profile())
    bench = Bench(effort=Effort(runs=4, warmup=1, least_runs=2))

    found = search(case, (floats, pruned(_BRIEF)), bench=bench)

    assert [one.label for one in found.candidates] == ["as given", "onnx float"]
    (failure,) = [one for one in found.failures if one.label == "pruned"]
    assert failure.cause.startswith("pruning trains the network, and mlp is no torch program but onnx")


def test_pruning_comes_before_repairs_and_only_where_it_is_asked_for() -> None:
    asked = rounds_with(_BRIEF)

    assert rounds_with(None) is ROUNDS
    assert len(asked) == len(ROUNDS) + 2
    assert asked[asked.index(repairs) + 1 :] == ROUNDS[ROUNDS.index(repairs) + 1 :]
    assert not {*asked[asked.index(repairs) - 2 : asked.index(repairs)]} & {*ROUNDS}
