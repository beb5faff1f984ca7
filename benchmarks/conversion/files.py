"""One TFLite file: its operators as the file lists them, and how it is called with the ONNX model's own rows.

Converters lay tensors out as they like. A file's inputs and outputs are matched with the model's by name, else by
order; an image may lie channel-last. Arranging rows is no part of a call: each file is timed on rows of its own layout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = Mapping[str, NDArray[Any]]
Order = tuple[int, ...]


class DoesNotRun(Exception):
    """A file that LiteRT refuses, or whose tensors are not the model's; the text says what is wrong."""


def operators_of(content: bytes) -> Counter[str]:
    """Return how often the file uses each operator, over all its subgraphs."""
    from ai_edge_litert import schema_py_generated as schema

    names = {number: name for name, number in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    return Counter(codes[operator.opcodeIndex] for graph in model.subgraphs for operator in graph.operators or ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How one tensor of the file takes or gives the model's: the model's name, and the order of its axes."""

    tensor: str
    order: Order

    @property
    def turned(self) -> bool:
        """Whether the file's tensor lies otherwise than the model's."""
        return self.order != tuple(range(len(self.order)))


class Opened:
    """A file on LiteRT, one thread, called with arrays that already lie as its inputs do."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            DoesNotRun: LiteRT refuses it.
        """
        from ai_edge_litert.interpreter import Interpreter

        from optimizer.formats.quiet import quiet

        try:
            with quiet():
                self._interpreter = Interpreter(model_content=path.read_bytes(), num_threads=1)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise DoesNotRun(f"does not load: {' '.join(str(error).split())[:160]}") from error
        self.inputs = self._interpreter.get_input_details()
        self.outputs = self._interpreter.get_output_details()

    def call(self, arrays: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the outputs in the file's order.

        Raises:
            DoesNotRun: LiteRT cannot run it on these.
        """
        try:
            for item, values in zip(self.inputs, arrays, strict=True):
                self._interpreter.set_tensor(item["index"], values)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(item["index"]) for item in self.outputs]
        except (ValueError, RuntimeError) as error:
            raise DoesNotRun(f"does not run: {' '.join(str(error).split())[:160]}") from error


def arranged(row: Row, layouts: Sequence[Layout], details: Sequence[Mapping[str, Any]]) -> list[NDArray[Any]]:
    """Return a row's arrays as the file's inputs take them."""
    return [
        np.ascontiguousarray(row[layout.tensor].transpose(layout.order)).astype(item["dtype"], copy=False)
        for layout, item in zip(layouts, details, strict=True)
    ]


def possible_layouts(
    details: Sequence[Mapping[str, Any]], shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[Layout, ...]]:
    """Yield the ways in which the file's tensors may be the model's, the likeliest first: by name, axes in order."""
    names = list(shapes)
    own = [_bare(item["name"]) for item in details]
    if len(own) != len(names):
        return
    assignments = [own] if sorted(own) == sorted(names) else list(permutations(names))
    for assignment in assignments:
        orders = [_orders(shapes[name], item) for name, item in zip(assignment, details, strict=True)]
        for chosen in product(*orders):
            yield tuple(Layout(tensor=name, order=order) for name, order in zip(assignment, chosen, strict=True))


def _bare(name: str) -> str:
    return name.removeprefix("serving_default_").partition(":")[0]


def _orders(shape: tuple[int, ...], details: Mapping[str, Any]) -> list[Order]:
    """Return the model's own order of axes and channel-last, those that give the file's shape."""
    plain = tuple(range(len(shape)))
    found = [plain]
    if len(shape) > 2:
        found.append((0, *plain[2:], 1))
    if len(shape) > 3:
        found.append((0, 1, *plain[3:], 2))
    return [order for order in found if tuple(shape[axis] for axis in order) == tuple(details["shape"])]
