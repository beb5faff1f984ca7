"""Warnings: only where the figures of this search show the trap, each with its ratio."""

from __future__ import annotations

import dataclasses

from contracts.ids import digest_of
from optimizer.model import Format
from optimizer.report.traps import traps
from optimizer.search.candidate import Candidate, LineageStep, Search, Verdict
from tests.optimizer.search.searches import a_search, the_winner, with_figures


def _made_by(step: str, *, label: str, p50_ms: float, operators: tuple[str, ...] = ()) -> Candidate:
    made = a_search(full_int8=True)
    original = made.original_fidelity.value
    one = with_figures(the_winner(made), label=label, value=original, p50_ms=p50_ms, verdict=Verdict.FRONT)
    line = LineageStep(
        text=step, format=Format.ONNX, size_bytes=1, digest=digest_of(b""), seconds=0.0, from_store=False
    )
    model = dataclasses.replace(one.model, spec=dataclasses.replace(one.model.spec, operators=frozenset(operators)))
    return dataclasses.replace(one, product=dataclasses.replace(one.product, lineage=(line,), model=model))


def _search(*candidates: Candidate) -> Search:
    made = a_search(full_int8=True)
    plain = dataclasses.replace(made.original, spec=dataclasses.replace(made.original.spec, operators=frozenset()))
    latency = dataclasses.replace(made.original_latency, samples_ms=(1.0,) * 5)
    return dataclasses.replace(made, original=plain, original_latency=latency, candidates=candidates)


def test_signed_activations_that_are_slower_than_their_twin_are_named_with_the_ratio() -> None:
    unsigned = _made_by("quantize-static(rows=9)", label="u8s8", p50_ms=1.0)
    signed = _made_by("quantize-static(activation=QInt8, rows=9)", label="s8s8", p50_ms=2.5)

    (sentence,) = traps(_search(unsigned, signed))

    assert sentence.startswith("Signed activations: s8s8 takes 2.50 times as long as u8s8")


def test_signed_activations_that_are_no_slower_are_no_trap() -> None:
    unsigned = _made_by("quantize-static()", label="u8s8", p50_ms=1.0)
    signed = _made_by("quantize-static(activation=QInt8)", label="s8s8", p50_ms=1.05)

    assert traps(_search(unsigned, signed)) == ()


def test_dynamic_quantization_of_convolutions_is_named() -> None:
    dynamic = _made_by("quantize-dynamic()", label="dynamic", p50_ms=4.0, operators=("ConvInteger",))

    (sentence,) = traps(_search(dynamic))

    assert sentence.startswith("Dynamic quantization of convolutions: dynamic takes 4.00 times as long")


def test_dynamic_quantization_of_a_transformer_is_no_trap() -> None:
    dynamic = _made_by("quantize-dynamic()", label="dynamic", p50_ms=4.0, operators=("MatMulInteger", "Softmax"))

    assert traps(_search(dynamic)) == ()


def test_one_scale_a_tensor_in_a_transformer_is_named() -> None:
    one = _made_by("quantize-dynamic(per_channel=False)", label="per tensor", p50_ms=1, operators=("MatMul", "Softmax"))

    (sentence,) = traps(_search(one))

    assert sentence.startswith("One scale for a whole tensor in a transformer: per tensor drops by 0.00 points")


def test_layers_kept_in_float_that_cost_time_are_named() -> None:
    whole = _made_by("quantize-static(rows=9)", label="whole", p50_ms=1.0)
    kept = _made_by("quantize-static(rows=9, keep=('dw1', 'dw2'))", label="kept", p50_ms=3.0)

    (sentence,) = traps(_search(whole, kept))

    assert sentence.startswith("Layers kept in float: kept takes 3.00 times as long as whole")
