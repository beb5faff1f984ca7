"""Attributes that say what holds without them: an operator's own default, and a convolution's plain window.

ONNX Runtime puts the defaults of each operator's schema in when it reads a file, so it runs what it ran before.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from optimizer.formats.onnx_graphs import graphs
from optimizer.passes.compact_onnx.zero_points import KNOWN

_CONVOLUTIONS: Final = {"Conv": 1, "FusedConv": 1, "ConvInteger": 1, "QLinearConv": 3}
"""Those whose window is the shape of their weights, with the place of these among the inputs."""
_WINDOWED: Final = frozenset({*_CONVOLUTIONS, "ConvTranspose", "AveragePool", "MaxPool", "QLinearAveragePool"})
_PLAIN: Final = {"strides": 1, "dilations": 1, "pads": 0}
"""What each value of these is where the operator does not say."""


def drop_defaults(proto: Any) -> None:
    """Remove the attributes that change nothing; functions stay as they are."""
    versions = {item.domain: int(item.version) for item in proto.opset_import}
    for graph in graphs(proto.graph):
        windows = {tensor.name: list(tensor.dims)[2:] for tensor in graph.initializer}
        for entry in graph.node:
            defaults = _defaults(entry.op_type, entry.domain, versions.get(entry.domain, 0))
            for item in [*entry.attribute]:
                if _is_default(item, defaults) or _is_plain(entry, item, windows):
                    entry.attribute.remove(item)


@cache
def _defaults(operator: str, domain: str, version: int) -> dict[str, bytes]:
    """Return the default of each attribute that has one, as the operator is in that version of its domain."""
    from onnx import AttributeProto

    known = [one for one in _schemas().get((domain, operator), ()) if one.since_version <= version]
    newest = max(known, key=lambda one: int(one.since_version), default=None)
    held = newest.attributes if newest else {}
    values = {name: one._default_value for name, one in held.items()}  # noqa: SLF001 - ONNX Runtime's only way to it
    return {name: _bare(AttributeProto.FromString(value)) for name, value in values.items() if value}


@cache
def _schemas() -> dict[tuple[str, str], list[Any]]:
    """Return ONNX Runtime's schemas of all versions: it knows its own operators' as well."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    found: dict[tuple[str, str], list[Any]] = {}
    for one in state.get_all_operator_schema():
        found.setdefault((one.domain, one.name), []).append(one)
    return found


def _is_default(attribute: Any, defaults: dict[str, bytes]) -> bool:
    return attribute.name in defaults and _bare(attribute) == defaults[attribute.name]


def _bare(attribute: Any) -> bytes:
    """Return name, type and value of an attribute."""
    copy = type(attribute).FromString(attribute.SerializeToString())
    copy.ClearField("doc_string")
    content: bytes = copy.SerializeToString(deterministic=True)
    return content


def _is_plain(entry: Any, attribute: Any, windows: dict[str, list[int]]) -> bool:
    """Whether the attribute is of a window, and what it would be if it were not said."""
    if entry.op_type not in _WINDOWED or entry.domain not in KNOWN:
        return False
    if attribute.name == "kernel_shape" and entry.op_type in _CONVOLUTIONS:
        return list(attribute.ints) == windows.get(entry.input[_CONVOLUTIONS[entry.op_type]])
    return attribute.name in _PLAIN and set(attribute.ints) == {_PLAIN[attribute.name]}
