"""What is resident while all rows are read does not grow with their number."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.optimizer.data.samples import pixels, write_images

FEW, MANY = 500, 10_000
PROGRAM = """
import sys
from pathlib import Path

from contracts.tensors import ElementType, TensorSpec
from optimizer.data.dataset import misfits
from optimizer.data.source import DataOptions, open_dataset

shape = tuple(int(size) for size in sys.argv[2].split(","))
spec = TensorSpec(name="x", element=ElementType.FP32, shape=(-1, *shape))
data = open_dataset(sys.argv[1], (spec,), options=DataOptions(calibration_rows=250))
rows = sum(len(batch["x"]) for split in (data.calibration, data.holdout) for batch in split.batches(64))
assert not list(misfits("holdout", data.holdout, (spec,)))
status = Path("/proc/self/status").read_text()
print(rows, int(status.partition("VmHWM:")[2].split()[0]))
"""


def _stored(path: Path, count: int) -> str:
    np.savez(path.with_suffix(".npz"), x=np.random.default_rng(0).normal(size=(count, 3, 32, 32)).astype(np.float32))
    return f"{path}.npz"


def _compressed(path: Path, count: int) -> str:
    np.savez_compressed(path.with_suffix(".npz"), x=np.zeros((count, 3, 32, 32), np.float32))
    return f"{path}.npz"


def _parquet(path: Path, count: int) -> str:
    values = np.random.default_rng(0).normal(size=(64, count))
    table = pa.table({f"c{place}": column for place, column in enumerate(values)})
    pq.write_table(table, path.with_suffix(".parquet"), row_group_size=1000)
    return f"{path}.parquet"


def _images(path: Path, count: int) -> str:
    write_images(path, {f"{place}.png": pixels(place, 32, 32) for place in range(count)})
    return str(path)


def peak_kib(where: str, shape: str, expected: int) -> int:
    """Return the greatest resident size of a process that reads all rows there."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, where, shape], check=True, capture_output=True, text=True)
    rows, peak = (int(word) for word in done.stdout.split())
    assert rows == expected
    return peak


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "shape"),
    [(_stored, "3,32,32"), (_compressed, "3,32,32"), (_parquet, "64"), (_images, "3,32,32")],
)
def test_ten_thousand_rows_take_no_more_memory_than_five_hundred(
    tmp_path: Path, write: Callable[[Path, int], str], shape: str
) -> None:
    few, many = write(tmp_path / "few", FEW), write(tmp_path / "many", MANY)

    at_few, at_many = peak_kib(few, shape, FEW), peak_kib(many, shape, MANY)

    assert at_many <= 1.1 * at_few
