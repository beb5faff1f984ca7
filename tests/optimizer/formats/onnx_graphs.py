"""Small ONNX graphs built with onnx alone, for the emitter's tests."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from optimizer.formats.tflite_emitter import check_equal, emit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter import Emitted

Shape = tuple[int, ...]


def node(op: str, inputs: str, output: str, **attributes: Any) -> Any:
    """Return one ONNX node; input names are given as words in a string."""
    from onnx import helper

    return helper.make_node(op, inputs.split(), [output], name=f"{op.lower()}-{output}", **attributes)


def graph(
    *nodes: Any,
    inputs: dict[str, Shape],
    constants: dict[str, NDArray[Any]] | None = None,
    outputs: str = "y",
    opset: int = 18,
    free_batch: bool = True,
) -> bytes:
    """Return the file of a graph with float inputs whose batch is free."""
    from onnx import TensorProto, checker, helper, numpy_helper, shape_inference

    given = [
        helper.make_tensor_value_info(
            name, TensorProto.FLOAT, ["batch" if free_batch and not place else size for place, size in enumerate(shape)]
        )
        for name, shape in inputs.items()
    ]
    model = helper.make_model(
        helper.make_graph(
            list(nodes),
            "graph",
            given,
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs.split()],
            [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=10,
    )
    model = shape_inference.infer_shapes(model)
    checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def weights(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Return seeded normal float32 numbers."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def numbers(*values: int) -> NDArray[np.int64]:
    """Return an int64 constant."""
    return np.asarray(values, dtype=np.int64)


def emitted(content: bytes) -> Emitted:
    """Return the emitted file after it was run beside the original; raises where they differ."""
    result = emit(content)
    check_equal(content, result)
    return result


def operators(result: Emitted) -> Counter[str]:
    """Count the file's operators by name, in the file as it is written (no delegate)."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=result.content, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    return Counter(details["op_name"] for details in interpreter._get_ops_details())
