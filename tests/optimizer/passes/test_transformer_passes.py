"""Arranging and smoothing leave what an encoder answers as it was, and make int8 lose less."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from optimizer.calibration.collect import collect
from optimizer.errors import PassFailed
from optimizer.formats.session import open_session
from optimizer.model import Model
from optimizer.pass_ import Observations
from optimizer.passes import ArrangeTransformer, ExportOnnx, QuantizeDynamic, SmoothTransformer
from tests.optimizer.builders import a_profile, an_onnx_mlp, rows
from tests.optimizer.passes.encoders import a_model, a_torch_encoder, an_encoder, ids, kinds_as_run

_NOTHING = Observations()
_KINDS: list[dict[str, bool]] = [
    {},
    {"norm_first": True},
    {"whole_norm": False},
    {"norm_first": True, "whole_norm": False},
    {"joint": True},
    {"norm_first": True, "joint": True, "rectified": True},
    {"rectified": True},
]


def _graph(model: Model) -> Any:
    return onnx.load_model_from_string(model.content).graph


def _count(model: Model, kind: str) -> int:
    return [each.op_type for each in _graph(model).node].count(kind)


def _answers(model: Model, given: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    (output,) = open_session(model).run(given).values()
    return output.astype(np.float64)


def _error(model: Model, exact: NDArray[np.float64], given: dict[str, NDArray[Any]]) -> float:
    """Return the root mean square error against exact answers, as a share of their own root mean square."""
    return float(np.sqrt(((_answers(model, given) - exact) ** 2).mean() / (exact**2).mean()))


def _smooth(model: Model, given: dict[str, NDArray[Any]], *, strength: float = 0.65) -> Model:
    return SmoothTransformer(strength=strength).run(model, Observations(statistics=collect(model, [given])))


@pytest.mark.slow
@pytest.mark.parametrize("kind", _KINDS, ids=str)
def test_smoothing_an_encoder_of_any_kind_changes_no_answer(kind: dict[str, bool]) -> None:
    model, given = an_encoder(**kind), ids()

    smooth = _smooth(model, given)

    assert smooth.digest != model.digest
    assert _error(smooth, _answers(model, given), given) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("kind", _KINDS, ids=str)
def test_an_encoder_of_any_kind_loses_less_to_int8_once_smooth(kind: dict[str, bool]) -> None:
    model, given = an_encoder(**kind), ids()
    exact = _answers(model, given)

    plain = _error(QuantizeDynamic().run(model, _NOTHING), exact, given)
    smooth = _error(QuantizeDynamic().run(_smooth(model, given), _NOTHING), exact, given)

    assert smooth < 0.9 * plain


@pytest.mark.slow
def test_where_only_dense_layers_read_a_normalization_smoothing_costs_no_operation() -> None:
    model, given = an_encoder(norm_first=True, rectified=True), ids()

    smooth = _smooth(model, given)

    assert len(_graph(smooth).node) == len(_graph(model).node)


@pytest.mark.slow
def test_the_parts_of_a_normalization_take_the_factors_too() -> None:
    model, given = an_encoder(norm_first=True, rectified=True, whole_norm=False), ids()

    smooth = _smooth(model, given)

    assert len(_graph(smooth).node) == len(_graph(model).node)


@pytest.mark.slow
def test_a_normalization_that_a_residual_sum_reads_keeps_its_scale() -> None:
    model, given = an_encoder(), ids()

    smooth = _smooth(model, given)

    before, after = (
        [each.input[1:] for each in _graph(made).node if each.op_type == "LayerNormalization"]
        for made in (model, smooth)
    )
    assert after == before
    assert (
        _count(smooth, "Mul") - _count(model, "Mul") == 6
    )  # of two layers: attention, feed-forward and its second half


@pytest.mark.slow
def test_values_that_go_through_joint_attention_are_scaled_by_an_operation() -> None:
    apart, joint = (an_encoder(norm_first=True, rectified=True, joint=each) for each in (False, True))

    added = [_count(_smooth(model, ids()), "Mul") - _count(model, "Mul") for model in (apart, joint)]

    assert added == [0, 2]


@pytest.mark.slow
@pytest.mark.parametrize("norm_first", [False, True])
def test_torch_s_own_encoder_is_smoothed_exactly(norm_first: bool) -> None:  # noqa: FBT001 (pytest gives it by name)
    model, given = ExportOnnx().run(a_torch_encoder(norm_first=norm_first), _NOTHING), {"x": rows((5, 16), count=20)}

    smooth = _smooth(model, given)

    assert _error(smooth, _answers(model, given), given) < 1e-5


def test_a_layer_with_a_transposed_weight_is_scaled_by_its_inputs() -> None:
    model, given = _a_transposed_gemm(), {"x": rows((6,), count=20) * np.array([1, 50, 1, 1, 9, 1], np.float32)}

    smooth = _smooth(model, given)

    np.testing.assert_allclose(_answers(smooth, given), _answers(model, given), rtol=1e-4, atol=1e-4)
    peaks = collect(smooth, [given]).tensors["x/smooth"].channel_peak
    assert peaks.max() / peaks.min() < 0.5 * 50


def test_an_mlp_is_smoothed_through_its_rectifier() -> None:
    model, given = an_onnx_mlp(), {"row": rows((12,), count=20)}

    smooth = _smooth(model, given)

    np.testing.assert_allclose(_answers(smooth, given), _answers(model, given), rtol=1e-4, atol=1e-5)
    assert _count(smooth, "Mul") == 1  # the model's input has nothing before it that could take the factors


def test_smoothing_without_statistics_says_what_is_missing() -> None:
    with pytest.raises(PassFailed, match="no statistics of encoder; give calibration rows"):
        SmoothTransformer().run(an_encoder(), _NOTHING)


def test_smoothing_what_has_no_dense_layer_is_a_failure() -> None:
    model = a_model([helper.make_node("Relu", ["x"], ["y"])], [], x=[4], y=[4])

    with pytest.raises(PassFailed, match="no dense layer of encoder"):
        _smooth(model, {"x": rows((4,), count=4)})
    assert list(SmoothTransformer().objections(model.spec, a_profile())) == [
        "encoder has no dense layer to smooth; leave smooth-transformer out"
    ]


@pytest.mark.parametrize("strength", [0.0, 1.5])
def test_a_strength_that_is_no_share_is_objected_to(strength: float) -> None:
    (objection,) = SmoothTransformer(strength=strength).objections(an_encoder().spec, a_profile())

    assert objection == f"strength={strength} is not above 0 and at most 1"


@pytest.mark.slow
@pytest.mark.parametrize("kind", _KINDS, ids=str)
def test_arranging_changes_no_answer(kind: dict[str, bool]) -> None:
    model, given = an_encoder(**kind), ids()

    arranged = ArrangeTransformer().run(model, _NOTHING)

    np.testing.assert_allclose(_answers(arranged, given), _answers(model, given), rtol=1e-4, atol=1e-4)


def test_residual_sums_before_a_normalization_become_sums_and_others_stay() -> None:
    arranged = ArrangeTransformer().run(an_encoder(), _NOTHING)

    assert _count(arranged, "Sum") == 4
    assert _count(arranged, "Add") == _count(an_encoder(), "Add") - 4


@pytest.mark.slow
def test_onnx_runtime_joins_no_arranged_sum_with_its_normalization(tmp_path: Any) -> None:
    model = ExportOnnx().run(a_torch_encoder(norm_first=False), _NOTHING)

    before, after = (kinds_as_run(made, tmp_path) for made in (model, ArrangeTransformer().run(model, _NOTHING)))

    assert (before.count("SkipLayerNormalization"), after.count("SkipLayerNormalization")) == (4, 0)


@pytest.mark.slow
def test_onnx_runtime_knows_an_arranged_gelu(tmp_path: Any) -> None:
    model = an_encoder(norm_first=True)

    before, after = (kinds_as_run(made, tmp_path) for made in (model, ArrangeTransformer().run(model, _NOTHING)))

    assert ("Erf" in before, "Erf" in after) == (True, False)


def test_what_has_nothing_to_arrange_is_a_failure() -> None:
    model = a_model([helper.make_node("Relu", ["x"], ["y"])], [], x=[4], y=[4])

    with pytest.raises(PassFailed, match="leave this pass out"):
        ArrangeTransformer().run(model, _NOTHING)
    assert "nothing" not in str(list(ArrangeTransformer().objections(an_encoder().spec, a_profile())))


def _a_transposed_gemm() -> Model:
    chance = np.random.default_rng(8)
    values = {"w": chance.normal(size=(3, 6)), "b": chance.normal(size=3)}
    constants = [numpy_helper.from_array(each.astype(np.float32), name) for name, each in values.items()]
    gemm = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1, alpha=0.5, beta=2.0)
    return a_model([gemm], constants, x=[6], y=[3])
