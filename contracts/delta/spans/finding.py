"""The tensors of any file that is known."""

from __future__ import annotations

from contracts.delta.spans.artifact_file import artifact_spans, model_spans
from contracts.delta.spans.span import Span, tidy


def spans_of(data: bytes) -> tuple[Span, ...]:
    """Return the tensors' spans in the order that they lie, none over another; empty where nothing is known."""
    return tidy(artifact_spans(data), len(data)) or model_spans(data)
