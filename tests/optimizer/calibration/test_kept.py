"""Statistics are collected once, survive a kill, and are never taken from a damaged file."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from contracts.ids import Digest
from contracts.preprocessing import Step, StepKind
from optimizer.calibration.collect import collect
from optimizer.calibration.kept import KeptStatistics, from_bytes, statistics_key, to_bytes
from optimizer.calibration.rows import CalibrationSet
from optimizer.calibration.statistics import Statistics
from optimizer.errors import PassFailed
from optimizer.ledger import read_entries
from optimizer.model import Model
from optimizer.store import FolderStore, Kind, MemoryStore, Store
from tests.optimizer.builders import rows
from tests.optimizer.calibration.collecting import BATCHES, ROWS, SlowRows, a_model, collect_into
from tests.optimizer.calibration.graphs import a_convnet, a_logarithm
from tests.optimizer.calibration.tensors import exact_all, means

_IMAGES = CalibrationSet.of({"image": rows((2, 6, 6), count=40)})


def _ticking() -> float:
    """Be a clock that stands still."""
    return 0.0


def _of(model: Model, store: Store, *, wanted: int = 30, calibration: CalibrationSet = _IMAGES) -> Statistics:
    return KeptStatistics(store, clock=_ticking).of(model, calibration, model.inputs, wanted)


def _start(store: Path, taken: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.optimizer.calibration.collecting", str(store), str(taken)]
    return subprocess.Popen(command)


def _killed_after_a_batch(store: Path, taken: Path) -> int:
    """Start a collection and kill it as soon as it has read a batch, or let it end; return its exit code."""
    before = len(read_entries(taken))
    process = _start(store, taken)
    while process.poll() is None and len(read_entries(taken)) <= before:
        time.sleep(0.005)
    process.kill()
    return process.wait()


def test_statistics_go_through_bytes_unchanged() -> None:
    seen = collect(a_convnet(), [{"image": rows((2, 6, 6), count=9)}])

    again = from_bytes(to_bytes(seen))

    assert again is not None
    assert exact_all(again) == exact_all(seen)
    assert means(again).tolist() == means(seen).tolist()
    assert to_bytes(again) == to_bytes(seen)


def test_no_tensor_at_all_goes_through_bytes() -> None:
    assert from_bytes(to_bytes(Statistics(rows=3, tensors={}))) == Statistics(rows=3, tensors={})


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_bytes_cut_short_are_nothing(share: float) -> None:
    content = to_bytes(collect(a_convnet(), [{"image": rows((2, 6, 6), count=2)}]))

    assert from_bytes(content[: int(len(content) * share)]) is None


def test_bytes_with_one_flipped_are_nothing() -> None:
    content = to_bytes(collect(a_convnet(), [{"image": rows((2, 6, 6), count=2)}]))

    flipped = [content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :] for at in range(0, len(content), 97)]

    assert [from_bytes(damaged) for damaged in flipped] == [None] * len(flipped)


def test_the_same_rows_are_looked_at_once(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)

    first, again = _of(a_convnet(), store), _of(a_convnet(), FolderStore(tmp_path))

    assert exact_all(first) == exact_all(again)
    assert [entry.what for entry in store.ledger] == ["statistics of convnet over 30 rows"]


def test_another_model_other_rows_another_number_or_other_steps_are_other_statistics() -> None:
    other = CalibrationSet.of({"image": rows((2, 6, 6), count=40, seed=6)})

    keys = {
        statistics_key(a_convnet(), _IMAGES, 30),
        statistics_key(a_convnet(), _IMAGES, 31),
        statistics_key(a_convnet(), other, 30),
        statistics_key(a_logarithm(), _IMAGES, 30),
    }

    assert len(keys) == 4


def test_wanting_more_rows_than_there_are_is_wanting_all() -> None:
    store = MemoryStore()

    assert _of(a_convnet(), store, wanted=40).rows == _of(a_convnet(), store, wanted=1000).rows == 40
    assert len(store.ledger) == 1


def test_rows_are_evenly_spread() -> None:
    calibration = CalibrationSet.of({"x": np.repeat(np.arange(1.0, 102.0, dtype=np.float32)[:, None], 2, axis=1)})

    seen = _of(a_logarithm(), MemoryStore(), wanted=5, calibration=calibration).tensors["x"]

    assert (seen.low, seen.high, seen.channel_mean.tolist()) == (1.0, 101.0, [51.0, 51.0])


def test_a_damaged_entry_is_made_again() -> None:
    store = MemoryStore()
    seen = _of(a_convnet(), store)
    key = statistics_key(a_convnet(), _IMAGES, 30)
    kept = store.read(key, Kind.STATISTICS)
    store.write(key, Kind.STATISTICS, b"damaged")

    assert exact_all(_of(a_convnet(), store)) == exact_all(seen)
    assert store.read(key, Kind.STATISTICS) == kept


def test_damaged_unfinished_work_is_begun_again() -> None:
    store = MemoryStore()
    store.write(statistics_key(a_convnet(), _IMAGES, 30), Kind.UNFINISHED, b"damaged")

    assert _of(a_convnet(), store).rows == 30


def test_a_failure_is_raised_each_time_and_never_kept() -> None:
    store = MemoryStore()
    values = np.ones((40, 2), np.float32)
    values[33] = -1.0
    calibration = CalibrationSet.of({"x": values})

    with pytest.raises(PassFailed, match="row 33 "):
        _of(a_logarithm(), store, wanted=40, calibration=calibration)
    with pytest.raises(PassFailed, match="row 33 "):
        _of(a_logarithm(), store, wanted=40, calibration=calibration)

    assert store.ledger == ()


def test_the_named_row_is_the_one_of_the_data_even_where_rows_are_picked() -> None:
    values = np.ones((41, 2), np.float32)
    values[20] = -1.0

    with pytest.raises(PassFailed, match="row 20 "):
        _of(a_logarithm(), MemoryStore(), wanted=3, calibration=CalibrationSet.of({"x": values}))


def test_progress_ends_at_the_last_row() -> None:
    told: list[tuple[str, float]] = []
    looking = KeptStatistics(MemoryStore(), clock=_ticking, progress=lambda what, share: told.append((what, share)))

    looking.of(a_convnet(), _IMAGES, a_convnet().inputs, 30)

    assert told[-1] == ("convnet: 30 of 30 calibration rows", 1.0)


def test_unfinished_work_of_another_is_gone_on_with(tmp_path: Path) -> None:
    store, taken = FolderStore(tmp_path / "store"), tmp_path / "taken"
    calibration = CalibrationSet.of(SlowRows(taken))
    model = a_model()
    half = collect(model, [{"x": calibration.take(model, model.inputs, ROWS)["x"][:24]}])
    store.write(statistics_key(model, calibration, ROWS), Kind.UNFINISHED, to_bytes(half))
    taken.unlink()

    collect_into(tmp_path / "store", taken)

    assert [entry.what for entry in read_entries(taken)] == ["24-31", "32-39", "40-47"]
    assert store.read(statistics_key(model, calibration, ROWS), Kind.UNFINISHED) is None


@pytest.mark.slow
def test_a_collection_killed_again_and_again_ends_with_the_same_bytes(tmp_path: Path) -> None:
    calm, calm_taken = tmp_path / "calm", tmp_path / "calm-taken"
    collect_into(calm, calm_taken)
    store, taken = tmp_path / "store", tmp_path / "taken"

    codes = [_killed_after_a_batch(store, taken) for _ in range(BATCHES)]
    collect_into(store, taken)

    kills = codes.count(-signal.SIGKILL)
    assert kills >= 3
    assert len(read_entries(calm_taken)) == BATCHES
    assert len(read_entries(taken)) <= BATCHES + kills
    (entry,) = FolderStore(store).ledger
    assert entry == FolderStore(calm).ledger[0]
    assert FolderStore(store).read(Digest(entry.key), Kind.STATISTICS) == FolderStore(calm).read(
        Digest(entry.key), Kind.STATISTICS
    )


@pytest.mark.slow
def test_processes_that_share_a_store_look_at_the_rows_once(tmp_path: Path) -> None:
    store, taken = tmp_path / "store", tmp_path / "taken"

    processes = [_start(store, taken) for _ in range(3)]
    codes = [process.wait() for process in processes]

    assert codes == [0, 0, 0]
    assert len(read_entries(taken)) == BATCHES
    assert len(FolderStore(store).ledger) == 1


def test_the_adapter_is_part_of_the_key() -> None:
    adapted = dataclasses.replace(a_convnet(), adapter=(Step(kind=StepKind.CHANNEL_LAST, tensor="image"),))

    assert statistics_key(adapted, _IMAGES, 30) != statistics_key(a_convnet(), _IMAGES, 30)
