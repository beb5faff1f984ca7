"""The artifacts of a network's versions: fp32 ONNX, int8 ONNX, int8 TFLite; made once and kept."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.delivery.training import ALL_LAYERS, LAST_LAYER, Network, fine_tuned, pruned, retrained
from contracts.ids import ProfileName
from contracts.manifest import Budget
from device_profiles.host import host_profile
from optimizer.benchmark.timing import Timing
from optimizer.calibration.rows import CalibrationSet
from optimizer.data.dataset import Dataset
from optimizer.metrics.classes import top_class
from optimizer.metrics.fidelity import Fidelity
from optimizer.metrics.interval import Interval
from optimizer.model import Model
from optimizer.packing import pack
from optimizer.pass_ import Pass
from optimizer.passes import ExportOnnx, ExportTflite, QuantizeStatic, QuantizeTflite, SimplifyOnnx
from optimizer.pipeline import Pipeline
from optimizer.search.candidate import Candidate, Product, Verdict
from optimizer.served import serve

if TYPE_CHECKING:
    from torch import nn

BASE: Final = "base"
METADATA: Final = "metadata changed"
REQUANTIZED: Final = "requantized"
PRUNED: Final = "pruned and fine-tuned"
RETRAINED: Final = "retrained"
_ONNX: Final = (ExportOnnx(), SimplifyOnnx())
KINDS: Final[Mapping[str, tuple[Pass, ...]]] = {
    "fp32 ONNX": _ONNX,
    "int8 ONNX": (*_ONNX, QuantizeStatic()),
    "int8 TFLite": (*_ONNX, ExportTflite(), QuantizeTflite()),
}
_REQUANTIZED: Final[Mapping[str, tuple[Pass, ...]]] = {
    "int8 ONNX": (*_ONNX, QuantizeStatic(rows=64)),
    "int8 TFLite": (*_ONNX, ExportTflite(), QuantizeTflite(rows=64)),
}
_GOLDEN_ROWS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One artifact of a network: which change made it, of which kind, and its accuracy on the held rows (0 to 1)."""

    network: str
    change: str
    kind: str
    artifact: bytes
    accuracy: float


def versions_of(network: Network, folder: Path) -> Iterator[Version]:
    """Yield every version of every kind, the base first; what lies in the folder is not made again."""
    for change, passes_of in _changes().items():
        model: Model | None = None
        for kind, passes in passes_of.items():
            path = folder / network.name / f"{kind}-{change}.artifact".replace(" ", "_").replace(",", "")
            if not path.exists():
                model = model or _model(network, change)
                content, accuracy = _packed(network, model, change=change, passes=passes)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.with_suffix(".json").write_text(json.dumps({"accuracy": accuracy}))
                path.write_bytes(content)
            told = json.loads(path.with_suffix(".json").read_text())
            yield Version(
                network=network.name,
                change=change,
                kind=kind,
                artifact=path.read_bytes(),
                accuracy=float(told["accuracy"]),
            )


def _changes() -> dict[str, Mapping[str, tuple[Pass, ...]]]:
    first, last = (BASE, METADATA, "last layer", *ALL_LAYERS), (PRUNED, RETRAINED)
    return {**dict.fromkeys(first, KINDS), REQUANTIZED: _REQUANTIZED, **dict.fromkeys(last, KINDS)}


def _model(network: Network, change: str) -> Model:
    net = _net(network, change)
    return Model.from_torch(net, inputs={"x": network.shape}, name=network.name)


def _net(network: Network, change: str) -> nn.Module:
    if change in ALL_LAYERS:
        return fine_tuned(network, ALL_LAYERS[change])
    if change == PRUNED:
        return pruned(network)
    if change == "last layer":
        return fine_tuned(network, LAST_LAYER)
    return retrained(network) if change == RETRAINED else copy.deepcopy(network.net)


def _packed(network: Network, model: Model, *, change: str, passes: tuple[Pass, ...]) -> tuple[bytes, float]:
    rows = {"x": network.rows}
    product = Pipeline(*passes).plan(model, host_profile(), calibration=CalibrationSet.of(rows)).run()
    answers = serve(product.model, model, ()).infer({"x": network.held_rows})
    accuracy = float((top_class(answers[model.outputs[0].name]) == network.held_label).mean())
    clear = _clear_rows(network)
    golden = {"x": network.held_rows[clear]}
    content = pack(
        _candidate(product, accuracy),
        version="1.0.0" if change == BASE else "1.1.0",
        counter=1 if change == BASE else 2,
        profile=ProfileName("host"),
        dataset=Dataset.of(calibration=rows, holdout=golden, label=network.held_label[clear]),
        budget=Budget(),
        golden_rows=_GOLDEN_ROWS,
    )
    return content, accuracy


def _clear_rows(network: Network) -> NDArray[np.int64]:
    """Return the held rows that the net of today is surest of: every version records answers to the same ones."""
    import torch

    with torch.no_grad():
        scores = np.sort(network.net(torch.from_numpy(network.held_rows)).numpy(), axis=1)
    return np.sort(np.argsort(scores[:, -1] - scores[:, -2], kind="stable")[-_GOLDEN_ROWS:]).astype(np.int64)


def _candidate(product: Product, accuracy: float) -> Candidate:
    """Return the product with the figures that ``pack`` writes down; its time is not what is measured here."""
    timing = Timing(samples_ms=(1.0,), warmup=0, threads=1, machine="not timed")
    return Candidate(
        product=product,
        preprocessing=product.model.adapter,
        fidelity=Fidelity(
            metric="accuracy",
            n=1,
            value=accuracy,
            original=accuracy,
            drop=Interval(value=0.0, low=0.0, high=0.0),
            unit="points",
            others={},
        ),
        latency=timing,
        beside=timing,
        memory_bytes=0,
        verdict=Verdict.WINNER,
        reason="made for the table",
    )
