"""litert-torch: the torch module, as its guide says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.conversion.inside.exchange import run


def convert(given: Path, out: Path) -> None:
    """Rebuild the module from its weights and convert it on a batch of one."""
    import litert_torch  # type: ignore[import-not-found] # installed in its own environment alone
    import numpy as np
    import torch

    from benchmarks.conversion.zoo.catalog import rebuilt

    name = json.loads((given / "case.json").read_text(encoding="utf-8"))["name"]
    module = rebuilt(name, torch.load(given / "weights.pt", weights_only=True))
    with np.load(given / "rows.npz", allow_pickle=False) as held:
        inputs = [key for key in held.files if key.startswith("real/")]
        sample = tuple(torch.from_numpy(held[key][:1]) for key in inputs)
    litert_torch.convert(module, sample).export(str(out / "out.tflite"))


if __name__ == "__main__":
    sys.exit(run(convert))
