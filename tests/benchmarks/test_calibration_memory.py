"""The benchmark of calibration's memory: what it concludes from its children's figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.calibration_memory import FEW, MANY, OURS, Run, bars, write_rows
from optimizer.data.dataset import Dataset

_FEW = [Run(peak_mib=100.0 + extra, seconds=1.0) for extra in (0, 1, 2)]


def _many(share: float) -> list[Run | None]:
    return [Run(peak_mib=run.peak_mib * share, seconds=20.0) for run in _FEW]


def test_memory_that_stays_holds_the_bar() -> None:
    (ratio, *figures) = bars({(OURS, FEW): [*_FEW], (OURS, MANY): _many(1.05)}, "net")

    assert (ratio.verdict, ratio.n, round(ratio.value, 3)) == ("held", 3, 1.05)
    assert [bar.verdict for bar in figures] == ["reported"] * 4


def test_memory_that_grows_misses_the_bar() -> None:
    (ratio, *_) = bars({(OURS, FEW): [*_FEW], (OURS, MANY): _many(1.2)}, "net")

    assert (ratio.verdict, ratio.holds) == ("missed", False)


def test_a_peer_that_ran_into_the_cap_is_reported_as_such() -> None:
    runs: dict[tuple[str, int], list[Run | None]] = {(OURS, FEW): [*_FEW], (OURS, MANY): _many(1.0)}
    runs["ORT Percentile", MANY] = [None, None, None]

    capped = bars(runs, "net")[-1]

    assert (capped.name, capped.value, capped.n) == ("ORT Percentile, 10,000 rows: peak", 4096.0, 3)
    assert "stopped at this cap" in capped.note


def test_rows_are_written_as_a_data_set(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.npz", 501, seed=1)

    rows = Dataset.load(tmp_path / "rows.npz").calibration

    assert (rows.count, rows.names) == (501, ("x",))
    assert rows.take(np.array([500]))["x"].shape == (1, 3, 32, 32)
