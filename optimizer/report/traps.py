"""Warnings for what misleads: each says what was measured here, and where else it may be otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from optimizer.words import points_in_words

if TYPE_CHECKING:
    from optimizer.search.candidate import Candidate, Search

_NOTICED = 1.1
"""Ratios below that are within the noise of two timings."""
_KEEP = re.compile(r"keep=\([^)]*\)")
_SIGNED, _ONE_SCALE = "activation=QInt8", "per_channel=False"


def traps(search: Search) -> tuple[str, ...]:
    """Return a sentence for each trap that a candidate of this search shows."""
    found = (_signed_activations, _dynamic_convolutions, _one_scale_a_tensor, _kept_float)
    return tuple(sentence for kind in found for sentence in kind(search))


def _signed_activations(search: Search) -> Iterator[str]:
    for one in search.candidates:
        twin = _twin(search, one, _SIGNED)
        ratio = _ratio(one, twin) if twin else 1.0
        if twin and ratio > _NOTICED:
            yield (
                f"Signed activations: {one.label} takes {ratio:.2f} times as long as {twin.label}, which differs in "
                "the sign alone. x86 multiplies unsigned by signed bytes; aarch64 does both alike, so this ranks the "
                "two for x86 only."
            )


def _dynamic_convolutions(search: Search) -> Iterator[str]:
    for one in search.candidates:
        operators = {*search.original.spec.operators, *one.model.spec.operators}
        ratio = one.latency.p50_ms / search.original_latency.p50_ms
        if "quantize-dynamic" in _steps(one) and operators & {"Conv", "ConvInteger"} and ratio > _NOTICED:
            yield (
                f"Dynamic quantization of convolutions: {one.label} takes {ratio:.2f} times as long as the original. "
                "It finds each activation's range anew in every run, and the runtime has no fast kernel for such "
                "convolutions; static quantization has."
            )


def _one_scale_a_tensor(search: Search) -> Iterator[str]:
    for one in search.candidates:
        operators = {*search.original.spec.operators, *one.model.spec.operators}
        transformer = "MatMul" in operators and operators & {"LayerNormalization", "Softmax"}
        if transformer and _ONE_SCALE in _steps(one):
            yield (
                f"One scale for a whole tensor in a transformer: {one.label} drops by "
                f"{points_in_words(one.fidelity.drop.value)} {one.fidelity.unit}. A few outlying channels set the "
                "scale of all others; one scale a channel costs about the same time."
            )


def _kept_float(search: Search) -> Iterator[str]:
    for one in search.candidates:
        kept = _KEEP.search(_steps(one))
        twin = _twin(search, one, kept.group()) if kept else None
        ratio = _ratio(one, twin) if twin else 1.0
        if twin and ratio > _NOTICED:
            yield (
                f"Layers kept in float: {one.label} takes {ratio:.2f} times as long as {twin.label}, which quantizes "
                "them. Each kept layer (a depthwise one, say) splits the int8 layout, and the conversions at its "
                "borders cost more than the layer."
            )


def _steps(one: Candidate) -> str:
    return " -> ".join(step.text for step in one.lineage)


def _twin(search: Search, one: Candidate, argument: str) -> Candidate | None:
    """Return the candidate that is made the same way but for the argument; None where there is none."""
    if argument not in _steps(one):
        return None
    bare = _without(_steps(one), argument)
    return next((other for other in search.candidates if other is not one and _steps(other) == bare), None)


def _without(steps: str, argument: str) -> str:
    return steps.replace(f", {argument}", "").replace(f"{argument}, ", "").replace(argument, "")


def _ratio(one: Candidate, twin: Candidate) -> float:
    """Return how many times as long it takes, each beside the original of its own run."""
    return (one.latency.p50_ms / one.beside.p50_ms) / (twin.latency.p50_ms / twin.beside.p50_ms)
