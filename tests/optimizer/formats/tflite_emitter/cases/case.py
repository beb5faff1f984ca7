"""One generated use of an operator: the ONNX file, and inputs that mean something to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A model of one operator (and what it takes to stand in a graph), with some rows of inputs at a batch of 1.

    ``refusable`` says that this use may be refused by name; any other must be written.
    """

    content: bytes
    inputs: tuple[Mapping[str, NDArray[np.generic]], ...]
    refusable: bool = False
