"""A process that collects statistics into a folder, for tests that kill it: ``python -m ... STORE TAKEN``.

Its rows are 48 of 512 KB, so a batch holds 8 of them. Each batch that is read is a line in the file TAKEN.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from contracts.ids import Digest, digest_of
from optimizer.calibration.kept import KeptStatistics
from optimizer.calibration.rows import CalibrationSet
from optimizer.data.rows import RowForm, Rows
from optimizer.ledger import Entry, append_entry
from optimizer.model import Format, Model
from optimizer.store import FolderStore
from tests.optimizer.formats.onnx_graphs import graph, node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

ROWS = 48
BATCHES = 6
_SHAPE = (512, 256)


class SlowRows(Rows):
    """Rows that take their time and write down what was taken."""

    def __init__(self, taken: Path) -> None:
        self._taken = taken

    @property
    def count(self) -> int:
        """How many rows there are."""
        return ROWS

    @property
    def forms(self) -> Mapping[str, RowForm]:
        """One float tensor."""
        return {"x": RowForm(dtype=np.dtype(np.float32), shape=_SHAPE)}

    @property
    def digest(self) -> Digest:
        """A digest that reads nothing."""
        return digest_of(b"slow rows")

    def take(self, places: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
        """Return seeded rows, and write down the first and last place."""
        append_entry(self._taken, Entry(key="taken", what=f"{places[0]}-{places[-1]}"))
        time.sleep(0.03)
        return {"x": np.stack([np.random.default_rng(place).normal(size=_SHAPE) for place in places.tolist()])}


def a_model() -> Model:
    """Return x (n, 512, 256) -> Relu -> y."""
    content = graph(node("Relu", "x", "y"), inputs={"x": (1, *_SHAPE)})
    return Model.from_bytes(Format.ONNX, content, name="wide")


def collect_into(store: Path, taken: Path) -> None:
    """Collect the statistics of the model over all rows, keeping each batch."""
    model = a_model()
    looking = KeptStatistics(FolderStore(store), clock=time.monotonic, checkpoint_seconds=0.0)
    looking.of(model, CalibrationSet.of(SlowRows(taken)), model.inputs, ROWS)


if __name__ == "__main__":
    collect_into(Path(sys.argv[1]), Path(sys.argv[2]))
