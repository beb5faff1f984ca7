"""Dense layers and tables with integer weights, in the form that ONNX Runtime fuses into one kernel each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.passes.layers import given
from optimizer.passes.transformer.graph import ONNXRUNTIME, Graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.passes.transformer.dense import Dense

_SMALLEST: Final = 1e-30
"""Below any scale that float32 weights or activations need: keeps a row of zeros from dividing by zero."""
_AXES_ARE_AN_INPUT: Final = 18
"""Operator set since which reductions take their axes as a tensor."""
_INT8_PRODUCTS: Final = 4
"""MatMulNBits' word for activations that are rounded to int8 block by block."""


def to_integers(graph: Graph, layer: Dense, *, per_channel: bool, per_token: bool) -> None:
    """Make the layer multiply int8 weights with activations that are rounded to 8 bits as they come.

    One scale serves a whole activation tensor; with ``per_token`` each token (a row of the last axis) is first
    divided by its largest absolute value, and the result multiplied by it.
    """
    source = _unit_tokens(graph, layer.source) if per_token else layer.source
    values, scale, zero = _rounded(graph, source)
    weights, weight_scale = _round_weights(layer.weights, axis=0 if per_channel else None)
    held = graph.add_constant(f"{layer.name}/int8", weights)
    weight_zero = graph.add_constant(f"{layer.name}/zero", np.zeros(weight_scale.shape, np.int8))
    scales = graph.add_constant(f"{layer.name}/scale", weight_scale)
    graph.remove(layer.operation)
    whole = graph.add("MatMulInteger", [values, held, zero, weight_zero], graph.fresh(f"{layer.name}/integers"))
    number = graph.add("Cast", [whole], graph.fresh(f"{layer.name}/cast"), to=1)
    both = graph.add("Mul", [scale, scales], graph.fresh(f"{layer.name}/scales"))
    last = layer.name if not (per_token or layer.bias) else graph.fresh(f"{layer.name}/scaled")
    graph.add("Mul", [number, both], last)
    if per_token:
        before, last = last, graph.fresh(f"{layer.name}/tokens") if layer.bias else layer.name
        graph.add("Mul", [before, f"{layer.source}/peak"], last)
    if layer.bias:
        graph.add("Add", [last, layer.bias], layer.name)


def to_blocks(graph: Graph, layer: Dense, *, bits: int, block: int, integer_products: bool) -> None:
    """Make the layer hold weights of 8 or 4 bits with a scale for each block of inputs (``MatMulNBits``).

    With ``integer_products`` the kernel rounds activations to int8 in the same blocks, token by token.
    """
    inputs, outputs = layer.weights.shape
    packed, scales, zeros = pack_blocks(layer.weights, bits=bits, block=block)
    names = [
        graph.add_constant(f"{layer.name}/int{bits}", packed),
        graph.add_constant(f"{layer.name}/scale", scales),
        graph.add_constant(f"{layer.name}/zero", zeros),
    ]
    graph.remove(layer.operation)
    product = graph.fresh(f"{layer.name}/product") if layer.bias else layer.name
    sizes = {"K": inputs, "N": outputs, "bits": bits, "block_size": block}
    level = {"accuracy_level": _INT8_PRODUCTS} if integer_products else {}
    graph.add("MatMulNBits", [layer.source, *names], product, domain=ONNXRUNTIME, **sizes, **level)
    if layer.bias:
        graph.add("Add", [product, layer.bias], layer.name)


