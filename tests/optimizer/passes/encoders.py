"""Small seeded transformer encoders, built with onnx alone, whose activations have outliers as trained ones do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from optimizer.model import Format, Model

TOKENS, WIDTH, HEADS, WORDS = 6, 16, 2, 80


class _Layers:
    """A graph as it grows: each method adds operations and returns the tensor that they give."""

    def __init__(self, seed: int) -> None:
        self._chance = np.random.default_rng(seed)
        self.operations: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any, kind: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype=kind), name))
        return name

    def weights(self, *shape: int) -> str:
        return self.constant(self._chance.normal(size=shape) / np.sqrt(shape[0]))

    def add(self, kind: str, *inputs: str, name: str = "", outputs: int = 1, **attributes: Any) -> str:
        name = name or f"{kind.lower()}{len(self.operations)}"
        given = [name, *(f"{name}.{place}" for place in range(1, outputs))]
        self.operations.append(helper.make_node(kind, list(inputs), given, **attributes))
        return name

    def dense(self, source: str, name: str, inputs: int, outputs: int) -> str:
        product = self.add("MatMul", source, self.weights(inputs, outputs), name=name)
        return self.add("Add", product, self.weights(outputs))

    def norm(self, source: str, *, whole: bool) -> str:
        scale = np.ones(WIDTH)
        scale[[3, 11]] = 30, 12
        held, shift = self.constant(scale), self.weights(WIDTH)
        if whole:
            return self.add("LayerNormalization", source, held, shift, axis=-1, epsilon=1e-5)
        last = self.constant([-1], np.int64)
        centred = self.add("Sub", source, self.add("ReduceMean", source, last))
        squared = self.add("Pow", centred, self.constant(2.0))
        variance = self.add("Add", self.add("ReduceMean", squared, last), self.constant(1e-5))
        unit = self.add("Div", centred, self.add("Sqrt", variance))
        return self.add("Add", self.add("Mul", unit, held), shift)

    def gelu(self, source: str) -> str:
        erf = self.add("Erf", self.add("Div", source, self.constant(np.sqrt(2))))
        half = self.add("Mul", self.constant(0.5), self.add("Add", erf, self.constant(1.0)))
        return self.add("Mul", source, half)

    def heads(self, source: str) -> str:
        shape = self.constant([-1, TOKENS, HEADS, WIDTH // HEADS], np.int64)
        return self.add("Transpose", self.add("Reshape", source, shape), perm=[0, 2, 1, 3])

    def attention(self, source: str, place: int, *, joint: bool) -> str:
        if joint:
            three = self.dense(source, f"qkv{place}", WIDTH, 3 * WIDTH)
            query = self.add("Split", three, outputs=3, axis=-1, num_outputs=3)
            parts = [query, f"{query}.1", f"{query}.2"]
        else:
            parts = [self.dense(source, f"{word}{place}", WIDTH, WIDTH) for word in ("query", "key", "value")]
        query, key, value = (self.heads(part) for part in parts)
        scores = self.add("MatMul", query, self.add("Transpose", key, perm=[0, 1, 3, 2]))
        weights = self.add("Softmax", self.add("Mul", scores, self.constant(0.35)), axis=-1)
        mixed = self.add("Transpose", self.add("MatMul", weights, value), perm=[0, 2, 1, 3])
        whole = self.add("Reshape", mixed, self.constant([-1, TOKENS, WIDTH], np.int64))
        return self.dense(whole, f"joined{place}", WIDTH, WIDTH)


def an_encoder(
    *, norm_first: bool = False, whole_norm: bool = True, joint: bool = False, rectified: bool = False, seed: int = 3
) -> Model:
    """Return an encoder of two layers: ids (n, TOKENS) to states (n, TOKENS, WIDTH).

    Args:
        norm_first: normalizes before attention and feed-forward part, else after the residual sum.
        whole_norm: normalizes by one operator, else by its nine parts.
        joint: one dense layer gives query, key and value.
        rectified: ReLU in the feed-forward parts, else GELU as torch exports it.
        seed: of the weights.
    """
    layers = _Layers(seed)
    state = layers.add("Gather", layers.weights(WORDS, WIDTH), "ids", axis=0)
    for place in range(2):
        if not norm_first and place == 0:
            state = layers.norm(state, whole=whole_norm)
        source = layers.norm(state, whole=whole_norm) if norm_first else state
        state = layers.add("Add", layers.attention(source, place, joint=joint), state)
        state = state if norm_first else layers.norm(state, whole=whole_norm)
        source = layers.norm(state, whole=whole_norm) if norm_first else state
        wide = layers.dense(source, f"up{place}", WIDTH, 4 * WIDTH)
        active = layers.add("Relu", wide) if rectified else layers.gelu(wide)
        state = layers.add("Add", layers.dense(active, f"down{place}", 4 * WIDTH, WIDTH), state)
        state = state if norm_first else layers.norm(state, whole=whole_norm)
    layers.add("Identity", state, name="states")
    return a_model(layers.operations, layers.constants, ids=[TOKENS], states=[TOKENS, WIDTH])


def a_model(operations: list[Any], constants: list[Any], *, opset: int = 18, **tensors: list[int]) -> Model:
    """Return the model of these operations: the first tensor goes in (``ids`` as int64), the second comes out."""
    (given, taken), (name, made) = tensors.items()
    kind = TensorProto.INT64 if given == "ids" else TensorProto.FLOAT
    graph = helper.make_graph(
        operations,
        "encoder",
        [helper.make_tensor_value_info(given, kind, ["batch", *taken])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *made])],
        constants,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return Model.from_bytes(Format.ONNX, proto.SerializeToString(deterministic=True), name="encoder")


def ids(*, count: int = 24, seed: int = 5) -> dict[str, NDArray[np.int64]]:
    """Return seeded rows of word numbers."""
    return {"ids": np.random.default_rng(seed).integers(0, WORDS, size=(count, TOKENS))}


def kinds_as_run(model: Model, folder: Path) -> list[str]:
    """Return the operators of the graph that ONNX Runtime makes of the model."""
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.log_severity_level = 4
    chosen.optimized_model_filepath = str(folder / "run.onnx")
    onnxruntime.InferenceSession(model.content, chosen, providers=["CPUExecutionProvider"])
    return [each.op_type for each in onnx.load(folder / "run.onnx").graph.node]


def a_torch_encoder(*, norm_first: bool) -> Model:
    """Return torch's own encoder of two layers as a program: x (n, 5, 16) to the same shape."""
    import torch

    torch.manual_seed(4)
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=norm_first, dropout=0.0)
    encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return Model.from_torch(encoder, inputs={"x": (2, 5, 16)}, name="encoder")
