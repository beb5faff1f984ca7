"""Is the peak memory of calibration independent of the number of samples?

The parent streams CIFAR-sized rows into ``.npz`` files; a child process (``--side``) calibrates and quantizes one
model with one of them and prints its peak memory and its seconds. The peer is ONNX Runtime's own ``quantize_static``,
which gets the same rows one by one from the same lazily read file, so all memory above ours is its calibrator's.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.harness import Bar, Options, at_most, finish, options, reported

QUESTION = "Is the peak memory of calibration independent of the number of samples?"
FEW, MANY = 500, 10_000
LIMIT = 1.10
REPEATS = 3
OURS: Final = "ours"
PEERS: Final = {"ORT MinMax": "MinMax", "ORT Percentile": "Percentile"}
CAP_BYTES: Final = 4 << 30
"""What a child may take for data, so that a peer that grows does not take the machine down."""
_MIB = 1 << 20
_HOLDOUT = 16
_CHUNK = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One child: its peak resident memory and its wall time; None where the cap stopped it."""

    peak_mib: float
    seconds: float


def measure(chosen: Options) -> list[Bar]:
    """Return the bars: our ratio judged, all else reported."""
    counts = (FEW, MANY)
    sides = [OURS, "ORT MinMax"] if chosen.quick else [OURS, *PEERS]
    runs: dict[tuple[str, int], list[Run | None]] = {(side, count): [] for side in sides for count in counts}
    chance = random.Random(chosen.seed)  # noqa: S311 (an order, no secret)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = write_model(folder, chosen)
        for count in counts:
            write_rows(folder / f"{count}.npz", count, seed=chosen.seed)
        order = list(runs) * (1 if chosen.quick else REPEATS)
        chance.shuffle(order)
        for side, count in order:
            runs[side, count].append(in_child(side, count, model, folder))
    return bars(runs, model.stem)


def bars(runs: Mapping[tuple[str, int], list[Run | None]], model: str) -> list[Bar]:
    """Return our ratio as a bar, and every side's memory and seconds as figures."""
    few, many = _finished(runs[OURS, FEW]), _finished(runs[OURS, MANY])
    ratios = [b.peak_mib / a.peak_mib for a, b in zip(few, many, strict=True)]
    found = [at_most(f"ours: peak at {MANY:,} rows over peak at {FEW}, {model}", ratios, unit="x", limit=LIMIT)]
    for (side, count), taken in runs.items():
        finished = _finished(taken)
        name = f"{side}, {count:,} rows"
        if len(finished) < len(taken):
            cap = [CAP_BYTES / _MIB] * len(taken)
            found.append(reported(f"{name}: peak", cap, unit="MiB", note="or more: stopped at this cap"))
            continue
        found.append(reported(f"{name}: peak", [run.peak_mib for run in finished], unit="MiB"))
        found.append(reported(f"{name}: wall time", [run.seconds for run in finished], unit="s"))
    return found


def write_model(folder: Path, chosen: Options) -> Path:
    """Write the model to calibrate: ResNet20 of the given data, else a seeded ResNet8."""
    given = chosen.data / "image_cifar10" / "resnet20.onnx" if chosen.data else None
    if given is not None and given.exists():
        path = folder / "resnet20.onnx"
        path.write_bytes(given.read_bytes())
        return path
    from benchmarks.networks import NETWORKS, exported

    (network,) = (one for one in NETWORKS if one.name == "resnet8")
    path = folder / "resnet8-seeded.onnx"
    path.write_bytes(exported(network, seed=chosen.seed))
    return path


def write_rows(path: Path, count: int, *, seed: int) -> None:
    """Write a data set of that many seeded pictures, a part at a time."""
    draw = np.random.default_rng(seed)
    with zipfile.ZipFile(path, "w") as archive:
        for member, rows in (("calibration/x", count), ("holdout/x", _HOLDOUT)):
            with archive.open(f"{member}.npy", "w", force_zip64=True) as file:
                form = {"descr": "|u1", "fortran_order": False, "shape": (rows, 3, 32, 32)}
                np.lib.format.write_array_header_1_0(file, form)
                for start in range(0, rows, _CHUNK):
                    shape = (min(_CHUNK, rows - start), 3, 32, 32)
                    file.write(draw.integers(0, 256, shape, dtype=np.uint8).tobytes())


