"""A float graph in the form that ONNX Runtime's quantizer gets right: what it assumes and does not check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.passes.layers import given
from optimizer.passes.static.tensors import array, attribute, initializers, put

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray


POOLED: Final = "/pooled"
"""Ends the name of a tensor that ``prepare`` adds: it holds the values of the tensor named before it."""


def prepare(graph: Any) -> None:
    """Name each operation by the tensor it gives, make constants initializers, Gemm plain and means of images pools.

    The quantizer tells operations apart by name, reads weights from initializers alone, and drops a Gemm's beta;
    ONNX Runtime has integer kernels for a global pool but none for a mean.
    """
    constants_as_initializers(graph)
    pool_means(graph)
    for node in graph.node:
        node.name = given(node)
    constants = initializers(graph)
    for node in graph.node:
        if node.op_type == "Gemm" and node.input[1] in constants:
            make_gemm_plain(node, graph, constants)


def constants_as_initializers(graph: Any) -> None:
    """Make initializers of the tensors that ``Constant`` operations give."""
    for node in [node for node in graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]:
        graph.initializer.append(node.attribute[0].t)
        graph.initializer[-1].name = node.output[0]
        graph.node.remove(node)


def own_weights(graph: Any, inside: AbstractSet[str]) -> None:
    """Give the operations inside a copy of each constant that an operation outside reads too, or reads on another axis.

    A shared one would be quantized for both, and stay in the file as integers that the float operation converts
    at every run.
    """
    constants = initializers(graph)
    users: dict[str, set[str]] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in constants:
                users.setdefault(name, set()).add(_use(node, place) if given(node) in inside else "")
    for node in graph.node:
        for place, name in enumerate(node.input):
            if given(node) in inside and name in constants and len(users[name]) > 1 and _is_float(constants[name]):
                node.input[place] = _copy(graph, constants[name], f"{name}/{_use(node, place)}")


def make_gemm_plain(node: Any, graph: Any, constants: dict[str, Any]) -> None:
    """Fold alpha and beta of a Gemm into its constants, and make its bias one value for each output.

    One whose bias is computed, or differs from row to row, stays as it is.
    """
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    weight = array(constants[node.input[1]])
    outputs = weight.shape[0 if attribute(node, "transB", 0) else 1]
    bias = node.input[2] if len(node.input) > 2 else ""
    if bias and (bias not in constants or array(constants[bias]).size not in (1, outputs)):
        return
    if alpha != 1.0:
        node.input[1] = _new(graph, f"{node.input[1]}/{given(node)}/scaled", weight * np.asarray(alpha, weight.dtype))
    if bias and (beta != 1.0 or array(constants[bias]).shape != (outputs,)):
        values = array(constants[bias]).reshape(-1) * np.asarray(beta, weight.dtype)
        node.input[2] = _new(graph, f"{bias}/{given(node)}/scaled", np.broadcast_to(values, (outputs,)).copy())
    for item in [item for item in node.attribute if item.name in ("alpha", "beta")]:
        node.attribute.remove(item)


def pool_means(graph: Any) -> None:
    """Write each mean over all places of an image as the global pool that it is: runtimes compute that faster."""
    from onnx import helper

    constants = initializers(graph)
    infos = {item.name: item for item in (*graph.value_info, *graph.input)}
    # a tensor of rank 3 is a series of channels where convolutions read such; else its last axis holds the features
    ranks = {len(constants[node.input[1]].dims) for node in graph.node if _has_weights(node, constants)} & {3, 4, 5}
    for place, node in reversed(list(enumerate(graph.node))):
        if node.op_type != "ReduceMean":
            continue
        if len(node.input) > 1:
            axes = array(constants[node.input[1]]).tolist() if node.input[1] in constants else []
        else:
            axes = attribute(node, "axes", [])
        rank = len(infos[node.input[0]].type.tensor_type.shape.dim) if node.input[0] in infos else 0
        if rank not in ranks or sorted(axis % rank for axis in axes) != list(range(2, rank)):
            continue
        name, keeps = node.output[0], attribute(node, "keepdims", 1)
        pooled = name if keeps else f"{name}{POOLED}"
        graph.node.remove(node)
        graph.node.insert(place, helper.make_node("GlobalAveragePool", [node.input[0]], [pooled]))
        if not keeps:
            graph.node.insert(place + 1, helper.make_node("Flatten", [pooled], [name]))
            graph.value_info.add().CopyFrom(infos[node.input[0]])
            graph.value_info[-1].name = pooled
            for size in graph.value_info[-1].type.tensor_type.shape.dim[2:]:
                size.dim_value = 1


def _has_weights(node: Any, constants: dict[str, Any]) -> bool:
    return node.op_type == "Conv" and node.input[1] in constants


def _new(graph: Any, name: str, values: NDArray[np.generic]) -> str:
    put(graph, name, values)
    return name


def _copy(graph: Any, tensor: Any, name: str) -> str:
    if name not in initializers(graph):
        added = graph.initializer.add()
        added.CopyFrom(tensor)
        added.name = name
    return name


def _use(node: Any, place: int) -> str:
    """Return a word that is equal for two readers that can share one quantized copy of a constant."""
    transposed = attribute(node, "transB", 0) if node.op_type == "Gemm" else 0
    return f"{node.op_type.lower()}{place}{transposed}"


def _is_float(tensor: Any) -> bool:
    return int(tensor.data_type) in (1, 10)
