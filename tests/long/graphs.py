"""ONNX graphs to change: a dozen small seeds of every family, and one to three changes drawn by a number."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

_OPSET = 18
# Each seed: inputs and outputs, constants by name (shape of random floats, or integers as they are), the nodes.
_SEEDS: tuple[tuple[str, dict[str, Any], str], ...] = (
    (
        "(float[N,3,9,9] x) => (float[N,5] y)",
        {"w": (8, 3, 3, 3), "b": (8,), "d": (8, 1, 3, 3), "g": (5, 8), "h": (5,)},
        """c = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w, b)  r = Relu(c)  e = Conv<group=8, pads=[1,1,1,1]>(r, d)
        s = Clip(e, lo, hi)  a = Add(s, r)  m = GlobalAveragePool(a)  f = Flatten(m)  y = Gemm<transB=1>(f, g, h)""",
    ),
    (
        "(float[1,3,8,8] x) => (float[1,4,8,8] y, float[1,4,4,4] z)",
        {"w": (4, 3, 3, 3), "t": (4, 4, 2, 2), "scale": (4,), "bias": (4,), "mean": (4,), "var": (4,)},
        """c = Conv<auto_pad="SAME_UPPER", dilations=[1,1]>(x, w)  va = Abs(var)
        n = BatchNormalization(c, scale, bias, mean, va)  k = Sigmoid(n)  l = Mul(n, k)
        z = MaxPool<kernel_shape=[2,2], strides=[2,2]>(l)  y = ConvTranspose<strides=[2,2]>(z, t)""",
    ),
    (
        "(float[1,4,6,6] x) => (float[1,6,12,12] y)",
        {"w": (2, 4, 1, 1), "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])},
        """p = Pad<mode="reflect">(x, pads)  a = AveragePool<kernel_shape=[3,3], count_include_pad=1>(p)
        u = Resize<mode="linear", coordinate_transformation_mode="half_pixel">(a, , scales)
        v = Conv(a, w)  q = Resize<mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric">
        (v, , scales)  y = Concat<axis=1>(u, q)""",
    ),
    (
        "(float[N,6,16] x) => (float[N,4] y)",
        {"w": (8, 6, 3), "v": (8, 8, 3), "m": (8, 4), "axes": np.array([2])},
        """c = Conv<pads=[2,0]>(x, w)  r = LeakyRelu<alpha=0.2>(c)  d = Conv<dilations=[2], pads=[4,0]>(r, v)
        t = Tanh(d)  a = Add(t, r)  e = ReduceMean<keepdims=0>(a, axes)  y = MatMul(e, m)""",
    ),
    (
        "(float[N,5,8] x) => (float[N,5,8] y)",
        {
            "q": (8, 8),
            "k": (8, 8),
            "v": (8, 8),
            "o": (8, 8),
            "s": (8,),
            "b": (8,),
            "up": (8, 16),
            "down": (16, 8),
            "heads": np.array([0, 5, 2, 4]),
            "joined": np.array([0, 5, 8]),
            "root": np.array(0.5, dtype=np.float32),
        },
        """l = LayerNormalization<axis=-1>(x, s, b)  qx = MatMul(l, q)  kx = MatMul(l, k)  vx = MatMul(l, v)
        qr = Reshape(qx, heads)  kr = Reshape(kx, heads)  vr = Reshape(vx, heads)
        qt = Transpose<perm=[0,2,1,3]>(qr)  kt = Transpose<perm=[0,2,3,1]>(kr)  vt = Transpose<perm=[0,2,1,3]>(vr)
        sc = MatMul(qt, kt)  ss = Mul(sc, root)  p = Softmax<axis=-1>(ss)  at = MatMul(p, vt)
        tt = Transpose<perm=[0,2,1,3]>(at)  jr = Reshape(tt, joined)  jo = MatMul(jr, o)  a = Add(x, jo)
        u = MatMul(a, up)  ge = Gelu(u)  d = MatMul(ge, down)  y = Add(a, d)""",
    ),
    (
        "(int64[N,6] ids, int64[N,6] mask) => (float[N,4] y)",
        {"table": (20, 4), "axes": np.array([1, 2]), "one": np.array([1])},
        """e = Gather(table, ids)  m = Cast<to=1>(mask)  u = Unsqueeze(m, last)  w = Mul(e, u)
        s = ReduceSum<keepdims=0>(w, one)  n = ReduceSum<keepdims=1>(m, one)  y = Div(s, n)""",
    ),
    (
        "(float[1,7,4] x) => (float[1,6] y)",
        {"w": (1, 24, 4), "r": (1, 24, 6), "b": (1, 48)},
        """t = Transpose<perm=[1,0,2]>(x)  seq, last, cell = LSTM<hidden_size=6>(t, w, r, b)
        q = Squeeze(seq, one)  y = Gather<axis=0>(q, end)""",
    ),
    (
        "(float[1,5,4] x) => (float[1,5,6] y, float[1,1,6] z)",
        {"w": (2, 18, 4), "r": (2, 18, 6), "b": (2, 36), "v": (1, 6, 12), "u": (1, 6, 6), "axes": np.array([0])},
        """t = Transpose<perm=[1,0,2]>(x)  s, l = GRU<hidden_size=6, linear_before_reset=1, direction="bidirectional">
        (t, w, r, b)  p = Transpose<perm=[0,2,1,3]>(s)  k = Reshape(p, flat)
        g, z = RNN<hidden_size=6>(k, v, u)  q = Squeeze(g, one)  y = Transpose<perm=[1,0,2]>(q)""",
    ),
    (
        "(float[2,3,4] x, float[3,1] c) => (float[2,3,4] y, int64[2,3] i, bool[2,3,4] f)",
        {"half": np.array(0.5, dtype=np.float32), "two": np.array([2.0], dtype=np.float32)},
        """a = Sub(x, c)  b = Mul(a, a)  d = Pow(b, half)  e = Max(d, c, x)  g = Greater(x, c)  n = Not(g)
        w = Where(n, e, d)  f = And(g, n)  i = ArgMax<axis=-1, keepdims=0>(w)  h = Sigmoid(w)  l = Log(h)
        y = Div(l, two)""",
    ),
    (
        "(float[2,6,4] x) => (float[2,3,8] y, float[3,2,6] z)",
        {
            "starts": np.array([1, 0]),
            "ends": np.array([6, -1]),
            "axes": np.array([1, 2]),
            "steps": np.array([2, 1]),
            "cut": np.array([2, 1]),
            "reps": np.array([1, 1, 2]),
            "shape": np.array([2, 3, -1]),
        },
        """s = Slice(x, starts, ends, axes, steps)  p, q = Split<axis=2>(s, cut)  t = Tile(q, reps)
        j = Concat<axis=-1>(p, t)  m = Concat<axis=2>(j, j)  y = Reshape(m, shape)  o = Reshape(s, shape)
        k = Concat<axis=2>(o, s)  z = Transpose<perm=[1,0,2]>(k)""",
    ),
    (
        "(float[1,8,4,4] x) => (float[1,2,8,8] y, float[1,8,4,4] z)",
        {"scale": (8,), "bias": (8,), "slope": (8, 1, 1)},
        """d = DepthToSpace<blocksize=2, mode="CRD">(x)  e = HardSwish(d)  y = Softplus(e)
        i = InstanceNormalization(x, scale, bias)  p = PRelu(i, slope)  l = LRN<size=3>(p)
        h = HardSigmoid(l)  z = Mul(h, x)""",
    ),
    (
        "(float[1,3,4,4] x) => (float[1,4] y, int64[1,2] i)",
        {"w": (2, 3, 3, 3), "k": np.array([2]), "axes": np.array([2, 3]), "shape": np.array([1, -1]), "v": (32, 4)},
        """c = Conv<pads=[1,1,1,1]>(x, w)  t = Transpose<perm=[0,2,3,1]>(c)  f = Reshape(t, shape)  m = MatMul(f, v)
        y = Softmax(m)  top, i = TopK<axis=-1>(y, k)""",
    ),
)
_SHARED = {
    "lo": np.array(0.0, dtype=np.float32), "hi": np.array(6.0, dtype=np.float32), "last": np.array([2]),
    "one": np.array([1]), "end": np.array(-1), "flat": np.array([5, 1, 12]),
    "scales": np.array([1, 1, 2, 2], dtype=np.float32),
}  # fmt: skip
_NUMBERS = (-(2**31), -7, -3, -2, -1, 0, 1, 2, 3, 4, 5, 7, 16, 255, 2**31 - 1, 2**40)
_SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 16)
_ELEMENTS = (1, 1, 2, 3, 5, 6, 7, 7, 9, 10, 11, 13, 8, 16)


@cache
def seeds() -> tuple[bytes, ...]:
    """Return the seeds, each of which ONNX Runtime accepts."""
    return tuple(_seed(place) for place in range(len(_SEEDS)))


def _seed(place: int) -> bytes:
    outside, constants, nodes = _SEEDS[place]
    chance = np.random.default_rng(place)
    opset = 20 if "Gelu" in nodes else _OPSET
    lines = "\n".join(line.strip() for line in nodes.replace("\n        (", " (").replace("  ", "\n").splitlines())
    model = parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}]> g {outside} {{ {lines} }}')
    used = {name for node in model.graph.node for name in node.input}
    for name, given in {**_SHARED, **constants}.items():
        if name in used:
            array = chance.standard_normal(given, dtype=np.float32) * 0.5 if isinstance(given, tuple) else given
            model.graph.initializer.append(numpy_helper.from_array(array, name))
    content: bytes = model.SerializeToString()
    return content


def changed(number: int) -> bytes:
    """Return a seed with one to three changes, all drawn by the number."""
    chance = random.Random(number)
    model = onnx.load_from_string(chance.choice(seeds()))
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3))):
        chance.choice(_CHANGES)(model, chance)
    content: bytes = model.SerializeToString()
    return content


def _attribute(model: onnx.ModelProto, chance: random.Random) -> None:
    """Change, add or take away an attribute of a node."""
    node = chance.choice(model.graph.node)
    if not node.attribute or chance.random() < 0.25:
        name = chance.choice(("axis", "keepdims", "perm", "to", "group", "alpha", "auto_pad", "ceil_mode", "direction"))
        node.attribute.append(
            helper.make_attribute(name, chance.choice((0, 1, -1, 7, 0.5, [1, 0], "reverse", "VALID")))
        )
        return
    entry = chance.choice(node.attribute)
    if chance.random() < 0.15:
        node.attribute.remove(entry)
    elif entry.ints:
        numbers = list(entry.ints)
        if chance.random() < 0.3:
            numbers = chance.choice((numbers[1:], [*numbers, 1], numbers[::-1], []))
        else:
            numbers[chance.randrange(len(numbers))] = chance.choice(_NUMBERS)
        entry.ints[:] = numbers
    elif entry.type == onnx.AttributeProto.INT:
        entry.i = chance.choice(_NUMBERS)
    elif entry.type == onnx.AttributeProto.FLOAT:
        entry.f = chance.choice((0.0, -1.0, 1e-30, 1e30, float("nan"), float("inf"), 0.5))
    else:
        words = (
            b"",
            b"SAME_LOWER",
            b"VALID",
            b"edge",
            b"wrap",
            b"cubic",
            b"align_corners",
            b"DCR",
            b"reverse",
            b"nonsense",
        )
        entry.s = chance.choice(words)


def _shape(model: onnx.ModelProto, chance: random.Random) -> None:
    """Change a size of an input or an output, or how many there are."""
    value = chance.choice([*model.graph.input, *model.graph.output])
    sizes = value.type.tensor_type.shape.dim
    way = chance.random()
    if not sizes or way < 0.15:
        sizes.add().dim_value = chance.choice(_SIZES)
    elif way < 0.3:
        del sizes[chance.randrange(len(sizes))]
    elif way < 0.5:
        chance.choice(sizes).dim_param = chance.choice(("N", "M", ""))
    else:
        chance.choice(sizes).dim_value = chance.choice(_SIZES)


def _element(model: onnx.ModelProto, chance: random.Random) -> None:
    """Change the element type of an input, an output or a constant."""
    if chance.random() < 0.5 and model.graph.initializer:
        tensor = chance.choice(model.graph.initializer)
        kind = chance.choice((np.float16, np.float64, np.float32, np.int32, np.int64, np.int8, np.uint8, np.bool_))
        with np.errstate(all="ignore"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(kind), tensor.name))
    else:
        chance.choice([*model.graph.input, *model.graph.output]).type.tensor_type.elem_type = chance.choice(_ELEMENTS)


def _wiring(model: onnx.ModelProto, chance: random.Random) -> None:
    """Let a node read another value, or one more, or one less."""
    node = chance.choice(model.graph.node)
    known = [name for one in model.graph.node for name in one.output]
    known += [one.name for one in (*model.graph.input, *model.graph.initializer)]
    chosen = chance.choice((*known, "", "nowhere"))
    way = chance.random()
    if not node.input or way < 0.15:
        node.input.append(chosen)
    elif way < 0.3:
        del node.input[-1]
    elif way < 0.4:
        node.input[:] = list(node.input)[::-1]
    else:
        node.input[chance.randrange(len(node.input))] = chosen


def _opset(model: onnx.ModelProto, chance: random.Random) -> None:
    """Say that it is written for another opset, or another domain."""
    model.opset_import[0].version = chance.choice((1, 6, 7, 9, 10, 11, 12, 13, 14, 16, 17, 19, 20, 21, 22, 23, 99))
    if chance.random() < 0.1:
        model.opset_import[0].domain = chance.choice(("ai.onnx", "com.microsoft", "elsewhere"))


def _constant(model: onnx.ModelProto, chance: random.Random) -> None:
    """Change the numbers or the shape of a constant, or take it away."""
    if not model.graph.initializer:
        return
    tensor = chance.choice(model.graph.initializer)
    array = numpy_helper.to_array(tensor).copy()
    way = chance.random()
    if way < 0.1:
        model.graph.initializer.remove(tensor)
        return
    if way < 0.3:
        array = array.reshape(chance.choice(((-1,), (1, *array.shape), (*array.shape, 1), array.shape[::-1])))
    elif way < 0.4:
        array = array[:0] if array.ndim else array.reshape(1)
    elif way < 0.5 and array.ndim:
        array = np.concatenate([array, array])
    elif array.size:
        odd = (0, 1, -1, 2, 50, float("nan"), float("inf")) if array.dtype.kind == "f" else _NUMBERS
        with np.errstate(all="ignore"):
            array.reshape(-1)[chance.randrange(array.size)] = np.array(chance.choice(odd)).astype(array.dtype)
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _nodes(model: onnx.ModelProto, chance: random.Random) -> None:
    """Delete a node, write it twice, move it, or rename what it gives."""
    nodes = model.graph.node
    place = chance.randrange(len(nodes))
    way = chance.random()
    if way < 0.3 and len(nodes) > 1:
        gone, kept = nodes[place], nodes[place].input[0] if nodes[place].input else ""
        for node in nodes:
            node.input[:] = [kept if name in gone.output and chance.random() < 0.9 else name for name in node.input]
        del nodes[place]
    elif way < 0.5:
        twin = onnx.NodeProto()
        twin.CopyFrom(nodes[place])
        if chance.random() < 0.7:
            twin.output[:] = [f"{name}_twin" for name in twin.output]
        nodes.insert(chance.randrange(len(nodes)), twin)
    elif way < 0.7:
        moved = nodes.pop(place)
        nodes.insert(chance.randrange(len(nodes) + 1), moved)
    else:
        nodes[place].output[0] = chance.choice(("renamed", "", nodes[0].output[0]))


def _operator(model: onnx.ModelProto, chance: random.Random) -> None:
    """Make a node another operator."""
    node = chance.choice(model.graph.node)
    others = [one.op_type for one in model.graph.node] + [
        "Relu", "Neg", "Softmax", "Transpose", "ReduceMax", "Add", "Mod", "Not", "ArgMin", "Elu", "Shape", "Flatten",
        "Squeeze", "Identity", "Round", "LogSoftmax", "CumSum", "Expand", "Range", "NonZero", "Loop", "If", "Erf",
        "ReduceL2", "Sqrt", "Sum", "Min", "BitShift", "QuantizeLinear", "GlobalMaxPool", "Trilu", "Nonsense",
    ]  # fmt: skip
    node.op_type = chance.choice(others)


_CHANGES: tuple[Callable[[onnx.ModelProto, random.Random], None], ...] = (
    _attribute, _attribute, _attribute, _shape, _element, _wiring, _wiring, _opset, _constant, _constant, _nodes,
    _operator, _operator,
)  # fmt: skip


def rows(content: bytes, number: int) -> Mapping[str, np.ndarray[Any, Any]] | None:
    """Return an input for each of the graph's, free sizes as 1; None where its type or a size is none."""
    model = onnx.load_from_string(content)
    known = {one.name for one in model.graph.initializer}
    chance = np.random.default_rng(number)
    found: dict[str, np.ndarray[Any, Any]] = {}
    for value in model.graph.input:
        if value.name in known:
            continue
        try:
            kind = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        except KeyError:
            return None
        shape = [size.dim_value if size.HasField("dim_value") else 1 for size in value.type.tensor_type.shape.dim]
        if np.dtype(kind).kind not in "fiub" or min(shape, default=1) < 1 or np.prod(shape) > 1 << 20:
            return None
        floats = chance.standard_normal(shape)
        whole = np.dtype(kind).kind in "iub"
        found[value.name] = (
            chance.integers(0, 2 if kind == np.bool_ else 6, shape).astype(kind) if whole else floats.astype(kind)
        )
    return found
