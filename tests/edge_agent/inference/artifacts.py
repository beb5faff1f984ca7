"""Artifacts with something particular about them, for the tests of serving."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from contracts.artifact import MODEL_MEMBER, Artifact, read_artifact
from contracts.manifest import Golden
from contracts.preprocessing import Step, StepKind
from contracts.sketch import OutputReference, SketchPlan
from contracts.tensors import ElementType, Quantization, TensorSpec
from edge_agent.inference.served_model import ServedModel
from tests.builders import TinyModel, a_tiny_onnx_artifact

SCALE = 0.5
ZERO_POINT = 3


def a_served_model(tiny: TinyModel | None = None, *, version: str = "1.0.0") -> ServedModel:
    """Return a tiny model, open."""
    return ServedModel.open(read_artifact(a_tiny_onnx_artifact(tiny, version=version)))


def a_quantized_image_artifact() -> Artifact:
    """Return an artifact that serves float images (n, 2, 3, 3) from an int8 file that takes (n, 3, 3, 2).

    The served answer is what came in, times 2 on channel 0 and 4 on channel 1, to the nearest half between -65.5
    and 62, channel last.
    """
    base = read_artifact(a_tiny_onnx_artifact())
    rows = np.full((1, 2, 3, 3), 1.0, dtype=np.float32)
    answer = np.broadcast_to(np.array([2.0, 4.0], dtype=np.float32), (1, 3, 3, 2))
    stored = TensorSpec(
        name="q",
        element=ElementType.INT8,
        shape=(-1, 3, 3, 2),
        quantization=Quantization(scale=SCALE, zero_point=ZERO_POINT),
    )
    manifest = replace(
        base.manifest,
        inputs=(TensorSpec(name="image", element=ElementType.FP32, shape=(-1, 2, 3, 3)),),
        outputs=(TensorSpec(name="same", element=ElementType.FP32, shape=(-1, 3, 3, 2)),),
        model_inputs=(stored,),
        model_outputs=(replace(stored, name="r"),),
        preprocessing=(
            Step(kind=StepKind.SCALE, tensor="image", factor=(2.0, 4.0), offset=(0.0,)),
            Step(kind=StepKind.CHANNEL_LAST, tensor="image"),
        ),
        golden=Golden(rows=1, tolerance=0.0),
        sketch_plan=SketchPlan(features=(), output=OutputReference(class_counts=(), confidence_counts=())),
    )
    members = {
        MODEL_MEMBER: one_operator(ElementType.INT8, (3, 3, 2), operator="Identity"),
        "golden/input/0": rows.tobytes(),
        "golden/output/0": answer.tobytes(),
    }
    return Artifact(manifest=manifest, members=members)


def an_echo_artifact(element: ElementType, *, operator: str = "Identity", golden: float = 1.0) -> Artifact:
    """Return an artifact of one operator over three elements of the type; the golden input is all ``golden``."""
    from contracts.preprocessing import DTYPES

    base = read_artifact(a_tiny_onnx_artifact(model="echo"))
    q = TensorSpec(name="q", element=element, shape=(-1, 3))
    row: NDArray[np.generic] = np.full((1, 3), golden).astype(DTYPES[element])
    manifest = replace(
        base.manifest,
        inputs=(replace(q, name="x"),),
        outputs=(replace(q, name="y"),),
        model_inputs=(q,),
        model_outputs=(replace(q, name="r"),),
        golden=Golden(rows=1, tolerance=0.0),
        sketch_plan=SketchPlan(features=(), output=OutputReference(class_counts=(), confidence_counts=())),
    )
    members = {
        MODEL_MEMBER: one_operator(element, (3,), operator=operator),
        "golden/input/0": row.tobytes(),
        "golden/output/0": row.tobytes(),
    }
    return Artifact(manifest=manifest, members=members)


def one_operator(element: ElementType, shape: tuple[int, ...], *, operator: str) -> bytes:
    """Return an ONNX file of one operator from ``q`` to ``r``."""
    from onnx import TensorProto, helper

    codes = {
        ElementType.FP32: TensorProto.FLOAT,
        ElementType.FP16: TensorProto.FLOAT16,
        ElementType.INT8: TensorProto.INT8,
        ElementType.UINT8: TensorProto.UINT8,
        ElementType.INT32: TensorProto.INT32,
        ElementType.INT64: TensorProto.INT64,
        ElementType.BOOL: TensorProto.BOOL,
    }
    graph = helper.make_graph(
        [helper.make_node(operator, ["q"], ["r"])],
        "one",
        [helper.make_tensor_value_info("q", codes[element], ["n", *shape])],
        [helper.make_tensor_value_info("r", codes[element], ["n", *shape])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
