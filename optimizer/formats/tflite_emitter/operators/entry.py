"""One line of the table of operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Operation
    from optimizer.formats.tflite_emitter.lowering import Lowering


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How one ONNX operator is written.

    ``writes`` are the TFLite operators that it becomes; ``limits`` says in words which uses are refused, empty where
    none is; ``image`` that its first input is an image, wanted channel-last; ``any_layout`` that it works on axes in
    whatever order they lie.
    """

    lower: Callable[[Operation, Lowering], None]
    writes: tuple[str, ...]
    limits: str = ""
    image: bool = False
    any_layout: bool = False