def in_child(side: str, count: int, model: Path, folder: Path) -> Run | None:
    """Return what one fresh process took; None where it ran into the cap.

    Raises:
        RuntimeError: our own side failed.
    """
    command = [sys.executable, "-m", "benchmarks.calibration_memory", "--side", side, "--rows", str(count)]
    command += ["--model", str(model), "--npz", str(folder / f"{count}.npz")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0 and side == OURS:
        raise RuntimeError(f"ours failed at {count} rows: {done.stderr[-2000:]}")
    if done.returncode != 0:
        return None
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    return Run(peak_mib=answer["peak_mib"], seconds=answer["seconds"])


def child(arguments: argparse.Namespace) -> None:
    """Calibrate and quantize as the side does it; print the peak and the seconds."""
    resource.setrlimit(resource.RLIMIT_DATA, (CAP_BYTES, CAP_BYTES))
    start = time.perf_counter()
    if arguments.side == OURS:
        quantize_ours(arguments.model, arguments.npz, arguments.rows)
    else:
        quantize_theirs(PEERS[arguments.side], arguments.model, arguments.npz)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MIB
    print(json.dumps({"peak_mib": peak, "seconds": seconds}))


def _scaled() -> Any:
    """Return the step from a picture's bytes to what the model takes."""
    from contracts.preprocessing import Step, StepKind

    return Step(kind=StepKind.SCALE, tensor="x", factor=(1 / 64,), offset=(-2.0,))


def _calibration(npz: Path) -> Any:
    """Return the rows behind the step; they and the model's input are named x."""
    from optimizer.calibration.rows import CalibrationSet
    from optimizer.data.dataset import Dataset

    return CalibrationSet.of(Dataset.load(npz).calibration, preprocessing=(_scaled(),))


def quantize_ours(path: Path, npz: Path, rows: int) -> None:
    """Load data and model, check that they fit, calibrate on all rows and quantize, as ``optimize`` does."""
    from device_profiles import load_profile
    from optimizer.model import Model
    from optimizer.passes import QuantizeStatic
    from optimizer.pipeline import Pipeline

    model = Model.load(path)
    plan = Pipeline(QuantizeStatic(rows=rows)).plan(
        model, load_profile("raspberry-pi-4"), calibration=_calibration(npz)
    )
    product = plan.run()
    if not product.model.spec.quantized:
        raise RuntimeError("nothing was quantized")


def quantize_theirs(method: str, path: Path, npz: Path) -> None:
    """Quantize with ONNX Runtime's own calibrator, all else at its defaults."""
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, quantize_static

    from optimizer.model import Model

    model = Model.load(path)
    calibration = _calibration(npz)
    batches = (
        {name: values[place : place + 1] for name, values in batch.items()}
        for batch in calibration.batches(model, model.inputs, calibration.count)
        for place in range(len(batch["x"]))
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc] # onnxruntime ships no types
        """One row after the other."""

        def get_next(self) -> Any:
            return next(batches, None)

    output = path.with_name(f"{method}-{calibration.count}.onnx")
    quantize_static(path, output, Reader(), per_channel=True, calibrate_method=CalibrationMethod[method])


def _finished(runs: list[Run | None]) -> list[Run]:
    return [run for run in runs if run is not None]


def main() -> int:
    """Run the child that was asked for, else the benchmark."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--side", choices=[OURS, *PEERS])
    parser.add_argument("--rows", type=int)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--npz", type=Path)
    arguments, _ = parser.parse_known_args()
    if arguments.side is not None:
        child(arguments)
        return 0
    chosen = options(QUESTION)
    return finish(QUESTION, measure(chosen), chosen)


if __name__ == "__main__":
    sys.exit(main())
