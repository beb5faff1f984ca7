"""Where the axes of a value lie in its TFLite tensor.

ONNX counts axes as (n, c, h, w); TFLite wants (n, h, w, c). Nothing is moved when it need not be: a
``Value`` remembers for each axis of its tensor which logical axis lies there (-1: an axis of size
1 that ONNX does not have), and each operator asks for the order that it can work with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Axes = tuple[int, ...]
INSERTED = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Value:
    """A value of the graph: tensor number, logical (ONNX) shape at batch 1, and the order of its axes.

    Where a channel-last image was flattened, ``columns[j]`` says which logical column lies in column
    j of the tensor: whoever multiplies by a constant matrix permutes the matrix instead. ``batch`` is the logical
    axis that grows with the batch.
    """

    tensor: int
    shape: tuple[int, ...]
    axes: Axes
    columns: NDArray[np.int64] | None = None
    element: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.float32))
    batch: int | None = None

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """Shape of the TFLite tensor."""
        return arranged(self.shape, self.axes)

    @property
    def stored_batch(self) -> int | None:
        """The axis of the TFLite tensor that grows with the batch."""
        return None if self.batch is None else self.axes.index(self.batch)


def plain(rank: int) -> Axes:
    """Return the order in which nothing is moved."""
    return tuple(range(rank))


def channel_last(rank: int) -> Axes:
    """Return (n, spatial..., c); for a line (n, c, l) the image of height 1, (n, 1, l, c)."""
    return (0, INSERTED, 2, 1) if rank == 3 else (0, *range(2, rank), 1)


def arranged(shape: tuple[int, ...], axes: Axes) -> tuple[int, ...]:
    """Return the stored shape of a logical shape.

    >>> arranged((1, 3, 8, 9), channel_last(4))
    (1, 8, 9, 3)
    """
    return tuple(1 if axis == INSERTED else shape[axis] for axis in axes)


def arrange(array: NDArray[Any], axes: Axes) -> NDArray[Any]:
    """Return a constant, of the logical rank that the axes speak of, in the stored order."""
    moved = array.transpose(tuple(axis for axis in axes if axis != INSERTED))
    return moved.reshape(arranged(array.shape, axes))


def keeps_order(shape: tuple[int, ...], before: Axes, after: Axes, *, batch: int | None = None) -> bool:
    """Return whether going from one order to the other moves axes of size 1 alone: no data moves.

    The axis of the batch counts as longer than 1.
    """

    def long_axes(axes: Axes) -> tuple[int, ...]:
        return tuple(axis for axis in axes if axis != INSERTED and (shape[axis] > 1 or axis == batch))

    return long_axes(before) == long_axes(after)


def transposed(value: Value, permutation: Axes) -> Value:
    """Return the value with logical axis i being the former ``permutation[i]``; its tensor is untouched."""
    place = {old: new for new, old in enumerate(permutation)} | {INSERTED: INSERTED}
    return Value(
        tensor=value.tensor,
        shape=tuple(value.shape[axis] for axis in permutation),
        axes=tuple(place[axis] for axis in value.axes),
        element=value.element,
        batch=None if value.batch is None else place[value.batch],
    )


def flattened_columns(value: Value) -> NDArray[np.int64]:
    """Return, for the stored row of (n, ...) laid out flat, which logical column lies at each place."""
    row = value.shape[1:]
    numbers = np.arange(int(np.prod(row)), dtype=np.int64).reshape((1, *row))
    return arrange(numbers, value.axes).reshape(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Regrouping:
    """How a reshape is done on stored data: first bring the axes into the order ``before``, then ``after`` is theirs.

    ``moves`` says whether getting from where they lie into ``before`` moves data.
    """

    before: Axes
    after: Axes
    moves: bool


def regrouped(value: Value, shape: tuple[int, ...], *, batch: int | None) -> Regrouping:
    """Return how the value is reshaped, its result having that shape and axis of the batch.

    A reshape splits and merges neighbouring axes in groups. Where each group's axes lie side by side and in order, the
    stored data need no move; where only a group's own order is wrong, only that is mended; else all goes into ONNX's
    order.
    """
    groups = _groups(_sizes(value.shape, value.batch), _sizes(shape, batch))
    stored = [axis for axis in value.axes if axis != INSERTED]
    owner = {axis: number for number, (old, _) in enumerate(groups) for axis in old}
    met = [owner[axis] for axis in stored if axis in owner]
    order = list(dict.fromkeys(met))
    if any(met[place] != met[place - 1] and met[place] in met[:place] for place in range(1, len(met))):
        order = sorted(order)
    before = tuple(axis for number in order for axis in groups[number][0])
    after = tuple(axis for number in order for axis in groups[number][1])
    moves = before != tuple(axis for axis in stored if axis in owner)
    turned = value.axes != plain(len(value.shape))
    choices = _placed(after, shape, turned=turned)
    kept = (axes for axes in choices if not moves and arranged(shape, axes) == value.stored_shape)
    return Regrouping(
        before=_placed(before, value.shape, turned=turned)[0] if moves else value.axes,
        after=next(kept, choices[0]),
        moves=moves,
    )


_MANY: int = 1_000_003
"""A prime that stands for the size of the batch: it divides no size of a model."""


def _sizes(shape: tuple[int, ...], batch: int | None) -> list[tuple[int, int]]:
    """Return axis and size of each axis that is longer than 1, the batch's size being many times its own."""
    sizes = [size * _MANY if axis == batch else size for axis, size in enumerate(shape)]
    return [(axis, size) for axis, size in enumerate(sizes) if size > 1]


def _groups(old: list[tuple[int, int]], new: list[tuple[int, int]]) -> list[tuple[Axes, Axes]]:
    """Return the shortest runs of old and new axes that hold equally many elements, in order."""
    groups: list[tuple[Axes, Axes]] = []
    left, right = list(old), list(new)
    while left and right:
        (first, many), (other, more) = left.pop(0), right.pop(0)
        mine, theirs = [first], [other]
        while many != more:
            side, taken = (left, mine) if many < more else (right, theirs)
            axis, size = side.pop(0)
            taken.append(axis)
            many, more = (many * size, more) if taken is mine else (many, more * size)
        groups.append((tuple(mine), tuple(theirs)))
    return groups


def _placed(order: Axes, shape: tuple[int, ...], *, turned: bool) -> list[Axes]:
    """Return the usual orders of all axes in which the given ones lie in their order, the best first; at least one."""
    rank = len(shape)
    image: list[Axes] = [channel_last(rank)] if rank in (3, 4) else []
    bare = [tuple(axis for axis in axes if axis != INSERTED) for axes in image]
    one_pixel = rank == 4 and shape[2:] == (1, 1)
    usual = [*bare, plain(rank), *image] if turned or one_pixel else [plain(rank), *bare, *image]
    fitting = [axes for axes in usual if tuple(axis for axis in axes if axis in order) == order]
    placed = list(order)
    for axis in range(rank):
        if axis not in order:
            placed.insert(placed.index(axis - 1) + 1 if axis else 0, axis)
    return fitting or [tuple(placed)]
