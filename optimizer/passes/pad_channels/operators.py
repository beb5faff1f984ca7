"""What each operator does to channels: who gives them, who passes them on, who takes them in.

Each rule notes what it knows and returns True, or returns False where it cannot say: the channels that such an
operation reads then stay as they are. A padded channel holds whatever the operations make of zeros; it is finite,
and who takes it in has zero weights for it. So no operator is passed that makes an infinity or a NaN of a zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from optimizer.passes.pad_channels.follow import Edit
from optimizer.passes.pad_channels.groups import Part
from optimizer.passes.static.tensors import array, attribute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from optimizer.passes.pad_channels.follow import Followed
    from optimizer.passes.pad_channels.groups import Layout

Carrier: TypeAlias = Callable[["Followed", Any], bool]

_NEUTRAL: Final = {"Add": 0.0, "Sub": 0.0, "Mul": 1.0, "Div": 1.0, "Min": 0.0, "Max": 0.0, "PRelu": 0.0}


def _convolution(followed: Followed, node: Any) -> bool:
    name, weight = node.input[0], followed.constants.get(node.input[1])
    layout, bias = followed.layouts.get(name), node.input[2] if len(node.input) > 2 else ""
    if layout is None or weight is None or (bias and bias not in followed.constants):
        return False
    groups, transposed = int(attribute(node, "group", 1)), node.op_type == "ConvTranspose"
    inputs = followed.groups.length(layout)
    if groups == 1:
        given: Layout = (followed.groups.new(weight.dims[1 if transposed else 0]),)
        followed.edits.append(Edit(node=node, place=1, axis=0 if transposed else 1, layout=layout))
        followed.edits.append(Edit(node=node, place=1, axis=1 if transposed else 0, layout=given))
    elif groups == inputs and tuple(weight.dims[:2]) == (groups, 1):
        given = layout
        followed.edits.append(Edit(node=node, place=1, axis=0, layout=given))
        followed.counted.append((node, given))
    else:
        return False
    if bias:
        followed.edits.append(Edit(node=node, place=2, axis=0, layout=given))
    followed.layouts[node.output[0]] = given
    return True


def _normalization(followed: Followed, node: Any) -> bool:
    layout = followed.layouts.get(node.input[0])
    if layout is None or attribute(node, "training_mode", 0) or not _constant(followed, node.input[1:5]):
        return False
    for place, fill in ((1, 1.0), (2, 0.0), (3, 0.0), (4, 1.0)):
        followed.edits.append(Edit(node=node, place=place, axis=0, layout=layout, fill=fill))
    followed.layouts[node.output[0]] = layout
    return True


def _passed_on(followed: Followed, node: Any) -> bool:
    """Pass the channels of the first input on; all others must be constants, one for all channels."""
    layout = followed.layouts.get(node.input[0])
    others = [name for name in node.input[1:] if name]
    if layout is None or not _constant(followed, others):
        return False
    followed.layouts[node.output[0]] = layout
    return True


def _combination(followed: Followed, node: Any) -> bool:
    """Combine tensors place by place; any may be a constant, or have a single channel for all."""
    tensors = [name for name in node.input if name not in followed.constants]
    ranks = {followed.rank(name) for name in tensors}
    layouts = [followed.layouts.get(name, ()) for name in tensors]
    if len(ranks) != 1 or ranks == {0} or not all(layouts):
        return False
    if node.op_type == "Div" and tensors != [node.input[0]]:
        return False
    length = max(followed.groups.length(layout) for layout in layouts)
    wide = [layout for layout in layouts if followed.groups.length(layout) == length]
    narrow = [layout for layout in layouts if followed.groups.length(layout) != length]
    if any(followed.groups.length(layout) != 1 for layout in narrow) or not followed.groups.join(wide):
        return False
    for layout in narrow:
        followed.groups.fix(layout)
    followed.layouts[node.output[0]] = wide[0]
    return all(
        _combined_constant(followed, node, place, rank=min(ranks), length=length)
        for place, name in enumerate(node.input)
        if name in followed.constants
    )


def _combined_constant(followed: Followed, node: Any, place: int, *, rank: int, length: int) -> bool:
    """Note a constant that has a value for each channel; return whether it is that, or one value for all."""
    sizes = followed.constants[node.input[place]].dims
    axis = len(sizes) - rank + 1
    if axis > 1 or (axis >= 0 and sizes[axis] not in (1, length)):
        return False
    if axis >= 0 and sizes[axis] == length:
        layout, fill = followed.layouts[node.output[0]], _NEUTRAL[node.op_type]
        followed.edits.append(Edit(node=node, place=place, axis=axis, layout=layout, fill=fill))
    return True


def _concatenation(followed: Followed, node: Any) -> bool:
    layouts = [followed.layouts.get(name, ()) for name in node.input]
    rank = followed.rank(node.input[0])
    if not all(layouts) or rank == 0:
        return False
    axis = attribute(node, "axis", 0) % rank
    if axis == 0 or (axis > 1 and not followed.groups.join(layouts)):
        return False
    followed.layouts[node.output[0]] = tuple(part for layout in layouts for part in layout) if axis == 1 else layouts[0]
    return True


def _padding(followed: Followed, node: Any) -> bool:
    pads = _numbers(followed, node, 1, "pads")
    rank = followed.rank(node.input[0])
    if len(node.input) > 3 or len(pads) != 2 * rank or any(pads[place] for place in (0, 1, rank, rank + 1)):
        return False
    return _passed_on(followed, node)


def _resizing(followed: Followed, node: Any) -> bool:
    scales = _numbers(followed, node, 2, "scales")
    given_sizes = len(node.input) > 3 and node.input[3]
    if given_sizes or list(scales[:2]) != [1, 1] or attribute(node, "axes", None) is not None:
        return False
    return attribute(node, "coordinate_transformation_mode", b"") != b"tf_crop_and_resize" and _passed_on(
        followed, node
    )


def _other_axes(followed: Followed, node: Any) -> bool:
    """Take away, add or sum up axes behind that of the channels."""
    rank = followed.rank(node.output[0] if node.op_type == "Unsqueeze" else node.input[0])
    axes = _numbers(followed, node, 1, "axes")
    if rank == 0 or not axes or any(axis % rank < 2 for axis in axes):
        return False
    return _passed_on(followed, node)


def _flattening(followed: Followed, node: Any) -> bool:
    """Flatten all places of an image, written as a Flatten or as a Reshape to that."""
    name = node.input[0]
    layout, each = followed.layouts.get(name), followed.places(name)
    if layout is None or each is None:
        return False
    if node.op_type == "Flatten":
        flat = int(attribute(node, "axis", 1)) % followed.rank(name) == 1
    else:
        flat = _is_flat(followed, node, followed.groups.length(layout) * each)
    if not flat:
        return False
    if node.op_type == "Reshape":
        followed.flattened.append(node)
    followed.layouts[node.output[0]] = tuple(Part(group=part.group, each=part.each * each) for part in layout)
    return True


def _is_flat(followed: Followed, node: Any, length: int) -> bool:
    """Return whether a Reshape gives a row of that length for each row of the batch."""
    shape = _numbers(followed, node, 1, "shape")
    batch = followed.shapes[node.input[0]][0]
    if len(shape) != 2:
        return False
    keeps_batch = (shape[0] == 0 and not attribute(node, "allowzero", 0)) or shape[0] == batch
    return bool(shape[1] == length or (keeps_batch and shape[1] == -1))


def _dense(followed: Followed, node: Any) -> bool:
    """Take rows in; what a dense layer gives stays as long as it is."""
    layout, weight = followed.layouts.get(node.input[0]), followed.constants.get(node.input[1])
    plain = followed.rank(node.input[0]) == 2 and weight is not None and len(weight.dims) == 2
    if layout is None or not plain or attribute(node, "transA", 0):
        return False
    axis = 1 if attribute(node, "transB", 0) else 0
    followed.edits.append(Edit(node=node, place=1, axis=axis, layout=layout))
    followed.fix(node.input[2:])
    followed.give_fixed(node.output[0])
    return True


def _constant(followed: Followed, names: Sequence[str]) -> bool:
    return all(name in followed.constants for name in names)


def _numbers(followed: Followed, node: Any, place: int, word: str) -> list[Any]:
    """Return what a constant input, or in older files an attribute, says; nothing where neither does."""
    name = node.input[place] if len(node.input) > place else ""
    if name:
        return array(followed.constants[name]).tolist() if name in followed.constants else []
    return list(attribute(node, word, []))


_ACTIVATIONS: Final = (
    *("Relu", "LeakyRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish"),
    *("Softsign", "Softplus", "Tanh", "Erf", "Gelu", "Mish", "Swish", "Abs", "Neg", "Identity", "Dropout"),
)
_POOLS: Final = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool")

CARRIERS: Final[dict[str, Carrier]] = {
    **dict.fromkeys((*_ACTIVATIONS, *_POOLS), _passed_on),
    **dict.fromkeys(_NEUTRAL, _combination),
    **dict.fromkeys(("Conv", "ConvTranspose"), _convolution),
    **dict.fromkeys(("Squeeze", "Unsqueeze", "ReduceMean", "ReduceMax", "ReduceSum"), _other_axes),
    **dict.fromkeys(("Flatten", "Reshape"), _flattening),
    **dict.fromkeys(("Gemm", "MatMul"), _dense),
    "BatchNormalization": _normalization,
    "Concat": _concatenation,
    "Pad": _padding,
    "Resize": _resizing,
}
"""The operators that channels are followed through, each with its rule."""
