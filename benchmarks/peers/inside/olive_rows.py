"""What Olive asks a user for: a script that registers a data set of the user's own rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from olive.data.registry import Registry  # type: ignore[import-not-found] # in its own environment alone


class Rows:
    """The rows of an ``.npz`` file, one feed each, beside a label that nobody asks for."""

    def __init__(self, path: str) -> None:
        with np.load(path, allow_pickle=False) as held:
            self._arrays = {name: held[name] for name in held.files if name != "label"}

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(next(iter(self._arrays.values())))

    def __getitem__(self, place: int) -> tuple[dict[str, Any], int]:
        """Return one row without its batch: Olive's loader adds it."""
        return {name: values[place] for name, values in self._arrays.items()}, 0


@Registry.register_dataset()  # type: ignore[untyped-decorator] # olive is not installed where types are checked
def calibration_rows(data_dir: str, **_: Any) -> Rows:
    """Return the rows of the file."""
    return Rows(data_dir)
