"""What a file notes for readers and tools: who made it, documentation, names of operations, shapes in between."""

from __future__ import annotations

from typing import Any, Final

from optimizer.formats.onnx_graphs import graphs, operations

_OF_MODEL: Final = ("producer_name", "producer_version", "domain", "model_version", "doc_string", "training_info")
_OF_GRAPH: Final = ("doc_string", "metadata_props", "quantization_annotation")
_OF_ANY: Final = ("doc_string", "metadata_props")
_NAME: Final = "g"
"""Of every graph: it must have one."""


def drop(proto: Any) -> None:
    """Remove the notes, and the operator sets that no operation is of; shapes and the model's own metadata stay."""
    _clear(proto, _OF_MODEL)
    for graph in graphs(proto.graph):
        _clear(graph, _OF_GRAPH)
        graph.name = _NAME
        for item in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            _clear(item, _OF_ANY)
    for entry in operations(proto):
        _clear(entry, ("name", *_OF_ANY))
        for attribute in entry.attribute:
            attribute.ClearField("doc_string")
    _drop_operator_sets(proto)


def drop_shapes(graph: Any) -> None:
    """Remove the shapes of tensors that are neither input nor output of a graph."""
    for each in graphs(graph):
        each.ClearField("value_info")


def _drop_operator_sets(proto: Any) -> None:
    used = {entry.domain for entry in operations(proto)} | {"", "ai.onnx"}
    kept = [(item.domain, item.version) for item in proto.opset_import if item.domain in used]
    if not proto.functions and len(kept) < len(proto.opset_import):
        del proto.opset_import[:]
        for domain, version in kept:
            proto.opset_import.add(domain=domain, version=version)


def _clear(owner: Any, fields: tuple[str, ...]) -> None:
    for field in fields:
        owner.ClearField(field)
