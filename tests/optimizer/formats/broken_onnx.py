"""ONNX files as no exporter should write them; each function returns the bytes of one kind of damage or malice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.optimizer.builders import an_onnx_mlp


def a_model(
    nodes: list[Any],
    *,
    shape: tuple[int | str, ...] = ("batch", 4),
    outputs: tuple[tuple[str, list[int | str] | None], ...] = (("y", None),),
    constants: dict[str, Any] | None = None,
    opset: int = 18,
    ir: int = 10,
    domains: tuple[str, ...] = (),
) -> bytes:
    """Return the unchecked bytes of a graph with one float input ``x``."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes) for name, sizes in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    proto: Any = helper.make_model(graph, opset_imports=imports, ir_version=ir)
    return bytes(proto.SerializeToString())


def truncated() -> bytes:
    whole = an_onnx_mlp().content
    return whole[: len(whole) * 2 // 3]


def cycle() -> bytes:
    return a_model(
        [
            helper.make_node("Add", ["x", "b"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Relu", ["b"], ["y"]),
        ],
        outputs=(("y", ["batch", 4]),),
    )


def unsorted() -> bytes:
    """Return a model that is right but for the order of its operations."""
    entries = [helper.make_node("Tanh", ["a"], ["y"]), helper.make_node("Relu", ["x"], ["a"])]
    return a_model(entries, outputs=(("y", ["batch", 4]),))


def unknown_operator() -> bytes:
    return a_model([helper.make_node("Frobnicate", ["x"], ["y"])], outputs=(("y", ["batch", 4]),))


def custom_domain() -> bytes:
    node = helper.make_node("Sparkle", ["x"], ["y"], domain="com.example")
    return a_model([node], outputs=(("y", ["batch", 4]),), domains=("com.example",))


def unknown_microsoft_operator() -> bytes:
    node = helper.make_node("Nonesuch", ["x"], ["y"], domain="com.microsoft")
    return a_model([node], outputs=(("y", ["batch", 4]),), domains=("com.microsoft",))


def two_gigabyte_claim() -> bytes:
    proto = onnx.load_model_from_string(an_onnx_mlp().content)
    proto.graph.initializer[0].dims[:] = [2**15, 2**14]
    return bytes(proto.SerializeToString())


def negative_size() -> bytes:
    proto = onnx.load_model_from_string(an_onnx_mlp().content)
    proto.graph.initializer[0].dims[:] = [-12, -16]
    return bytes(proto.SerializeToString())


def huge_input() -> bytes:
    return a_model(
        [helper.make_node("Relu", ["x"], ["y"])],
        shape=("batch", 2**20, 2**20),
        outputs=(("y", ["batch", 2**20, 2**20]),),
    )


def huge_constant(rows: int = 2**20) -> bytes:
    return a_model(
        [
            helper.make_node("ConstantOfShape", ["size"], ["ones"]),
            helper.make_node("ReduceSum", ["ones"], ["sum"], keepdims=0),
            helper.make_node("Add", ["x", "sum"], ["y"]),
        ],
        outputs=(("y", ["batch", 4]),),
        constants={"size": np.array([rows, 2**12 if rows < 2**20 else 2**22], np.int64)},
    )


def huge_expand() -> bytes:
    return a_model(
        [
            helper.make_node("Expand", ["one", "size"], ["ones"]),
            helper.make_node("ReduceSum", ["ones"], ["sum"], keepdims=0),
            helper.make_node("Add", ["x", "sum"], ["y"]),
        ],
        outputs=(("y", ["batch", 4]),),
        constants={"size": np.array([2**20, 2**22], np.int64), "one": np.ones((1, 1), np.float32)},
    )


def huge_expand_of_input() -> bytes:
    return a_model(
        [
            helper.make_node("Expand", ["x", "size"], ["ones"]),
            helper.make_node("ReduceSum", ["ones", "axis"], ["y"], keepdims=0),
        ],
        outputs=(("y", ["a", 4]),),
        constants={"size": np.array([2**22, 2**20, 1, 4], np.int64), "axis": np.array([0, 1], np.int64)},
    )


def endless_loop() -> bytes:
    """Return a model that counts to 2^62 before it answers."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["sum_in", "one"], ["sum_out"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum_in", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum_out", TensorProto.FLOAT, []),
        ],
    )
    return a_model(
        [
            helper.make_node("Loop", ["count", "yes", "zero"], ["sum"], body=body),
            helper.make_node("Add", ["x", "sum"], ["y"]),
        ],
        outputs=(("y", ["batch", 4]),),
        constants={
            "count": np.array(2**62, np.int64),
            "yes": np.array(True),
            "zero": np.array(0, np.float32),
            "one": np.array(1, np.float32),
        },
    )


def free_sizes() -> bytes:
    return a_model(
        [helper.make_node("Relu", ["x"], ["y"])],
        shape=("batch", 3, "height", "width"),
        outputs=(("y", ["batch", 3, "height", "width"]),),
    )


def data_dependent_output() -> bytes:
    return a_model(
        [helper.make_node("NonZero", ["x"], ["n"]), helper.make_node("Cast", ["n"], ["y"], to=1)],
        outputs=(("y", [2, "found"]),),
    )


def duplicate_names() -> bytes:
    return a_model(
        [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Tanh", ["x"], ["y"])],
        outputs=(("y", ["batch", 4]),),
    )


def empty_graph() -> bytes:
    return a_model([], outputs=(("x", ["batch", 4]),))


def no_graph() -> bytes:
    return bytes(onnx.ModelProto(ir_version=10, opset_import=[helper.make_opsetid("", 18)]).SerializeToString())


def newer_ir() -> bytes:
    return a_model([helper.make_node("Relu", ["x"], ["y"])], outputs=(("y", ["batch", 4]),), ir=99)


def newer_opset() -> bytes:
    return a_model([helper.make_node("Relu", ["x"], ["y"])], outputs=(("y", ["batch", 4]),), opset=999)


def deep_ifs(depth: int = 200) -> bytes:
    """Return branches within branches, encoded by hand: protobuf itself neither writes nor reads so many."""
    entry = helper.make_node("Identity", ["x"], ["out"]).SerializeToString()
    result = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 4]).SerializeToString()
    leaf = _part(1, entry) + _part(2, b"leaf") + _part(12, result)
    kind = b"\xa0\x01\x05"  # AttributeProto.type is GRAPH
    for _ in range(depth):
        graph = _part(1, entry) + _part(2, b"branch") + _part(12, result)
        branches = [
            _part(1, name) + _part(6, one) + kind for name, one in ((b"then_branch", graph), (b"else_branch", leaf))
        ]
        entry = _part(1, b"yes") + _part(2, b"out") + _part(4, b"If") + b"".join(_part(5, one) for one in branches)
    shell = a_model([], outputs=(("out", ["batch", 4]),), constants={"yes": np.array(True)})
    return shell + _part(7, _part(1, entry))


def _part(number: int, content: bytes) -> bytes:
    """Return a field of a protobuf message that holds bytes."""
    length, rest = b"", len(content)
    while rest > 127:
        length, rest = length + bytes([rest & 127 | 128]), rest >> 7
    return bytes([number << 3 | 2]) + length + bytes([rest]) + content


def a_name_that_is_no_text() -> bytes:
    return an_onnx_mlp().content.replace(b"Relu", b"\xff\xfe\xfd\xfc")


def weights_elsewhere() -> bytes:
    proto = onnx.load_model_from_string(an_onnx_mlp().content)
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../secret.bin")
    return bytes(proto.SerializeToString())


def wrong_shapes() -> bytes:
    """Return a product of matrices that do not fit."""
    return a_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        outputs=(("y", ["batch", 4]),),
        constants={"w": np.ones((7, 4), np.float32)},
    )


def double_precision() -> bytes:
    proto = onnx.load_model_from_string(an_onnx_mlp().content)
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    return bytes(proto.SerializeToString())


BROKEN: Final[dict[str, tuple[Callable[[], bytes], str]]] = {
    "truncated": (truncated, "cut short"),
    "cycle": (cycle, r"in a circle, .*a <- |in a circle, .*b <- "),
    "unknown operator": (unknown_operator, r"operator 'Frobnicate' \(it gives 'y'\) is known neither"),
    "custom domain": (custom_domain, "operator 'Sparkle' of domain 'com.example'"),
    "unknown operator of the runtime": (unknown_microsoft_operator, "Nonesuch"),
    "2 GB claim": (two_gigabyte_claim, "'w1' claims 536,870,912 values"),
    "negative size": (negative_size, r"'w1' claims the shape \(-12, -16\)"),
    "huge input": (huge_input, "'x' claims shape"),
    "huge constant": (huge_constant, "memory"),
    "huge expand": (huge_expand, "memory"),
    "huge expand of the input": (huge_expand_of_input, "memory"),
    "free sizes": (free_sizes, r"--shape x=1,3,320,320"),
    "data-dependent output": (data_dependent_output, "depends on the data"),
    "duplicate names": (duplicate_names, "single static assignment"),
    "empty graph": (empty_graph, "holds no operation"),
    "no graph": (no_graph, "holds no operation"),
    "newer IR": (newer_ir, "ONNX IR 99"),
    "newer operator set": (newer_opset, "operator set 999"),
    "deep branches": (deep_ifs, "nested deeper"),
    "a name that is no text": (a_name_that_is_no_text, "UTF-8"),
    "weights elsewhere": (weights_elsewhere, "outside of the model's folder"),
    "shapes that do not fit": (wrong_shapes, "ONNX"),
    "double precision": (double_precision, "'row' has an element type"),
}

SEEN_BY_RUNNING: Final = {
    "unknown operator of the runtime",
    "huge constant",
    "huge expand",
    "huge expand of the input",
    "shapes that do not fit",
    "data-dependent output",
    "weights elsewhere",
    "cycle",
}
"""The rest is seen before any runtime has the file; the last two where the file's folder is known."""
