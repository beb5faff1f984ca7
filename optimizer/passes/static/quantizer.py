"""ONNX Runtime's QDQ quantizer fed with ranges that were read from statistics: no calibrator, no second run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.errors import PassFailed, first_line
from optimizer.passes.layers import given
from optimizer.passes.static.tensors import array, attribute, initializers, readers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from optimizer.calibration.ranges import Range

_READY: Final = ("onnx.infer", "onnxruntime.quant")
"""The mark by which the quantizer knows that shapes are inferred; without it, it writes the file and infers again."""


def quantize_graph(
    proto: Any,
    inside: AbstractSet[str],
    ranges: Mapping[str, Range],
    *,
    activation: str,
    weight: str,
    per_channel: bool,
) -> Any:
    """Return the ``onnx.ModelProto`` with the operations inside between quantize and dequantize pairs.

    Args:
        proto: prepared, shapes inferred; is changed.
        inside: the operations, by the tensor that each gives.
        ranges: low and high of every float tensor that they read or give.
        activation: ``QUInt8`` or ``QInt8``.
        weight: ``QUInt8`` or ``QInt8``.
        per_channel: one scale for each output channel of a layer's weights.

    Raises:
        PassFailed: the quantizer fails.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.calibrate import TensorData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    mark = proto.metadata_props.add()
    mark.key, mark.value = _READY
    taken = {name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()}
    float_readers = _readers(proto.graph, inside)
    try:
        quantizer = QDQQuantizer(
            proto,
            per_channel,
            reduce_range=False,
            weight_qType=QuantType[weight],
            activation_qType=QuantType[activation],
            tensors_range=taken,
            nodes_to_quantize=sorted(inside),
            nodes_to_exclude=[],
            op_types_to_quantize=sorted({node.op_type for node in proto.graph.node if given(node) in inside}),
            extra_options={"TensorQuantOverrides": _whole_weights(proto.graph, inside) if per_channel else {}},
        )
        quantizer.quantize_model()
        _float_again(quantizer.model.model.graph, float_readers)
        _pad_integers(quantizer.model.model.graph)
        quantizer.model.clean_initializers()
        quantizer.model.topological_sort()
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError, AssertionError, AttributeError) as error:
        raise PassFailed(
            f"quantize-static: ONNX Runtime's quantizer fails ({first_line(error)}); leave this pass out"
        ) from error
    return quantizer.model.model


def _pad_integers(graph: Any) -> None:
    """Let each padding work on the integers: ONNX Runtime has a kernel for that, but keeps the conversions around it.

    Where the quantizer gave both sides one scale, the padding is zeros (the zero point) or copies.
    """
    giver = {name: node for node in graph.node for name in node.output}
    read = readers(graph)
    for pad in [node for node in graph.node if node.op_type == "Pad"]:
        before, behind = giver.get(pad.input[0]), read.get(pad.output[0], [])
        if before is None or before.op_type != "DequantizeLinear" or len(behind) != 1 or behind[0] is None:
            continue
        if behind[0].op_type != "QuantizeLinear" or behind[0].input[1:] != before.input[1:]:
            continue
        rest = [before.input[2], *pad.input[3:]] if attribute(pad, "mode", b"constant") == b"constant" else []
        inputs = [before.input[0], pad.input[1], *rest]
        del pad.input[:]
        pad.input.extend(inputs)
        pad.output[0] = behind[0].output[0]
        graph.node.remove(behind[0])
    read = readers(graph)
    for node in [node for node in graph.node if node.op_type == "DequantizeLinear" and node.output[0] not in read]:
        graph.node.remove(node)


def _whole_weights(graph: Any, inside: AbstractSet[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the weights that have one scale though others have one a channel: the quantizer mistakes their axis."""
    constants = initializers(graph)
    return {
        name: [{"symmetric": True}]
        for node in graph.node
        if node.op_type == "MatMul" and given(node) in inside
        for place, name in enumerate(node.input)
        if name in constants and (place == 0 or array(constants[name]).ndim != 2)
    }


def _readers(graph: Any, inside: AbstractSet[str]) -> dict[str, list[str]]:
    """Return, for each operation outside, what it reads that operations outside give: it stays float for it."""
    constants = initializers(graph)
    integer = {name for node in graph.node if given(node) in inside for name in node.output}
    return {
        given(node): [name for name in node.input if name not in integer and name not in constants]
        for node in graph.node
        if given(node) not in inside
    }


def _float_again(graph: Any, float_readers: Mapping[str, list[str]]) -> None:
    """Let operations outside read the float tensor where one exists, not what it was rounded to for the segment."""
    for node in graph.node:
        wanted = float_readers.get(node.name, ())
        for place, name in enumerate(node.input):
            if name.removesuffix("_DequantizeLinear_Output") in wanted:
                node.input[place] = name.removesuffix("_DequantizeLinear_Output")
