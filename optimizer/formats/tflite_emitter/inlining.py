"""Graphs within the graph: functions of the model's own, and branches whose condition is known, become plain nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import GraphProto, ModelProto, NodeProto


def inline_functions(model: ModelProto) -> ModelProto:
    """Return the model without calls of its own functions."""
    from onnx import inliner

    return inliner.inline_local_functions(model) if model.functions else model


def inline_defined(model: ModelProto, typed: ModelProto, *, known: frozenset[str]) -> bool:
    """Put what ONNX defines by other operators into the place of operators that are not known; return whether it did.

    An operator stays where its definition has others that are not known. ``typed`` is the model with the types of all
    values.
    """
    from onnx import inliner

    strange = {node.op_type for node in model.graph.node if node.domain in ("", "ai.onnx")} - known
    for op in sorted(strange):
        if not _has_body(op, model):
            continue
        try:
            opened = inliner.inline_selected_functions(typed, [("", op)], inline_schema_functions=True)
        except RuntimeError:  # an assertion of onnx's own, as for a type that is not known
            continue
        added = {node.op_type for node in opened.graph.node} - strange
        if added <= known and op not in {node.op_type for node in opened.graph.node}:
            del model.graph.node[:]
            model.graph.node.extend(opened.graph.node)
            return True
    return False


def inline_branches(model: ModelProto, constants: dict[str, NDArray[Any]]) -> bool:
    """Put the branch taken in the place of each If whose condition is a constant; return whether there was one.

    The constants that the branch holds join the others.
    """
    nodes: list[NodeProto] = []
    found = False
    for node in model.graph.node:
        if node.op_type == "If" and node.input[0] in constants:
            nodes += _taken(node, constants)
            found = True
        else:
            nodes.append(node)
    if found:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return found


def names_read(model: ModelProto) -> frozenset[str]:
    """Return every name that a node reads, those within its graphs included, and the outputs' names."""
    return frozenset(_read_within(model.graph))


def _read_within(graph: GraphProto) -> set[str]:
    names = {item.name for item in graph.output}
    for node in graph.node:
        names.update(name for name in node.input if name)
        for inner in _graphs(node):
            names |= _read_within(inner)
    return names


def _taken(node: NodeProto, constants: dict[str, NDArray[Any]]) -> list[NodeProto]:
    """Return the nodes of the branch that the condition leads to; its inner names carry the If's own."""
    from onnx import NodeProto, helper, numpy_helper

    wanted = "then_branch" if bool(np.asarray(constants[node.input[0]]).reshape(-1)[0]) else "else_branch"
    branch = next(item.g for item in node.attribute if item.name == wanted)
    made = {item.name for item in branch.initializer} | {name for inner in branch.node for name in inner.output if name}
    renamed = {name: f"{next(filter(None, node.output), node.name)}/{name}" for name in made}
    constants.update({renamed[item.name]: numpy_helper.to_array(item) for item in branch.initializer})
    nodes = []
    for inner in branch.node:
        copied = NodeProto()
        copied.CopyFrom(inner)
        _rename(copied, renamed)
        nodes.append(copied)
    results = [renamed.get(item.name, item.name) for item in branch.output]
    pairs = zip(results, node.output, strict=True)
    return nodes + [helper.make_node("Identity", [inner], [outer]) for inner, outer in pairs if outer]


def _rename(node: NodeProto, renamed: Mapping[str, str]) -> None:
    """Rename what the node reads and makes, in the graphs within it too."""
    for names in (node.input, node.output):
        names[:] = [renamed.get(name, name) for name in names]
    for graph in _graphs(node):
        for inner in graph.node:
            _rename(inner, renamed)
        for item in graph.output:
            item.name = renamed.get(item.name, item.name)


def _graphs(node: NodeProto) -> list[GraphProto]:
    return [graph for item in node.attribute for graph in ([item.g] if item.HasField("g") else list(item.graphs))]


def _has_body(op: str, model: ModelProto) -> bool:
    """Return whether ONNX defines the operator by others."""
    from onnx import defs

    version = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    try:
        schema = defs.get_schema(op, version, "")
    except defs.SchemaError:
        return False
    return bool(schema.has_function or schema.has_context_dependent_function)
