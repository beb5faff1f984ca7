"""Which ONNX operator is written by which function: the whole list of what is supported."""

from __future__ import annotations

from collections.abc import Mapping

from optimizer.formats.tflite_emitter.operators import FAMILIES
from optimizer.formats.tflite_emitter.operators.entry import Entry

ENTRIES: Mapping[str, Entry] = {op: entry for family in FAMILIES for op, entry in sorted(family.items())}

FOLDED: tuple[str, ...] = ("Constant", "Dropout", "Identity", "Shape", "Size")
"""Operators that are folded away before lowering, wherever they stand."""

REWRITTEN: tuple[str, ...] = ("BatchNormalization",)
"""Operators that a rewrite replaces by others before lowering."""

SUPPORTED: tuple[str, ...] = tuple(sorted({*ENTRIES, *FOLDED, *REWRITTEN}))
"""Every ONNX operator that can be written."""
