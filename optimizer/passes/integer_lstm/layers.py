"""The float sequence LSTMs of a TFLite file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.formats.tflite_emitter.file import element_names, is_constant, operator_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEQUENCE_LSTM: Final = "UNIDIRECTIONAL_SEQUENCE_LSTM"
WEIGHTS: Final = slice(1, 9)
"""Inputs of an LSTM: four matrices for the input, then four for the state, in the order of gates i, f, g, o."""
BIASES: Final = slice(12, 16)
STATE_H: Final = 18
STATE_C: Final = 19
_LEFT_OUT: Final = (9, 10, 11, 16, 17, 20, 21, 22, 23)
"""Peepholes, projection and layer normalization: the integer form is written without them."""
_TANH: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layer:
    """One LSTM: its operator, and the places of its input and output among the tensors of the main graph.

    ``weights`` (H, I) and ``recurrence`` (H, H) stand in the order of gates i, f, g, o, as do ``biases`` (H).
    """

    operator: Any
    source: int
    output: int
    weights: tuple[NDArray[np.float32], ...]
    recurrence: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]

    @property
    def hidden(self) -> int:
        """Units of the layer."""
        return int(self.biases[0].size)

    @property
    def state(self) -> tuple[int, int]:
        """Places of the variables h and c."""
        return int(self.operator.inputs[STATE_H]), int(self.operator.inputs[STATE_C])

    @property
    def clip(self) -> float:
        """Largest absolute value of the cell state; 0 stands for any."""
        return float(self.operator.builtinOptions.cellClip)

    @property
    def time_major(self) -> bool:
        """Whether the first axis of the input is time."""
        return bool(self.operator.builtinOptions.timeMajor)


def float_layers(file: Any) -> Iterator[Layer]:
    """Yield the sequence LSTMs of the main graph that have an integer form: float ones of four full gates."""
    for operator in file.subgraphs[0].operators:
        if code_of(file, operator) == SEQUENCE_LSTM and _is_plain(file, operator):
            constants = [_constant(file, int(place)) for place in (*operator.inputs[WEIGHTS], *operator.inputs[BIASES])]
            yield Layer(
                operator=operator,
                source=int(operator.inputs[0]),
                output=int(operator.outputs[0]),
                weights=tuple(constants[:4]),
                recurrence=tuple(constants[4:8]),
                biases=tuple(constants[8:]),
            )


def code_of(file: Any, operator: Any) -> str:
    """Return the operator's built-in name."""
    return operator_names().get(file.operatorCodes[operator.opcodeIndex].builtinCode, "unknown")


def makers(file: Any) -> dict[int, Any]:
    """Return which operator gives each tensor of the main graph."""
    return {int(place): operator for operator in file.subgraphs[0].operators for place in operator.outputs}


def _is_plain(file: Any, operator: Any) -> bool:
    tensors, elements = file.subgraphs[0].tensors, element_names()
    left_out = all(place >= len(operator.inputs) or operator.inputs[place] < 0 for place in _LEFT_OUT)
    needed = [int(place) for place in (*operator.inputs[WEIGHTS], *operator.inputs[BIASES])]
    return (
        left_out
        and operator.builtinOptions.fusedActivationFunction == _TANH
        and all(place >= 0 and is_constant(file, tensors[place]) for place in needed)
        and all(elements[tensors[place].type] == "FLOAT32" for place in (*needed, operator.inputs[0]))
    )


def _constant(file: Any, place: int) -> NDArray[np.float32]:
    tensor = file.subgraphs[0].tensors[place]
    return np.frombuffer(file.buffers[tensor.buffer].data, dtype=np.float32).reshape(tuple(tensor.shape))
