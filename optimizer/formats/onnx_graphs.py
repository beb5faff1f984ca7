"""Walking through an ONNX model: its graph, the graphs inside its operations, and every tensor that they hold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def entries(graph: Any) -> Any:
    """Return the list of a graph's own operations, to be read or changed."""
    return graph.node


def graphs(graph: Any) -> Iterator[Any]:
    """Yield the graph (or function) and every graph inside its operations, outer ones first."""
    waiting = [graph]
    while waiting:
        each = waiting.pop()
        yield each
        for entry in entries(each):
            waiting.extend(nested(entry))


def nested(entry: Any) -> Iterator[Any]:
    """Yield the graphs that are an operation's own attributes, as the branches of If are."""
    for attribute in entry.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def operations(proto: Any) -> Iterator[Any]:
    """Yield every operation of the model, its functions and inner graphs included."""
    for owner in (proto.graph, *proto.functions):
        for graph in graphs(owner):
            yield from entries(graph)


def tensors(proto: Any) -> Iterator[Any]:
    """Yield every constant of the model: initializers and attributes, those of inner graphs included."""
    for owner in (proto.graph, *proto.functions):
        for graph in graphs(owner):
            yield from getattr(graph, "initializer", ())
            for sparse in getattr(graph, "sparse_initializer", ()):
                yield from (sparse.values, sparse.indices)
            for entry in entries(graph):
                yield from _attributes(entry)


def _attributes(entry: Any) -> Iterator[Any]:
    for attribute in entry.attribute:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
        for each in (*sparse, *attribute.sparse_tensors):
            yield from (each.values, each.indices)
