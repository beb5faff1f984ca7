"""Small nets of few channels, and random ones, written operation by operation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from tests.optimizer.formats.onnx_graphs import Shape, graph, node, numbers, weights
from tests.optimizer.passes.seeing import model_of, proto_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.model import Model

IMAGE: dict[str, Shape] = {"x": (1, 3, 8, 8)}
KINDS = ("conv", "depthwise", "norm", "relu6", "hardswish", "silu", "prelu", "scale", "shift", "pool", "border")
JOINS = ("residual", "dense", "squeeze")
HEADS = ("pooled", "flattened", "reshaped", "mean", "image")


class Net:
    """A net as it is written, one operation after another; the tensor given last is read next."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.tensor, self.channels, self.side = "x", 3, 8
        self._seed = seed

    def add(self, operator: str, more: str = "", **attributes: Any) -> str:
        """Write one operation on the last tensor, and return the name of what it gives."""
        name = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(node(operator, f"{self.tensor} {more}", name, **attributes))
        self.tensor = name
        return name

    def constant(self, *shape: int, values: NDArray[Any] | None = None) -> str:
        """Write a constant, seeded where no values are given, and return its name."""
        name = f"k{len(self.constants)}"
        seeded = weights(*shape, seed=self._seed + len(self.constants)) / max(1.0, np.prod(shape[1:]) ** 0.5)
        self.constants[name] = seeded.astype(np.float32) if values is None else values
        return name

    def conv(self, channels: int, *, kernel: int = 3) -> None:
        """Write a convolution with a bias that keeps the image's size."""
        weight, bias = self.constant(channels, self.channels, kernel, kernel), self.constant(channels)
        self.add("Conv", f"{weight} {bias}", pads=[kernel // 2] * 4)
        self.channels = channels

    def depthwise(self) -> None:
        """Write a depthwise convolution without bias."""
        self.add("Conv", self.constant(self.channels, 1, 3, 3), pads=[1] * 4, group=self.channels)

    def norm(self) -> None:
        """Write a batch normalization."""
        scale, shift, mean = (self.constant(self.channels) for _ in range(3))
        variance = self.constant(values=np.abs(weights(self.channels, seed=self._seed)) + np.float32(0.5))
        self.add("BatchNormalization", f"{scale} {shift} {mean} {variance}")

    def write(self, kind: str, channels: int) -> None:
        """Write one of ``KINDS`` or ``JOINS``."""
        getattr(self, f"_{kind}", getattr(self, kind, lambda *_: None))(*([channels] if kind == "conv" else []))

    def end(self, head: str) -> Model:
        """Write one of ``HEADS`` and return the model."""
        if head in ("pooled", "mean"):
            operator = "GlobalAveragePool" if head == "pooled" else "ReduceMean"
            self.add(operator, self.constant(values=numbers(2, 3)) if head == "mean" else "")
            self.side = 1
        length = self.channels * self.side**2
        if head == "reshaped":
            self.add("Reshape", self.constant(values=numbers(-1, length)))
        elif head != "image":
            self.add("Flatten")
        if head != "image":
            self.add("Gemm", self.constant(5, length), transB=1)
        self.nodes[-1].output[0] = "y"
        return model_of(graph(*self.nodes, inputs=IMAGE, constants=self.constants))

    def _relu6(self) -> None:
        bounds = [self.constant(values=np.array(value, np.float32)) for value in (0, 6)]
        self.add("Clip", " ".join(bounds))

    def _hardswish(self) -> None:
        self.add("HardSwish")

    def _silu(self) -> None:
        before = self.tensor
        self.add("Sigmoid")
        self.add("Mul", before)

    def _prelu(self) -> None:
        self.add("PRelu", self.constant(self.channels, 1, 1))

    def _scale(self) -> None:
        self.add("Mul", self.constant(1, self.channels, 1, 1))

    def _shift(self) -> None:
        self.add("Add", self.constant(1))

    def _pool(self) -> None:
        self.add("AveragePool", kernel_shape=[3, 3], pads=[1] * 4)

    def _border(self) -> None:
        self.add("Pad", self.constant(values=numbers(0, 0, 1, 0, 0, 0, 0, 0)))
        self.add("MaxPool", kernel_shape=[2, 1])

    def _residual(self) -> None:
        before = self.tensor
        self.conv(self.channels)
        self.add("Add", before)

    def _dense(self) -> None:
        before, channels = self.tensor, self.channels
        self.conv(5)
        self.add("Concat", before, axis=1)
        self.channels += channels

    def _squeeze(self) -> None:
        before, channels = self.tensor, self.channels
        self.add("GlobalAveragePool")
        self.conv(2, kernel=1)
        self.conv(channels, kernel=1)
        self.add("Sigmoid")
        self.add("Mul", before)


@st.composite
def nets(draw: st.DrawFn) -> Model:
    """Draw a net of a convolution, up to six operations or joins, and a head."""
    net = Net(draw(st.integers(0, 1000)))
    net.conv(draw(st.integers(1, 12)))
    for kind in draw(st.lists(st.sampled_from((*KINDS, *JOINS)), max_size=6)):
        net.write(kind, draw(st.integers(1, 12)))
    return net.end(draw(st.sampled_from(HEADS)))


def a_narrow_net() -> Model:
    """Return a stem of 6 channels, a depthwise convolution and a pointwise one of 20: image to 5 scores."""
    net = Net()
    net.conv(6)
    net.norm()
    net.depthwise()
    net.write("relu6", 0)
    net.conv(20, kernel=1)
    return net.end("pooled")


def widths(model: Model) -> list[tuple[int, ...]]:
    """Return the outputs and the inputs of a group of each convolution, and the shape of each dense layer."""
    sizes = {item.name: tuple(item.dims)[:2] for item in proto_of(model).graph.initializer}
    return [sizes[one.input[1]] for one in proto_of(model).graph.node if one.op_type in ("Conv", "Gemm")]


def tensors(model: Model) -> list[str]:
    """Return the name of each tensor that an operation gives, in the file's order."""
    return [name for one in proto_of(model).graph.node for name in one.output]
