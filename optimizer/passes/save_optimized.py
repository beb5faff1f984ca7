"""ONNX to offline-optimized ONNX: what ONNX Runtime would make of the graph at each start, made once.

It buys loading time, not latency: the runtime does the same work when it loads the plain file. ONNX Runtime numbers
what it adds in an order that changes from run to run; here it is numbered by place, so equal models give equal bytes.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Final

from device_profiles.host import host_architecture
from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed, first_line
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass

_NUMBERED: Final = re.compile(r"^(.*)_token_\d+$")
"""How ONNX Runtime names tensors that it adds."""


class Level(StrEnum):
    """How far the graph is optimized before it is saved."""

    EXTENDED = "extended"
    """Fused for the runtime, the same on every processor."""
    ALL = "all"
    """Laid out for this machine's processor as well: for targets of the same architecture alone."""


def level_for(target: DeviceProfile) -> Level:
    """Return the furthest level that this machine can save for the target."""
    return Level.ALL if target.architecture == host_architecture() else Level.EXTENDED


@dataclass(frozen=True, kw_only=True)
class SaveOptimized(Pass):
    """Save the graph as ONNX Runtime optimizes it, still as ONNX; it loads faster and runs as before."""

    name: ClassVar[str] = "save-optimized"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    needs: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    tools: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")

    level: Level = field(
        default=Level.EXTENDED, metadata={"doc": "extended for any processor, all for this one's kind"}
    )

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to a layout for another processor than the target's."""
        del spec
        yield from wrong_architecture(self.name, self.level, target)

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the optimized model.

        Raises:
            PassFailed: ONNX Runtime refuses the model, or finds nothing to optimize in it.
        """
        del seen
        content = optimized_onnx(model, self.level, self.name)
        if _operators_in_order(content) == _operators_in_order(model.content):
            raise PassFailed(
                f"{self.name}: ONNX Runtime finds nothing to optimize in {model.name}; leave this pass out"
            )
        return Model.from_bytes(Format.ONNX, content, name=model.name, adapter=model.adapter)


def wrong_architecture(step: str, level: Level, target: DeviceProfile) -> Iterator[str]:
    """Yield the objection to ``level=all`` where the target's processor is of another kind than this machine's."""
    if level is Level.ALL and target.architecture != host_architecture():
        yield (
            f"{step}(level=all) lays the graph out for {host_architecture()}, and {target.name} is "
            f"{target.architecture}: use level=extended"
        )


def optimized_onnx(model: Model, level: Level, step: str) -> bytes:
    """Return the model's bytes as ONNX Runtime optimizes it, in an order of our own.

    Raises:
        PassFailed: ONNX Runtime refuses the model.
    """
    import onnx

    saved = onnx.load_model_from_string(saved_by_runtime(model.content, model.name, step, level=level.value))
    _number_by_place(saved)
    _sort(saved)
    content: bytes = saved.SerializeToString(deterministic=True)
    return content


def _operators_in_order(content: bytes) -> list[str]:
    import onnx

    from optimizer.formats.onnx_graphs import operations

    return [entry.op_type for entry in operations(onnx.load_model_from_string(content))]


def saved_by_runtime(content: bytes, name: str, step: str, *, level: str, kind: str = "ONNX") -> bytes:
    """Return what ONNX Runtime saves of an ONNX file.

    Args:
        content: the file.
        name: of the model, for messages.
        step: the pass, for messages.
        level: ``extended``, ``all``, or ``disabled`` for the graph as it is.
        kind: ``ONNX`` or ``ORT``: in which format.

    Raises:
        PassFailed: ONNX Runtime refuses the model.
    """
    import onnxruntime

    from optimizer.formats.onnx_format import runtime_errors

    levels = onnxruntime.GraphOptimizationLevel
    chosen = {"extended": levels.ORT_ENABLE_EXTENDED, "all": levels.ORT_ENABLE_ALL, "disabled": levels.ORT_DISABLE_ALL}
    with tempfile.TemporaryDirectory(prefix="edgeship-") as folder:
        path = Path(folder) / "model"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = chosen[level]
        options.optimized_model_filepath = str(path)
        options.add_session_config_entry("session.save_model_format", kind)
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            return path.read_bytes()
        except runtime_errors() as error:
            raise PassFailed(
                f"{step}: ONNX Runtime cannot save {name} ({first_line(error)}); leave this pass out"
            ) from error


def _number_by_place(proto: Any) -> None:
    """Rename what ONNX Runtime added, and every operation, by place in the file."""
    from optimizer.formats.onnx_graphs import graphs, operations

    names = [name for entry in operations(proto) for name in (*entry.input, *entry.output)]
    taken, renamed = set(names), dict[str, str]()
    for name in names:
        match = _NUMBERED.match(name)
        if match and name not in renamed:
            renamed[name] = _free(f"{match.group(1)}_{len(renamed)}", taken)
    for graph in graphs(proto.graph):
        for item in (*graph.initializer, *graph.value_info):
            item.name = renamed.get(item.name, item.name)
    for entry in operations(proto):
        for listed in (entry.input, entry.output):
            listed[:] = [renamed.get(name, name) for name in listed]
        entry.name = next((name for name in entry.output if name), "")


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name = f"{name}_"
    taken.add(name)
    return name


def _sort(proto: Any) -> None:
    """Put what has no order into one, and leave out operator sets that no operation is of."""
    from optimizer.formats.onnx_graphs import graphs, operations

    used = {entry.domain for entry in operations(proto)} | {""}
    kept = sorted((item.domain, item.version) for item in proto.opset_import if item.domain in used)
    del proto.opset_import[:]
    for domain, version in kept:
        proto.opset_import.add(domain=domain, version=version)
    for graph in graphs(proto.graph):
        graph.initializer.sort(key=lambda item: item.name)
        graph.value_info.sort(key=lambda item: item.name)
    for entry in operations(proto):
        entry.attribute.sort(key=lambda item: item.name)
