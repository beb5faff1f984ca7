"""Where tensors lie; what is no model has none, and no file leads the walk out of itself."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.delta.elements import Kind
from contracts.delta.spans import Span, spans_of
from tests.builders import TinyModel, a_tiny_onnx_artifact, a_tiny_tflite_artifact, onnx_bytes, tflite_bytes
from tests.contracts.delta.models import int8_file, weights

TINY = TinyModel(hidden=4)
FILES = [onnx_bytes(TINY), tflite_bytes(TINY), a_tiny_onnx_artifact(TINY), a_tiny_tflite_artifact(TINY)]


def found(data: bytes) -> dict[str, Span]:
    return {span.name: span for span in spans_of(data)}


def content(data: bytes, span: Span) -> bytes:
    return data[span.start : span.end]


def test_initializers_of_an_onnx_file_are_found_with_their_scales() -> None:
    weight = weights(4, 3, 3, 3)
    data = int8_file(weight, given=0.5)

    spans = found(data)

    assert (spans["weight"].dims, spans["weight"].kind, spans["weight"].scale) == ((4, 3, 3, 3), Kind.INT8, "scale")
    assert content(data, spans["input_scale"]) == np.float32(0.5).tobytes()


def test_weights_of_a_tflite_file_are_found() -> None:
    data = tflite_bytes(TINY)

    held = [content(data, span) for span in spans_of(data)]

    assert any(TINY.weights[0].T.tobytes() == one or TINY.weights[0].tobytes() == one for one in held)


def test_an_artifact_has_the_models_tensors_and_the_recorded_answers() -> None:
    data = a_tiny_onnx_artifact(TINY)

    spans = found(data)

    assert {span.start - spans_of(data)[0].start for span in spans.values()} >= {0}
    assert any(name.startswith("golden/output/") for name in spans)
    assert {name for name in spans if not name.startswith("golden/")} == set(found(onnx_bytes(TINY)))


def test_what_is_no_model_has_no_tensors() -> None:
    assert spans_of(b"") == spans_of(b"plain words, nothing else") == ()


@settings(max_examples=150)
@given(
    file=st.sampled_from(FILES),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
    keep=st.floats(0.1, 1),
)
def test_a_damaged_file_never_leads_out_of_itself(file: bytes, changes: list[tuple[float, int]], keep: float) -> None:
    data = bytearray(file)
    data[:] = damaged(data, changes)[: int(len(data) * keep)]

    spans = spans_of(bytes(data))

    assert all(0 <= span.start < span.end <= len(data) for span in spans)
    assert all(one.end <= other.start for one, other in pairwise(spans))


def damaged(data: bytearray, changes: list[tuple[float, int]]) -> bytearray:
    for where, value in changes:
        data[int(where * len(data))] = value
    return data
