"""From the ONNX file that a user gives to one self-contained model.

Weights in files beside it are taken in, operations that stand out of order are sorted, and sizes that the file
leaves free beyond the batch are fixed where the user says to what. A file that needs none of it keeps its bytes.
"""

from __future__ import annotations

import graphlib
import importlib
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from contracts.tensors import TensorSpec
from optimizer.errors import ModelError
from optimizer.formats.onnx_format import decode
from optimizer.formats.onnx_graphs import entries, graphs, nested, skeleton, tensors

_LARGEST_BYTES: Final = 2**31 - 1
_EXTERNAL: Final = 1


def gather(content: bytes, name: str, *, folder: Path, inputs: Sequence[TensorSpec] = ()) -> bytes:
    """Return the bytes of the model with everything in it.

    Args:
        content: the ONNX file.
        name: the model's name, for messages.
        folder: where the file lies; weights outside of it are not read.
        inputs: shapes for inputs whose sizes are free beyond the batch; the first size is only an example.

    Raises:
        ModelError: not ONNX, weights that are missing or lie elsewhere, operations in a circle, or shapes that
            contradict the file.
        LibraryMissing: onnx is not installed.
    """
    if not inputs and _is_whole(content):
        return content
    proto = decode(content, name)
    changed = [_take_weights_in(proto, name, folder), _sort(proto.graph, name), _fix_sizes(proto.graph, inputs, name)]
    return bytes(proto.SerializeToString(deterministic=True)) if any(changed) else content


def _is_whole(content: bytes) -> bool:
    """Return whether a look at the skeleton shows that there is nothing to take in and nothing to sort."""
    try:
        light = skeleton(content)
    except importlib.import_module("google.protobuf.message").DecodeError:
        return False
    if light is None:
        return False
    outside = any(tensor.data_location == _EXTERNAL for tensor in tensors(light.proto))
    return not outside and not _is_backward(_needs(light.proto.graph))


def _take_weights_in(proto: Any, name: str, folder: Path) -> bool:
    """Move the values of tensors that lie in other files into the model; return whether there were any."""
    outside = [tensor for tensor in tensors(proto) if tensor.data_location == _EXTERNAL]
    spans: dict[Path, list[tuple[int, int, str]]] = {}
    total = 0
    for tensor in outside:
        path, start, length = _span(tensor, name, folder)
        spans.setdefault(path, []).append((start, start + length, tensor.name))
        total += length
    _refuse_overlaps(spans, name)
    if total > _LARGEST_BYTES:
        raise ModelError(f"{name}: its weights have {total / 1e9:.1f} GB; models of at most 2 GB are taken")
    for tensor in outside:
        path, start, length = _span(tensor, name, folder)
        with path.open("rb") as source:
            source.seek(start)
            tensor.raw_data = source.read(length)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")
    return bool(outside)


def _span(tensor: Any, name: str, folder: Path) -> tuple[Path, int, int]:
    """Return file, first byte and length of a tensor's values, after every doubt about them."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    who = f"{name}: weight {str(tensor.name)[:80]!r}"
    path = _beside(str(told.get("location", "")), who, folder)
    wanted = _claimed_bytes(tensor, who)
    start, length = _number(told, "offset", 0, who), _number(told, "length", wanted, who)
    if length != wanted:
        raise ModelError(f"{who} claims {wanted:,} bytes and points to {length:,} in {path.name}; save the model again")
    if start + length > path.stat().st_size:
        raise ModelError(
            f"{who} reaches to byte {start + length:,} of {path.name}, which has {path.stat().st_size:,}: the file is "
            "cut short or belongs to another model; copy it again"
        )
    return path, start, length


def _beside(location: str, who: str, folder: Path) -> Path:
    """Return the file that holds weights: a plain path inside the model's folder, links followed."""
    inside = Path(location)
    if not location or "\\" in location or "\0" in location or inside.is_absolute() or ".." in inside.parts:
        raise ModelError(
            f"{who} lies in {location[:120]!r}, outside of the model's folder; put the file beside the model "
            "or save it with external_data=False"
        )
    path = folder / inside
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"{who} lies in {location[:120]!r}, which is missing; copy that file beside the model"
        ) from error
    if not real.is_relative_to(folder.resolve()) or not real.is_file():
        raise ModelError(
            f"{who} lies in {location[:120]!r}, which leads out of the model's folder; put the file itself there"
        )
    return path


