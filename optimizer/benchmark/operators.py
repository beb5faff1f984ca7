"""Where the time of one inference goes, operation by operation, as ONNX Runtime's own profiler tells it.

The profiler counts whole microseconds and takes time itself, so its sum is not the wall time: each operation's median
is kept as it was told and scaled so that all of them add up to the wall time of the same runs without the profiler
(the two sessions take turns). An operation of a few microseconds is therefore known to about one.

Operations are named by the tensor that they give in the model's own file. What the runtime fused goes by its layer:
convolution with its activation by the tensor of the convolution, in the float file and in its int8 twin alike, so
that the two profiles compare layer by layer.
"""

from __future__ import annotations

import json
import re
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from contracts.manifest import TakenOn
from optimizer.benchmark.lock import machine_to_oneself
from optimizer.benchmark.machine import machine_in_words
from optimizer.benchmark.runner import Measurable
from optimizer.errors import MeasureFailed, OptimizerError, first_line
from optimizer.formats.session import open_session
from optimizer.model import Format, Model
from optimizer.served import Served
from optimizer.telling import Told, nobody

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WARMUP: Final = 5
_EVENTS_LIMIT: Final = 500_000
"""The profiler keeps a million events and drops the rest; this many are read without taking much memory."""
_KERNEL: Final = "_kernel_time"
_ADDED: Final = re.compile(r"(_nchwc|_token_\d+|/duplicated|/MatMulAddFusion/?)$")
"""What the runtime hangs onto the name of an operation that it rewrote."""
_QUANTIZED: Final = re.compile(r"(_QuantizeLinear_(Input|Output)|_DequantizeLinear_Output)$")
"""What quantizing hangs onto the name of a tensor."""
_LAYER: Final = re.compile(r"Conv|Gemm|MatMul|Attention|LSTM|GRU|RNN")
_REACH: Final = 12
"""How many operations a fused one may span between its layer and what it gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime:
    """One operation of the graph as the runtime runs it.

    ``name`` is the tensor that it gives in the model's file, the layer's where several were fused; the
    tensor that it moves where the runtime added it (a change of layout). ``told_us`` is the median that the profiler
    told, ``p50_us`` the same scaled to the wall time, ``share`` its part of the whole, 0 to 1.
    """

    name: str
    operator: str
    p50_us: float
    told_us: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorProfile:
    """All operations in the order in which they run, or why they cannot be told.

    ``wall_p50_us`` is the median of ``runs`` whole runs without the profiler, ``told_us`` the sum of what it told.
    """

    operators: tuple[OperatorTime, ...]
    wall_p50_us: float
    told_us: float
    runs: int
    threads: int
    machine: str
    taken_on: TakenOn = TakenOn.HOST
    unavailable: str = ""


def profile_operators(
    measurable: Measurable,
    rows: Mapping[str, NDArray[np.generic]],
    *,
    runs: int = 100,
    threads: int = 1,
    named_as: Model | None = None,
    taken_on: TakenOn = TakenOn.HOST,
    told: Told = nobody,
) -> OperatorProfile:
    """Return where the time of one row goes on this machine.

    Args:
        measurable: the model; only for an ONNX file can it be told.
        rows: a few rows by served input name, raw; each run takes another one.
        runs: how often each of the two sessions runs; fewer for graphs of thousands of operations.
        threads: how many threads the runtime gets.
        named_as: the float ONNX model that this one is a twin of; layers get its names, also where quantizing took
            away the activation behind them.
        taken_on: whether this machine is the target; recorded.
        told: called with a sentence if somebody else is measuring.

    Raises:
        MeasureFailed: the model does not run here.
    """
    with machine_to_oneself(told):
        why = _why_not(measurable.model.format)
        if why:
            return _profile((), 0.0, runs=0, threads=threads, taken_on=taken_on, unavailable=why)
        try:
            times, wall_us, runs = _profiled(measurable, rows, runs, threads, named_as or measurable.model)
            return _profile(times, wall_us, runs=runs, threads=threads, taken_on=taken_on)
        except OptimizerError as error:
            raise MeasureFailed(f"{measurable.label}: {error}") from error


def _why_not(kind: Format) -> str:
    if kind is Format.TFLITE:
        return "LiteRT's Python interface has no profiler"
    if kind is Format.ORT:
        return "an ORT-format file no longer says what was fused: profile the ONNX file that it was made from"
    return "" if kind is Format.ONNX else "a torch program has no runtime on a device: profile its ONNX export"


def _profiled(
    measurable: Measurable, rows: Mapping[str, NDArray[np.generic]], runs: int, threads: int, named_as: Model
) -> tuple[tuple[tuple[str, str, float], ...], float, int]:
    """Return name, operator and microseconds of each operation, the wall time's median, and how many runs were made."""
    from optimizer.formats.onnx_format import parse

    graph = _Graph.of(parse(measurable.model.content, measurable.model.name))
    runs = max(1, min(runs, _EVENTS_LIMIT // max(len(graph.given), 1)))
    served = Served(
        model=measurable.model,
        session=open_session(measurable.model, threads=threads),
        inputs=measurable.inputs,
        outputs=measurable.outputs,
        steps=measurable.steps,
    )
    feeds = [
        served.own_rows({name: values[place : place + 1] for name, values in rows.items()})
        for place in range(min(len(next(iter(rows.values()))), 64))
    ]
    with tempfile.TemporaryDirectory(prefix="edgeship-") as folder:
        profiling = _Profiling.start(graph, measurable.model.name, Path(folder), threads)
        walls = []
        for run in range(-_WARMUP, runs):
            feed = feeds[run % len(feeds)]
            start = time.perf_counter_ns()
            served.session.run(feed)
            walls.append((time.perf_counter_ns() - start) / 1e3)
            profiling.run(feed)
        events = profiling.events()
    times = _named(graph, events, _Graph.of(parse(named_as.content, named_as.name)))
    return tuple(times), statistics.median(walls[_WARMUP:]), runs


def _profile(
    times: tuple[tuple[str, str, float], ...],
    wall_us: float,
    *,
    runs: int,
    threads: int,
    taken_on: TakenOn,
    unavailable: str = "",
) -> OperatorProfile:
    total = sum(told_us for _, _, told_us in times)
    return OperatorProfile(
        operators=tuple(
            OperatorTime(
                name=name,
                operator=operator,
                p50_us=told_us / total * wall_us,
                told_us=told_us,
                share=told_us / total,
            )
            for name, operator, told_us in times
        ),
        wall_p50_us=wall_us,
        told_us=total,
        runs=runs,
        threads=threads,
        machine=machine_in_words(),
        taken_on=taken_on,
        unavailable=unavailable,
    )


@dataclass(frozen=True, slots=True)
class _Graph:
    """The model's own graph, its operations renamed by what they give: the profiler tells operations by name."""

    content: bytes
    given: Mapping[str, tuple[str, tuple[str, ...]]]
    """By tensor: the operator that gives it, and the tensors that it takes."""

    @classmethod
    def of(cls, proto: Any) -> _Graph:
        given = {}
        for entry in proto.graph.node:
            entry.name = next((name for name in entry.output if name), "")
            given.update({name: (str(entry.op_type), tuple(entry.input)) for name in entry.output if name})
        return cls(proto.SerializeToString(deterministic=True), given)

    def known(self, name: str) -> str:
        """Return the tensor of the file that the runtime's name is made of; empty where there is none."""
        while name not in self.given:
            shorter = _ADDED.sub("", name)
            if shorter == name:
                return ""
            name = shorter
        return name

    def layer(self, tensor: str, others: frozenset[str]) -> str:
        """Return the tensor that the layer gives whose fused operations end in that tensor; itself if none does."""
        ahead = [(tensor, _REACH)]
        for name, reach in ahead:
            operator, taken = self.given.get(name, ("", ()))
            if _LAYER.search(operator):
                return name
            ahead += [(other, reach - 1) for other in taken if reach and other not in others]
        return tensor


@dataclass(frozen=True, slots=True)
class _Profiling:
    """A session that writes down how long each operation takes, and the graph as it runs it."""

    session: Any
    optimized: Path

    @classmethod
    def start(cls, graph: _Graph, name: str, folder: Path, threads: int) -> _Profiling:
        import onnxruntime

        from optimizer.formats.onnx_format import runtime_errors

        options = onnxruntime.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        options.optimized_model_filepath = str(folder / "optimized.onnx")
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(graph.content, options, providers=["CPUExecutionProvider"])
        except runtime_errors() as error:
            raise MeasureFailed(f"{name}: ONNX Runtime cannot profile the model ({first_line(error)})") from error
        return cls(session, folder / "optimized.onnx")

    def run(self, feed: Mapping[str, NDArray[np.generic]]) -> None:
        self.session.run(None, dict(feed))

    def events(self) -> list[tuple[_Entry, float]]:
        """Return each operation in the order in which it ran, and its median, microseconds."""
        import onnx

        entries = {
            entry.name: _Entry(str(entry.op_type), tuple(entry.input), tuple(entry.output))
            for entry in onnx.load(str(self.optimized), load_external_data=False).graph.node
        }
        taken: dict[str, list[int]] = {}
        for event in json.loads(Path(self.session.end_profiling()).read_bytes()):
            name = str(event.get("name", "")).removesuffix(_KERNEL)
            if event.get("cat") == "Node" and name in entries:
                taken.setdefault(name, []).append(int(event["dur"]))
        return [(entries[name].called(name), _median_us(durations)) for name, durations in taken.items()]


@dataclass(frozen=True, slots=True)
class _Entry:
    """An operation of the optimized graph."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str = ""

    def called(self, name: str) -> _Entry:
        return _Entry(self.operator, self.inputs, self.outputs, name)


def _median_us(durations: list[int]) -> float:
    """Return the median of whole microseconds that were cut, not rounded, after the first runs."""
    return statistics.median_grouped(durations[_WARMUP:] or durations, interval=1) + 0.5


def _named(graph: _Graph, events: list[tuple[_Entry, float]], reference: _Graph) -> Iterator[tuple[str, str, float]]:
    """Yield name, operator and microseconds of each operation; layers by their names in the reference."""
    given = [next(filter(None, map(graph.known, (*entry.outputs, entry.name))), "") for entry, _ in events]
    everything = frozenset(given) | {_QUANTIZED.sub("", tensor) for tensor in given}
    for (entry, told_us), tensor in zip(events, given, strict=True):
        name = tensor
        if tensor and _LAYER.search(entry.operator):
            own = _QUANTIZED.sub("", graph.layer(tensor, everything - {tensor}))
            name = reference.layer(own, everything - {own})
        if not name:
            name = next(filter(None, map(graph.known, entry.inputs)), "") or (entry.inputs or (entry.name,))[0]
        yield _QUANTIZED.sub("", name), entry.operator, told_us
