"""Which ONNX operator is written by which function: the whole list of what is supported."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from optimizer.errors import UnsupportedOperator
from optimizer.formats.tflite_emitter.operators import FAMILIES
from optimizer.formats.tflite_emitter.operators.entry import Entry
from optimizer.formats.tflite_emitter.operators.selection import UNWRITTEN

if TYPE_CHECKING:
    from optimizer.formats.tflite_emitter.graph import Operation

ENTRIES: Mapping[str, Entry] = {op: entry for family in FAMILIES for op, entry in sorted(family.items())}

FOLDED: tuple[str, ...] = ("Constant", "Dropout", "Identity", "If", "Shape", "Size")
"""Operators that are folded away before lowering; an If where its condition is a constant."""

REWRITTEN: Mapping[str, str] = {
    "BatchNormalization": "its factors or statistics are computed; export it with constant ones",
}
"""Operators that a rewrite replaces by others before lowering, each with why one of them is left."""

SUPPORTED: tuple[str, ...] = tuple(sorted({*ENTRIES, *FOLDED, *REWRITTEN}))
"""Every ONNX operator that can be written."""

VANISHING: tuple[str, ...] = (
    "BlackmanWindow",
    "ConstantOfShape",
    "HammingWindow",
    "HannWindow",
    "NonZero",
    "OptionalHasElement",
    "Range",
    "RotaryEmbedding",
    "Shrink",
    "SwiGLU",
)
"""Operators of which the graph alone shows whether they can be written: often they hang on constants alone, or ONNX
defines them by others."""

_NEAREST: Final[Mapping[str, str]] = {
    "AffineGrid": "Resize",
    "Compress": "Where",
    "ConvInteger": "Conv",
    "DeformConv": "Conv",
    "Det": "MatMul",
    "DynamicQuantizeLinear": "Clip",
    "DequantizeLinear": "Mul",
    "GridSample": "Resize",
    "Hardmax": "ArgMax",
    "Loop": "LSTM",
    "MatMulInteger": "MatMul",
    "MaxRoiPool": "MaxPool",
    "MaxUnpool": "ConvTranspose",
    "NonZero": "Where",
    "QLinearConv": "Conv",
    "QLinearMatMul": "MatMul",
    "QuantizeLinear": "Clip",
    "RoiAlign": "Resize",
    "Scan": "LSTM",
    "SequenceAt": "Slice",
    "SplitToSequence": "Split",
    "StringNormalizer": "Gather",
    "TfIdfVectorizer": "Gather",
    "Unique": "TopK",
}
"""What comes nearest by meaning, where spelling would mislead."""


def nearest(op: str) -> str:
    """Return the supported operator that comes nearest: by meaning, else by spelling; empty where none is near."""
    plain = op.rpartition(".")[2]
    if plain in SUPPORTED and plain != op:
        return plain
    meant = _NEAREST.get(plain)
    if meant in SUPPORTED:
        return meant or ""
    return next(iter(difflib.get_close_matches(plain, SUPPORTED, n=1, cutoff=0.65)), "")


def refusal(operation: Operation, reason: str = "") -> UnsupportedOperator:
    """Return the error that names the operation, why it can't be written, and what comes nearest."""
    near = "" if operation.op in SUPPORTED else nearest(operation.op)
    reason = reason or UNWRITTEN.get(operation.op, "") or REWRITTEN.get(operation.op, "")
    return UnsupportedOperator(operation.op, operation.name, reason=reason, supported=SUPPORTED, nearest=near)


def as_markdown() -> str:
    """Return the page that lists what is supported, as in docs/tflite-operators.md."""
    rows = [
        f"| {op} | {', '.join(ENTRIES[op].writes) or 'nothing'} | {ENTRIES[op].limits} |"
        for op in sorted(ENTRIES, key=str.lower)
    ]
    others = "and operators that ONNX defines by others that are listed here"
    lines = [
        "# ONNX operators that export-tflite writes",
        "",
        f"{len(SUPPORTED)} operators. Made by `edgeship recipe passes --operators`; a test compares.",
        "",
        f"- Folded away: {', '.join(FOLDED)} (If where its condition is a constant), and what hangs on constants.",
        f"- Rewritten into others first: {', '.join(REWRITTEN)}, {others}.",
        "- Another operator, or another use of one, is refused with its name, its place and the nearest one.",
        "",
        "| ONNX | TFLite | limits |",
        "|---|---|---|",
        *rows,
        "",
    ]
    return "\n".join(lines)