def pack_blocks(
    weights: NDArray[np.float32], *, bits: int, block: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]:
    """Return packed weights, scales and zero points as ``MatMulNBits`` reads them.

    Args:
        weights: float32, shape (inputs, outputs).
        bits: 8 (symmetric) or 4 (from the smallest to the largest of a block).
        block: inputs that share a scale, a power of two, at least 16.

    Returns:
        uint8 (outputs, blocks, bytes of a block), float32 (outputs * blocks,), uint8 (outputs * bytes of zeros,).
    """
    inputs, outputs = weights.shape
    blocks = -(-inputs // block)
    padded = np.zeros((outputs, blocks * block), np.float32)
    padded[:, :inputs] = weights.T
    cut = padded.reshape(outputs, blocks, block)
    most, middle = (1 << bits) - 1, 1 << (bits - 1)
    if bits == 8:
        scale = np.maximum(np.abs(cut).max(axis=2) / (middle - 1), _SMALLEST)
        zero = np.full(scale.shape, middle, np.float32)
    else:
        low, high = np.minimum(cut.min(axis=2), 0), np.maximum(cut.max(axis=2), 0)
        scale = np.maximum((high - low) / most, _SMALLEST)
        zero = np.clip(np.rint(-low / scale), 0, most)
    whole = np.clip(np.rint(cut / scale[..., None]) + zero[..., None], 0, most).astype(np.uint8)
    return _packed(whole, bits), scale.astype(np.float32).reshape(-1), _packed(zero.astype(np.uint8), bits).reshape(-1)


def store_as_int8(graph: Graph, operation: Any, place: int, *, kept_axes: tuple[int, ...]) -> None:
    """Make an operation's constant an int8 one that is multiplied by its scales, one for each place on the kept axes.

    ONNX Runtime does the multiplication once, when it loads the file, and computes in float. It does not do that for
    a ``DequantizeLinear``, which would run at every inference (1.7 times slower on ResNet20).
    """
    name = operation.input[place]
    values = graph.values(name)
    axes = tuple(axis for axis in range(values.ndim) if axis not in kept_axes)
    peak = np.abs(values).max(axis=axes, keepdims=True)
    scale = np.maximum(peak / np.float32(127), np.float32(_SMALLEST))
    held = graph.add_constant(f"{name}/int8", np.rint(values / scale).astype(np.int8))
    scales = graph.add_constant(f"{name}/scale", scale)
    number = graph.add("Cast", [held], graph.fresh(f"{name}/cast"), to=1)
    operation.input[place] = graph.add("Mul", [number, scales], graph.fresh(f"{name}/float"))


def table_to_integers(graph: Graph, lookup: Any) -> None:
    """Make a Gather of rows of a float table one of int8 rows, with a scale for each row."""
    table, places, name = lookup.input[0], lookup.input[1], given(lookup)
    values = graph.values(table)
    rounded, scale = _round_weights(values, axis=1)
    rows = graph.add_constant(f"{table}/int8", rounded)
    scales = graph.add_constant(f"{table}/scale", scale[:, None])
    graph.remove(lookup)
    picked = graph.add("Gather", [rows, places], graph.fresh(f"{name}/int8"), axis=0)
    number = graph.add("Cast", [picked], graph.fresh(f"{name}/cast"), to=1)
    own = graph.add("Gather", [scales, places], graph.fresh(f"{name}/scale"), axis=0)
    graph.add("Mul", [number, own], name)


def tables(graph: Graph, *, rows: int = 64) -> list[Any]:
    """Return each Gather of rows of a constant float32 table with at least so many rows that nothing else reads."""
    from optimizer.passes.transformer.graph import attribute

    found = []
    for each in graph.operations:
        values = graph.constant(each.input[0]) if each.op_type == "Gather" else None
        if values is None or values.ndim != 2 or values.dtype != np.float32 or len(values) < rows:
            continue
        if attribute(each, "axis", 0) == 0 and len(graph.readers(each.input[0])) == 1:
            found.append(each)
    return found


def _rounded(graph: Graph, source: str) -> list[str]:
    """Return the names of the tensor's uint8 values, scale and zero point; layers that read one tensor share them."""
    names = [f"{source}/{word}" for word in ("uint8", "scale", "zero")]
    if graph.giver(names[0]) is None:
        graph.add_many("DynamicQuantizeLinear", [source], names)
    return names


def _unit_tokens(graph: Graph, source: str) -> str:
    """Return the name of the tensor with each row of its last axis divided by its largest absolute value."""
    unit, peak = f"{source}/unit", f"{source}/peak"
    if graph.giver(unit) is not None:
        return unit
    size = graph.add("Abs", [source], f"{source}/absolute")
    largest = f"{source}/largest"
    if graph.opset < _AXES_ARE_AN_INPUT:
        graph.add("ReduceMax", [size], largest, axes=[-1], keepdims=1)
    else:
        axes = graph.add_constant("last-axis", np.array([-1], np.int64))
        graph.add("ReduceMax", [size, axes], largest, keepdims=1)
    floor = graph.add_constant("smallest", np.array([_SMALLEST], np.float32))
    graph.add("Max", [largest, floor], peak)
    return graph.add("Div", [source, peak], unit)


def _round_weights(weights: NDArray[np.float32], *, axis: int | None) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 weights and their scales, one for each place along the axes other than ``axis``."""
    peak = np.abs(weights).max(axis=axis, keepdims=True)
    scale = np.maximum(peak / np.float32(127), np.float32(_SMALLEST))
    return np.rint(weights / scale).astype(np.int8), scale.reshape(-1) if axis is not None else scale.reshape(())


def _packed(values: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Return the values with two in a byte where they have 4 bits, the first one low; an odd last one stands alone."""
    if bits == 8:
        return values
    if values.shape[-1] % 2:
        values = np.concatenate([values, np.zeros((*values.shape[:-1], 1), np.uint8)], axis=-1)
    return np.bitwise_or(values[..., ::2], np.left_shift(values[..., 1::2], 4)).astype(np.uint8)
