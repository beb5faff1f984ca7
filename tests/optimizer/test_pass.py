"""The contract that every pass is held to."""

from __future__ import annotations

import pytest

from optimizer.errors import LibraryMissing, PromiseBroken
from optimizer.model import Format
from optimizer.pass_ import Observations
from optimizer.passes import Activation, CalibrationMethod, ExportOnnx, QuantizeStatic
from tests.optimizer.builders import an_onnx_mlp
from tests.optimizer.fake_passes import Lie, Object, Reseed


@pytest.mark.parametrize(
    ("about", "sentence"),
    [
        ("tensors", r"lie changed the tensors from .*\(-1, 3\).* to .*\(-1, 5\)"),
        ("format", "lie promises a onnx model and returned tflite"),
        ("digest", "bytes are not those of its digest"),
    ],
)
def test_a_broken_promise_is_caught(about: str, sentence: str) -> None:
    with pytest.raises(PromiseBroken, match=sentence):
        Lie(about=about).run(an_onnx_mlp(), Observations())


def test_a_model_of_another_format_is_not_taken() -> None:
    with pytest.raises(PromiseBroken, match="export-onnx takes a torch model, got onnx"):
        ExportOnnx().run(an_onnx_mlp(), Observations())


def test_a_missing_library_is_named_with_the_way_to_install_it() -> None:
    with pytest.raises(LibraryMissing, match=r"object needs no_such_library.*pip install 'edgeship\[optimizer\]'"):
        Object().run(an_onnx_mlp(), Observations())


def test_a_pass_spells_itself_with_what_differs_from_its_defaults() -> None:
    step = QuantizeStatic(activation=Activation.QINT8, rows=32)

    assert str(step) == "quantize-static(activation=QInt8, rows=32)"
    assert str(Reseed()) == "reseed()"


def test_what_is_expected_of_the_result_is_known_before_the_work() -> None:
    spec = QuantizeStatic(method=CalibrationMethod.ENTROPY).result(an_onnx_mlp().spec)

    assert (spec.format, spec.quantized) == (Format.ONNX, True)
