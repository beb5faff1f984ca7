"""Adaptive rounding and bias correction: nearer answers, on the same grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from contracts.tensors import ElementType, TensorSpec
from optimizer.errors import PassFailed
from optimizer.model import Format, Model, ModelSpec
from optimizer.passes import QuantizeStatic, Rounding
from optimizer.passes.quantize_static import float_proto
from optimizer.passes.static.moments import moment_of
from optimizer.passes.static.preparation import prepare
from optimizer.passes.static.rounding import round_weights
from optimizer.passes.static.tensors import array, initializers
from optimizer.passes.static.weights import Grid, grids
from tests.optimizer.builders import rows
from tests.optimizer.formats.onnx_graphs import graph, node, weights
from tests.optimizer.passes.nets import chain_net
from tests.optimizer.passes.seeing import answers, given_rows, model_of, observed, proto_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.slow


def _dense(*, decades: float = 1.0) -> Model:
    """Return one dense layer over inputs of uneven scale that go together: rounding can trade one for another."""
    mix = weights(8, 48, seed=2) * np.logspace(0, -decades, 48, dtype=np.float32)
    return model_of(
        graph(
            node("MatMul", "x mix", "h"),
            node("Gemm", "h w b", "y"),
            inputs={"x": (1, 8)},
            constants={"mix": mix, "w": weights(48, 16, seed=3), "b": weights(16, seed=4)},
        )
    )


def _rounded(model: Model, *, per_channel: bool = True, unsigned: bool = False) -> tuple[tuple[Grid, ...], Any]:
    """Return the grids of all layers and the graph whose weights were rounded on them."""
    proto = float_proto(model)
    prepare(proto.graph)
    inside = {item.name for item in proto.graph.node}
    found = grids(proto.graph, inside, unsigned=unsigned, per_channel=per_channel)
    round_weights(proto, found, given_rows(model, count=64), batch=0)
    return found, proto.graph


def _layer_error(model: Model, changed: NDArray[np.generic], name: str) -> float:
    """Return the error of the answers when the constant of that name is exchanged, on rows not seen before."""
    proto = proto_of(model)
    initializers(proto.graph)[name].raw_data = np.asarray(changed, np.float32).tobytes()
    given = given_rows(model, count=200, seed=77)
    return float(np.linalg.norm(answers(model_of(proto.SerializeToString()), given) - answers(model, given)))


@pytest.mark.parametrize("per_channel", [True, False])
def test_adaptive_rounding_errs_less_than_the_nearest_point_on_rows_not_seen(*, per_channel: bool) -> None:
    model = _dense()

    found, changed = _rounded(model, per_channel=per_channel)

    layer = next(grid for grid in found if grid.name == "w")
    nearest = _layer_error(model, layer.nearest(layer.weights), "w")
    chosen = _layer_error(model, array(initializers(changed)["w"]), "w")
    assert chosen < 0.7 * nearest


@pytest.mark.parametrize("unsigned", [True, False])
def test_every_weight_is_on_one_of_the_two_points_beside_it_and_the_scale_stays(*, unsigned: bool) -> None:
    found, changed = _rounded(chain_net(), unsigned=unsigned)

    again = grids(changed, {grid.operation.name for grid in found}, unsigned=unsigned, per_channel=True)
    assert len(found) == 4
    assert [np.array_equal(old.scale, new.scale) for old, new in zip(found, again, strict=True)] == [True] * 4
    steps = [
        np.abs((grid.nearest(array(initializers(changed)[grid.name]).astype(np.float64)) - grid.weights) / grid.scale)
        for grid in found
    ]
    assert max(float(step.max()) for step in steps) < 1.01


def test_too_few_rows_for_the_models_fixed_batch_are_one_line() -> None:
    model = _dense()
    proto = float_proto(model)
    prepare(proto.graph)
    found = grids(proto.graph, {item.name for item in proto.graph.node}, unsigned=False, per_channel=True)

    with pytest.raises(PassFailed, match=r"fixed batch of 80, and there are 64 rows; .*leave rounding"):
        round_weights(proto, found, given_rows(model, count=64), batch=80)


def test_as_many_rows_are_wanted_as_the_models_fixed_batch_has() -> None:
    tensor = TensorSpec(name="x", element=ElementType.FP32, shape=(80, 8))
    spec = ModelSpec(format=Format.ONNX, name="net", inputs=(tensor,), outputs=(tensor,))

    wants = QuantizeStatic(rounding=Rounding.ADAPTIVE).observes(spec)

    assert wants.rows == 80


def test_a_layer_too_wide_for_its_moment_keeps_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimizer.passes.static.moments._LARGEST", 40)
    model = _dense()

    _, changed = _rounded(model)

    assert np.array_equal(array(initializers(changed)["w"]), array(initializers(proto_of(model).graph)["w"]))


@pytest.mark.parametrize(
    ("attributes", "shape"),
    [
        ({"pads": [1, 1, 1, 1]}, (5, 4, 3, 3)),
        ({"strides": [2, 2], "pads": [0, 1, 2, 1]}, (5, 4, 3, 3)),
        ({"dilations": [2, 2]}, (5, 4, 3, 2)),
        ({"group": 2}, (6, 2, 3, 3)),
        ({"group": 4}, (4, 1, 3, 3)),
        ({"auto_pad": "SAME_UPPER", "strides": [2, 2]}, (5, 4, 3, 3)),
        ({"auto_pad": "SAME_LOWER"}, (5, 4, 2, 2)),
        ({"auto_pad": "VALID"}, (5, 4, 2, 2)),
    ],
)
def test_the_second_moment_is_that_of_the_layers_own_squared_output(
    attributes: dict[str, Any], shape: tuple[int, ...]
) -> None:
    layer = node("Conv", "x w", "y", **attributes)
    model = model_of(graph(layer, inputs={"x": (1, 4, 7, 7)}, constants={"w": weights(*shape)}))
    seen = rows((4, 7, 7), count=3)

    moment = moment_of(layer, seen, shape)

    groups = moment.shape[0]
    table = weights(*shape).reshape(groups, shape[0] // groups, -1).astype(np.float64)
    expected = np.einsum("goi,gij,goj->go", table, moment, table).reshape(-1)
    squared = (answers(model, {"x": seen}).astype(np.float64) ** 2).sum(axis=(0, 2, 3))
    np.testing.assert_allclose(expected, squared, rtol=1e-4)


def test_bias_correction_takes_the_mean_error_out() -> None:
    model = chain_net(decades=1.5)
    seen = observed(model, count=64)
    given = given_rows(model, count=64)
    exact = answers(model, given)

    off = [
        np.abs(
            (answers(QuantizeStatic(per_channel=False, bias_correction=on).run(model, seen), given) - exact).mean(
                axis=0
            )
        ).mean()
        for on in (False, True)
    ]

    assert off[1] < 0.6 * off[0]


def test_a_layer_without_a_bias_is_given_one_by_the_correction() -> None:
    model = model_of(graph(node("Conv", "x w", "y"), inputs={"x": (1, 3, 6, 6)}, constants={"w": weights(4, 3, 3, 3)}))

    corrected = QuantizeStatic(bias_correction=True).run(model, observed(model))

    held = initializers(proto_of(corrected).graph)
    assert [array(held[name]).dtype for name in held if name.endswith("corrected_bias_quantized")] == [np.int32]


def test_adaptive_rounding_gives_the_same_bytes_twice() -> None:
    model, step = chain_net(), QuantizeStatic(rounding=Rounding.ADAPTIVE, bias_correction=True)

    assert step.run(model, observed(model)).digest == step.run(model, observed(model)).digest