def _claimed_bytes(tensor: Any, who: str) -> int:
    from onnx import helper

    if any(size < 0 for size in tensor.dims):
        raise ModelError(f"{who} claims shape {tuple(tensor.dims)[:8]}; export the model again")
    try:
        width = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{who} has element type {tensor.data_type}, which cannot lie outside of the file") from error
    return int(math.prod(tensor.dims) * width)


def _number(told: dict[str, str], key: str, default: int, who: str) -> int:
    text = told.get(key, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ModelError(f"{who} has {key} {text[:40]!r}, which is no number; save the model again")
    return int(text)


def _refuse_overlaps(spans: dict[Path, list[tuple[int, int, str]]], name: str) -> None:
    for path, parts in spans.items():
        ordered = sorted(parts)
        for (_, end, first), (start, _, second) in itertools.pairwise(ordered):
            if start < end:
                raise ModelError(
                    f"{name}: weights {first[:60]!r} and {second[:60]!r} share bytes of {path.name}; save it again"
                )


def _sort(graph: Any, name: str) -> bool:
    """Put the operations in an order in which each comes after those that it reads from; return whether they moved."""
    own, needs = entries(graph), _needs(graph)
    if not _is_backward(needs):
        return False
    try:
        order = list(graphlib.TopologicalSorter(needs).static_order())
    except graphlib.CycleError as error:
        circle = [str(own[place].output[0])[:40] for place in error.args[1]]
        raise ModelError(
            f"{name}: its operations run in a circle, {' <- '.join(circle[:5])}; no runtime can run it: export it again"
        ) from error
    copies = [type(entry).FromString(entry.SerializeToString()) for entry in own]
    del own[:]
    own.extend(copies[place] for place in order)
    return True


def _needs(graph: Any) -> dict[int, list[int]]:
    """Return, for each operation's place, the places of those that it reads from."""
    own = entries(graph)
    made = {output: place for place, entry in enumerate(own) for output in entry.output if output}
    return {place: sorted({made[value] for value in _reads(entry) if value in made}) for place, entry in enumerate(own)}


def _is_backward(needs: dict[int, list[int]]) -> bool:
    """Return whether an operation reads what a later one, or it itself, gives."""
    return any(before >= place for place, befores in needs.items() for before in befores)


def _reads(entry: Any) -> list[str]:
    """Return what an operation reads, graphs inside it included."""
    inner = [value for graph in nested(entry) for each in graphs(graph) for own in entries(each) for value in own.input]
    return [*entry.input, *inner]


def _fix_sizes(graph: Any, inputs: Sequence[TensorSpec], name: str) -> bool:
    """Give free sizes the values that the user says, everywhere that a size of that name stands."""
    given = {item.name: item for item in graph.input}
    named: dict[str, int] = {}
    for spec in inputs:
        if spec.name not in given:
            raise ModelError(f"{name}: it has no input {spec.name!r}; its inputs are {', '.join(map(str, given))}")
        dims = given[spec.name].type.tensor_type.shape.dim
        if len(dims) != len(spec.shape):
            raise ModelError(f"{name}: input {spec.name!r} has {len(dims)} sizes, and {len(spec.shape)} were given")
        for place, (dim, size) in enumerate(zip(dims, spec.shape, strict=True)):
            _refuse_other_size(dim.dim_value, size, f"{name}: input {spec.name!r}", place)
            if place and dim.dim_value <= 0:
                named |= {dim.dim_param: size} if dim.dim_param else {}
                dim.dim_value = size
    everywhere = (*graph.input, *graph.output, *graph.value_info)
    for dim in [dim for item in everywhere for dim in item.type.tensor_type.shape.dim if dim.dim_param in named]:
        dim.dim_value = named[dim.dim_param]
    return bool(inputs)


def _refuse_other_size(own: int, size: int, who: str, place: int) -> None:
    if 0 < own != size and not (place == 0 and size == -1):
        raise ModelError(
            f"{who} has size {own} at place {place}, not {size}; only sizes that the file leaves free can be fixed"
        )
