"""A TFLite file that shows its inner tensors: an interpreter that keeps each of them until the next run.

Tensors inside the bodies of control flow stay hidden; so do constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.errors import LibraryMissing, PassFailed, first_line
from optimizer.formats.quiet import quiet
from optimizer.formats.tflite_emitter.file import element_names, is_constant, operations, read_file, tensor_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.model import Model

_FLOATS: Final = frozenset({"FLOAT32", "FLOAT16"})
_MASK: Final = 3e38
"""From here on a value is no number that a layer computes, but TFLite's way to write an infinity: pads, masks."""


class InstrumentedTflite:
    """A TFLite float model whose float tensors can be looked at; not safe for two threads at once."""

    def __init__(self, model: Model, *, threads: int) -> None:
        """Load the model with an interpreter that keeps all tensors.

        Raises:
            PassFailed: LiteRT refuses the file.
            LibraryMissing: ai-edge-litert is not installed.
        """
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise LibraryMissing("ai-edge-litert", "a TFLite model") from error
        self.name = model.name
        self.ends = frozenset(spec.name for spec in (*model.inputs, *model.outputs))
        self._shown = _shown(model.content)
        try:
            with quiet():
                self._interpreter = Interpreter(
                    model_content=model.content, num_threads=threads, experimental_preserve_all_tensors=True
                )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise PassFailed(
                f"{self.name}: LiteRT cannot show its inner tensors ({first_line(error)}); convert it again, or leave "
                "out the pass that calibrates"
            ) from error
        self._places = {item["name"]: item["index"] for item in self._interpreter.get_input_details()}
        self._sizes = {item["name"]: tuple(map(int, item["shape"])) for item in self._interpreter.get_input_details()}

    def run(self, batch: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Return every float tensor for the batch, by name, in the order in which the file computes them.

        Raises:
            PassFailed: LiteRT cannot run the model on the batch.
        """
        try:
            with quiet():
                self._fit({name: values.shape for name, values in batch.items()})
                self._interpreter.reset_all_variables()  # a state is no part of a row
                for name, place in self._places.items():
                    self._interpreter.set_tensor(place, batch[name])
                self._interpreter.invoke()
                return {name: _unmasked(self._interpreter.get_tensor(place)) for place, name in self._shown}
        except (ValueError, RuntimeError) as error:
            raise PassFailed(
                f"{self.name}: LiteRT cannot run it on the rows ({first_line(error)}); correct the rows, or the "
                "preprocessing"
            ) from error

    def axis(self, name: str, values: NDArray[np.generic]) -> int:
        """Return which axis of the tensor holds its channels: the last."""
        del name
        return max(values.ndim - 1, 0)

    def _fit(self, sizes: Mapping[str, tuple[int, ...]]) -> None:
        """Make room for inputs of these shapes, where the last ones were of others."""
        if sizes == self._sizes:
            return
        for name, shape in sizes.items():
            self._interpreter.resize_tensor_input(self._places[name], list(shape))
        self._interpreter.allocate_tensors()
        self._sizes = dict(sizes)


def _unmasked(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the values with masks as the infinities that they stand for, which statistics count apart."""
    if values.dtype != np.float32 or values.size == 0 or max(values.max(), -values.min()) < _MASK:
        return values
    return np.where(np.abs(values) < _MASK, values, np.copysign(np.float32(np.inf), values))


def _shown(content: bytes) -> tuple[tuple[int, str], ...]:
    """Return place and name of each float tensor that a run fills: the inputs, then as they are computed.

    A result that nobody reads is left out: a delegate gives it no memory.
    """
    model: Any = read_file(content)
    graph, names, elements = model.subgraphs[0], tensor_names(model), element_names()
    listed = tuple(operations(model))
    read = {place for operation in listed for place in operation.inputs} | {int(place) for place in graph.outputs}
    computed = (place for operation in listed for place in operation.outputs if place in read)
    order = dict.fromkeys([*(int(place) for place in graph.inputs), *computed])
    return tuple(
        (place, names[place])
        for place in order
        if elements[graph.tensors[place].type] in _FLOATS and not is_constant(model, graph.tensors[place])
    )
