"""A small search whose candidates were really made and run, with figures set by hand where a test needs them."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from contracts.manifest import ModelFormat
from contracts.preprocessing import Step, StepKind
from optimizer.benchmark.timing import Effort
from optimizer.data.dataset import Dataset
from optimizer.model import Format, Model
from optimizer.search.budget import OptimizeBudget
from optimizer.search.candidate import Candidate, Search, Verdict
from optimizer.search.case import Bench
from optimizer.search.optimize import optimize
from tests.optimizer.builders import a_profile
from tests.optimizer.formats.onnx_graphs import graph, node, weights

if TYPE_CHECKING:
    from device_profiles.profile import DeviceProfile

SCALE = (Step(kind=StepKind.SCALE, tensor="image", factor=(0.0625,)),)
"""From scans of 0..16 to 0..1."""


def an_image_model() -> Model:
    """Return image (n, 1, 8, 8) of 0..1 to three scores."""
    parts = (
        node("Conv", "image w b", "c", strides=[2, 2]),
        node("Relu", "c", "r"),
        node("Flatten", "r", "f"),
        node("Gemm", "f v", "scores"),
    )
    constants = {"w": weights(6, 1, 3, 3), "b": weights(6, seed=4), "v": weights(54, 3, seed=5)}
    content = graph(*parts, inputs={"image": (1, 1, 8, 8)}, constants=constants, outputs="scores")
    return Model.from_bytes(Format.ONNX, content, name="scans")


def an_image_dataset(*, labelled: bool = True) -> Dataset:
    """Return scans of 0..16; each is labelled with what the model answers, but for every tenth."""
    from optimizer.served import serve

    random = np.random.default_rng(11)
    rows = random.uniform(0, 16, size=(220, 1, 8, 8)).astype(np.float32)
    model = an_image_model()
    label = serve(model, model, SCALE).infer({"image": rows[100:]})["scores"].argmax(axis=1)
    label[::10] = (label[::10] + 1) % 3
    return Dataset.of(
        calibration={"image": rows[:100]},
        holdout={"image": rows[100:]},
        label=label if labelled else None,
        labels=("ash", "birch", "cedar"),
    )


@cache
def a_search(*, full_int8: bool = False, formats: tuple[ModelFormat, ...] = (ModelFormat.TFLITE,)) -> Search:
    """Return a quick search on the image model: what was made was run, timed with few runs."""
    target: DeviceProfile = a_profile(formats=formats, full_int8=full_int8)
    return optimize(
        an_image_model(),
        an_image_dataset(),
        target,
        budget=OptimizeBudget(max_drop=0.05, max_latency_ms=5.0, max_size_bytes=50_000),
        bench=Bench(effort=Effort(runs=30, warmup=3, seconds=0.5, least_runs=20)),
        preprocessing=SCALE,
    )


def the_winner(search: Search) -> Candidate:
    """Return the winner, which there must be."""
    assert search.winner is not None
    return search.winner


def with_figures(
    one: Candidate, *, label: str, value: float, p50_ms: float, verdict: Verdict, reason: str = "a reason"
) -> Candidate:
    """Return the candidate under another name with other figures."""
    factor = p50_ms / one.latency.p50_ms
    drop = dataclasses.replace(one.fidelity.drop, value=one.fidelity.original - value)
    return dataclasses.replace(
        one,
        product=dataclasses.replace(one.product, label=label),
        fidelity=dataclasses.replace(one.fidelity, value=value, drop=drop),
        latency=dataclasses.replace(one.latency, samples_ms=tuple(factor * ms for ms in one.latency.samples_ms)),
        verdict=verdict,
        reason=reason,
    )
