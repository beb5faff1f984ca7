"""A TFLite file written short: what no runtime reads is left out, equal data stand once.

Left out: metadata, what converters note, unused tensors, buffers and operator codes, names of inner tensors (inputs
and outputs keep theirs), the ranges that scales were made from. Data lie inside the tables, where every runtime finds
them: ai-edge-quantizer puts those of larger files behind the tables, which runtimes for microcontrollers cannot read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

_LEFT_OUT = -1


def compact(file: Any, *, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Make the file, as the schema's objects, as short as it can be without changing what it computes.

    Args:
        file: changed in place.
        inputs: names that the main graph's inputs are to have, by place.
        outputs: and its outputs.
    """
    file.metadata = file.metadataBuffer = file.description = None
    drop_unused_tensors(file)
    for graph in file.subgraphs:
        _drop_names(graph)
        for tensor in graph.tensors:
            _shorten(tensor)
    main = file.subgraphs[0]
    for places, names in ((main.inputs, inputs), (main.outputs, outputs)):
        for place, name in zip(places, names, strict=True):
            main.tensors[place].name = name.encode()
    _merge_buffers(file)
    _drop_codes(file)


def drop_unused_tensors(file: Any) -> None:
    """Leave out the tensors that nothing touches, in place."""
    for number, graph in enumerate(file.subgraphs):
        _drop_tensors(graph, file.signatureDefs, number)


def _drop_tensors(graph: Any, signatures: Iterable[Any], number: int) -> None:
    """Leave out the tensors that nothing touches and number the others anew."""
    ends = [one for each in signatures if each.subgraphIndex == number for one in (*each.inputs, *each.outputs)]
    places = [*graph.inputs, *graph.outputs, *(end.tensorIndex for end in ends)]
    for operator in graph.operators:
        for listed in (operator.inputs, operator.outputs, operator.intermediates):
            places += list(listed if listed is not None else ())
    used = sorted({int(place) for place in places} - {_LEFT_OUT})
    anew = {before: now for now, before in enumerate(used)} | {_LEFT_OUT: _LEFT_OUT}
    graph.tensors = [graph.tensors[place] for place in used]
    graph.inputs, graph.outputs = _renumbered(graph.inputs, anew), _renumbered(graph.outputs, anew)
    for end in ends:
        end.tensorIndex = anew[int(end.tensorIndex)]
    for operator in graph.operators:
        operator.inputs = _renumbered(operator.inputs, anew)
        operator.outputs = _renumbered(operator.outputs, anew)
        operator.intermediates = _renumbered(operator.intermediates, anew) or None


def _renumbered(places: Sequence[int] | None, anew: dict[int, int]) -> list[int]:
    return [anew[int(place)] for place in places] if places is not None else []


def _drop_names(graph: Any) -> None:
    ends = {*graph.inputs, *graph.outputs}
    graph.name = None
    for place, tensor in enumerate(graph.tensors):
        if place not in ends:
            tensor.name = None


def _shorten(tensor: Any) -> None:
    """Leave out what says nothing: an empty quantization, ranges, a signature that repeats the shape."""
    quantization = tensor.quantization
    if quantization is not None:
        quantization.min = quantization.max = None
        if quantization.scale is None and quantization.details is None:
            tensor.quantization = None
    signature = tensor.shapeSignature
    if signature is not None and -1 not in list(signature):
        tensor.shapeSignature = None


def _merge_buffers(file: Any) -> None:
    """Keep one buffer of each content, the empty one first, in the order of the tensors that point to them."""
    empty = file.buffers[0]
    empty.data = None
    kept, places = [empty], {None: 0}
    for graph in file.subgraphs:
        for tensor in graph.tensors:
            data = file.buffers[tensor.buffer].data
            key = data or None
            if key not in places:
                places[key] = len(kept)
                kept.append(file.buffers[tensor.buffer])
            tensor.buffer = places[key]
    file.buffers = kept


def _drop_codes(file: Any) -> None:
    """Leave out operator codes that no operator has, and number the others by first use."""
    anew: dict[int, int] = {}
    for graph in file.subgraphs:
        for operator in graph.operators:
            operator.opcodeIndex = anew.setdefault(operator.opcodeIndex, len(anew))
    file.operatorCodes = [file.operatorCodes[before] for before in anew]
