"""NNCF: ``quantize`` as its guide has it, or ``quantize_with_accuracy_control`` to half a point."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.peers.inside.exchange import Feed, Work, run

MAX_DROP = 0.005


def make(work: Work) -> onnx.ModelProto:
    """Return the quantized model."""
    import nncf  # type: ignore[import-not-found] # installed in its own environment alone

    model = onnx.load(work.model)
    kind = {"model_type": nncf.ModelType.TRANSFORMER} if work.transformer else {}
    calibration = nncf.Dataset(work.rows())
    if not work.arguments.accuracy_control:
        quantized: onnx.ModelProto = nncf.quantize(model, calibration, **kind)
        return quantized
    rows, truths, kind_of_truth = validation_rows(work)
    controlled: onnx.ModelProto = nncf.quantize_with_accuracy_control(
        model,
        calibration_dataset=calibration,
        validation_dataset=nncf.Dataset(list(zip(rows, truths, strict=True)), itemgetter(0)),
        validation_fn=validation(kind_of_truth, float(np.std(truths))),
        max_drop=MAX_DROP,
        drop_type=nncf.DropType.ABSOLUTE,
        **kind,
    )
    return controlled


def validation_rows(work: Work) -> tuple[list[Feed], NDArray[Any], str]:
    """Return the rows to judge by, what is true of each, and which kind of truth that is."""
    held = work.arrays("validation")
    rows = work.rows("validation")
    if "label" not in held:
        return rows, next(values for name, values in held.items() if name.startswith("reference/")), "original"
    label = held["label"]
    if np.issubdtype(label.dtype, np.integer):
        return rows, label, "class"
    return rows, label, "quantity"


def validation(kind: str, spread: float) -> Any:
    """Return a function of a model and rows: its score, higher is better, 1 at best, and that of each row.

    The score is accuracy for classes, 1 - RMSE / spread for quantities, the mean cosine for the original's answers.
    """
    import onnxruntime

    def score(model: onnx.ModelProto, items: Iterable[tuple[Feed, NDArray[Any]]]) -> tuple[float, list[float]]:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        each = [row_score(session.run(None, row)[0], truth, kind) for row, truth in items]
        if kind == "quantity":
            return 1 - float(np.sqrt(-np.mean(each))) / spread, each
        return float(np.mean(each)), each

    return score


def row_score(answer: NDArray[Any], truth: NDArray[Any], kind: str) -> float:
    """Return how good the answer to one row is, higher is better."""
    own, wanted = answer.reshape(-1), np.asarray(truth).reshape(-1)
    if kind == "class":
        return float(own.argmax() == wanted[0]) if own.size > 1 else float((own[0] > 0.5) == wanted[0])
    if kind == "quantity":
        return -float(((own - wanted) ** 2).mean())
    return float(own @ wanted / np.linalg.norm(own) / np.linalg.norm(wanted))


if __name__ == "__main__":
    sys.exit(run(make, flags=("--accuracy-control",), tools=("nncf", "onnx", "onnxruntime")))
