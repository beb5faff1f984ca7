"""Tensors in an artifact: those of its model, and its recorded outputs; recorded inputs are data, which zstd knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from contracts.artifact import MODEL_MEMBER, ArtifactHeader, read_artifact_header
from contracts.delta.elements import Kind
from contracts.delta.spans.onnx_file import onnx_spans
from contracts.delta.spans.span import Span, moved, tidy
from contracts.delta.spans.tflite_file import tflite_spans
from contracts.errors import ArtifactError
from contracts.tensors import ElementType

_KINDS: Final = {
    ElementType.FP32: Kind.FP32,
    ElementType.FP16: Kind.FP16,
    ElementType.INT8: Kind.INT8,
    ElementType.UINT8: Kind.UINT8,
    ElementType.INT32: Kind.INT32,
}


def artifact_spans(data: bytes) -> Iterator[Span]:
    """Yield the spans; nothing where the bytes are no artifact."""
    try:
        header, start = read_artifact_header(data)
    except ArtifactError:
        return
    for member in header.members:
        end = start + member.length
        if member.length < 0 or end > len(data):
            return
        if member.name == MODEL_MEMBER:
            yield from moved(model_spans(data[start:end]), start)
        else:
            yield from _recorded(header, member.name, start, member.length)
        start = end


def model_spans(content: bytes) -> tuple[Span, ...]:
    """Return the spans of a model file; none where it is neither TFLite nor ONNX."""
    return tidy(tflite_spans(content), len(content)) or tidy(onnx_spans(content), len(content))


def _recorded(header: ArtifactHeader, name: str, start: int, length: int) -> Iterator[Span]:
    for place, spec in enumerate(header.manifest.outputs):
        kind = _KINDS.get(spec.element)
        if kind is not None and name in (f"golden/output/{place}", f"golden/output/{spec.name}"):
            yield Span(name=name, kind=kind, dims=(length // kind.width,), start=start)
