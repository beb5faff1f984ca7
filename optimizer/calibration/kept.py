"""Statistics kept in the store: collected once for a model, rows and steps, and gone on with after a kill.

While rows are looked at, what they showed so far is kept every few seconds under the same key. Whoever asks next
goes on after the last row of it, and ends with the same bytes as one who was never stopped.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from contracts.codec import to_plain
from contracts.ids import Digest, digest_of
from contracts.tensors import TensorSpec
from optimizer.calibration.collect import collect
from optimizer.calibration.rows import CalibrationSet
from optimizer.calibration.statistics import BINS, Statistics, TensorStatistics
from optimizer.model import Format, Model
from optimizer.store import Kind, Store
from optimizer.telling import Progress

CHECKPOINT_SECONDS: Final = 2.0
_DIGEST_LENGTH: Final = 64
_FORM: Final = 2
"""Raised whenever the same rows give other statistics, or they are written in another way."""


class KeptStatistics:
    """Statistics of models over calibration rows, each taken once."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float],
        progress: Progress | None = None,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
    ) -> None:
        """Keep them in the store.

        Args:
            store: where.
            clock: monotonic, seconds.
            progress: told how many rows have been looked at, if anybody wants to know.
            checkpoint_seconds: how much work a kill may cost, at least one batch.
        """
        self._store = store
        self._clock = clock
        self._progress = progress
        self._checkpoint_seconds = checkpoint_seconds

    def of(self, model: Model, calibration: CalibrationSet, served: tuple[TensorSpec, ...], wanted: int) -> Statistics:
        """Return the statistics of the model over up to ``wanted`` of the rows, evenly spread.

        Raises:
            DatasetError: a row cannot be read, or there are too few for the model's fixed batch.
            PassFailed: the model does not run on the rows, or is not finite on one; nothing is kept of that.
        """
        count = len(calibration.places(wanted))
        key = statistics_key(model, calibration, count)
        kept = self._read(key, Kind.STATISTICS)
        if kept is not None:
            return kept
        with self._store.making(key):
            kept = self._read(key, Kind.STATISTICS)  # somebody else may have made it meanwhile
            return kept if kept is not None else self._make(key, model, calibration, served=served, count=count)

    def _make(
        self, key: Digest, model: Model, calibration: CalibrationSet, *, served: tuple[TensorSpec, ...], count: int
    ) -> Statistics:
        begin = self._read(key, Kind.UNFINISHED)
        last = self._clock()

        def kept(so_far: Statistics) -> None:
            nonlocal last
            if self._progress is not None:
                self._progress(f"{model.name}: {so_far.rows} of {count} calibration rows", so_far.rows / count)
            if self._clock() - last >= self._checkpoint_seconds and so_far.rows < count:
                self._store.write(key, Kind.UNFINISHED, to_bytes(so_far))
                last = self._clock()

        batches = calibration.batches(model, served, count, skip=begin.rows if begin else 0)
        places = calibration.places(count).tolist()
        statistics = collect(model, batches, begin=begin, kept=kept, places=places)
        self._store.write(key, Kind.STATISTICS, to_bytes(statistics))
        self._store.enter(key, f"statistics of {model.name} over {statistics.rows} rows")
        self._store.drop(key, Kind.UNFINISHED)
        return statistics

    def _read(self, key: Digest, kind: Kind) -> Statistics | None:
        content = self._store.read(key, kind)
        return None if content is None else from_bytes(content)


def statistics_key(model: Model, calibration: CalibrationSet, count: int) -> Digest:
    """Return the key of the model's statistics over that many of the rows."""
    runtime = "ai-edge-litert" if model.format is Format.TFLITE else "onnxruntime"
    told = {
        "statistics": _FORM,
        "source": model.digest,
        "adapter": [to_plain(step) for step in model.adapter],
        "calibration": calibration.fingerprint,
        "rows": count,
        runtime: importlib.metadata.version(runtime),
    }
    return digest_of(json.dumps(told, sort_keys=True).encode())


def to_bytes(statistics: Statistics) -> bytes:
    """Return the statistics as bytes, an ``.npz`` file behind its digest; equal statistics give equal bytes."""
    tensors = list(statistics.tensors.values())
    channels = [len(tensor.channel_peak) for tensor in tensors]
    file = io.BytesIO()
    np.savez_compressed(
        file,
        names=np.frombuffer(json.dumps(list(statistics.tensors)).encode(), np.uint8),
        rows=np.int64(statistics.rows),
        counts=np.array([(tensor.count, tensor.axis, tensor.infinite) for tensor in tensors], np.int64).reshape(
            len(tensors), 3
        ),
        edges=np.array(
            [(tensor.low, tensor.high, tensor.histogram_low, tensor.histogram_high) for tensor in tensors], np.float64
        ).reshape(len(tensors), 4),
        histogram=np.array([tensor.histogram for tensor in tensors], np.int64).reshape(len(tensors), BINS),
        channels=np.array(channels, np.int64),
        channel_peak=np.concatenate([np.zeros(0, np.float32), *(tensor.channel_peak for tensor in tensors)]),
        channel_mean=np.concatenate([np.zeros(0, np.float64), *(tensor.channel_mean for tensor in tensors)]),
    )
    return digest_of(file.getvalue()).encode() + file.getvalue()


def from_bytes(content: bytes) -> Statistics | None:
    """Return the statistics in the bytes; None where they are damaged."""
    digest, archive = content[:_DIGEST_LENGTH], content[_DIGEST_LENGTH:]
    if digest != digest_of(archive).encode():
        return None
    with np.load(io.BytesIO(archive), allow_pickle=False) as arrays:
        return _from_arrays(dict(arrays))


def _from_arrays(arrays: dict[str, NDArray[np.generic]]) -> Statistics:
    names = json.loads(arrays["names"].tobytes())
    ends = np.cumsum(arrays["channels"])[:-1].astype(np.int64)
    tensors = {}
    for name, (count, axis, infinite), edges, histogram, peak, mean in zip(
        names,
        arrays["counts"].tolist(),
        arrays["edges"].tolist(),
        arrays["histogram"].astype(np.int64),
        np.split(arrays["channel_peak"].astype(np.float32), ends)[: len(names)],
        np.split(arrays["channel_mean"].astype(np.float64), ends)[: len(names)],
        strict=True,
    ):
        low, high, histogram_low, histogram_high = edges
        tensors[name] = TensorStatistics(
            count=count,
            low=low,
            high=high,
            histogram=histogram,
            histogram_low=histogram_low,
            histogram_high=histogram_high,
            axis=axis,
            channel_peak=peak,
            channel_mean=mean,
            infinite=infinite,
        )
    return Statistics(rows=int(arrays["rows"]), tensors=tensors)
