"""Each int8 artifact gives the same answers on arm64, under qemu, as here: to the bit.

For TFLite that is so by its reference kernels; its fast ones round in a way of their own on each machine.
"""

from __future__ import annotations

import platform
import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.networks import NETWORKS, Network, exported, rows_of
from contracts.preprocessing import apply_steps, to_stored
from optimizer.calibration.collect import collect
from optimizer.model import Format, Model
from optimizer.pass_ import Observations
from optimizer.passes import ExportTflite, QuantizeStatic, QuantizeTflite
from tests.long import arm64_answers
from tests.long.arm64 import WHEELS, emulated_machine, run_emulated, run_here, versions_here
from tests.slow import record

pytestmark = [
    pytest.mark.long,
    pytest.mark.slow,
    pytest.mark.skipif(
        platform.machine() != "x86_64" or shutil.which("dpkg-deb") is None, reason="compares a Debian x86-64 with arm64"
    ),
]

SEED: Final = 7
NAMES: Final = ("ds-cnn", "resnet8", "mlp", "cnn-1d", "mobilenet-v1-0.25-96")
CALIBRATION, ROWS = 64, 24
MACHINES: Final = ("x86_64", "aarch64")
MORE_STEPS: Final = 2
"""How many steps of 256 the fast kernels there may be farther from the reference than those here."""
PROGRAM: Final = Path(arm64_answers.__file__)


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with every int8 artifact, its rows, and the answers of both machines."""
    folder = tmp_path_factory.mktemp("artifacts")
    for network in (one for one in NETWORKS if one.name in NAMES):
        write_artifacts(network, folder)
    run_here(PROGRAM, folder)
    run_emulated(emulated_machine(), PROGRAM, folder)
    return folder


def write_artifacts(network: Network, folder: Path) -> None:
    """Write the network as U8S8 ONNX and as full-int8 TFLite, each with rows as it takes them."""
    model = Model.from_bytes(Format.ONNX, exported(network, seed=SEED), name=network.name)
    calibration = {"x": rows_of(network, CALIBRATION, seed=SEED + 1)[0]}
    rows = rows_of(network, ROWS, seed=SEED + 2)[0]
    in_onnx = QuantizeStatic().run(model, Observations(statistics=collect(model, [calibration])))
    write(folder / f"{network.name}.onnx", in_onnx, {"x": rows})
    floats = ExportTflite().run(model, Observations())
    seen = {"x": apply_steps(floats.adapter, "x", calibration["x"])}
    in_tflite = QuantizeTflite().run(floats, Observations(statistics=collect(floats, [seen])))
    stored = to_stored(apply_steps(in_tflite.adapter, "x", rows), in_tflite.inputs[0])
    write(folder / f"{network.name}.tflite", in_tflite, {"x": stored})


def write(path: Path, model: Model, rows: dict[str, NDArray[Any]]) -> None:
    """Write a model, and its rows beside it."""
    path.write_bytes(model.content)
    np.savez(path.with_name(f"{path.name}.npz"), **rows)  # type: ignore[arg-type] # numpy's stub takes every keyword for its own switch


def answers(folder: Path, file: str, machine: str, kernels: str = "fast") -> NDArray[Any]:
    """Return a machine's answers by those kernels."""
    with np.load(folder / f"{file}.answers.{machine}.npz", allow_pickle=False) as held:
        return np.asarray(held[kernels])


def steps(one: NDArray[Any], other: NDArray[Any]) -> int:
    """Return the largest difference of two arrays of integers."""
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def test_both_machines_have_the_same_versions() -> None:
    wanted = dict(wheel.split("==") for wheel in WHEELS)

    found = versions_here()

    assert found == wanted


@pytest.mark.parametrize("name", NAMES)
def test_u8s8_onnx_answers_the_same_to_the_bit(answered: Path, name: str) -> None:
    here, there = (answers(answered, f"{name}.onnx", machine) for machine in MACHINES)

    different = int((here != there).sum())

    record(f"{name}.onnx, values of {here.size} that differ", different)
    assert different == 0
    assert len(here) == ROWS
    assert np.ptp(here) > 0


@pytest.mark.parametrize("name", NAMES)
def test_int8_tflite_means_the_same_numbers_to_the_bit(answered: Path, name: str) -> None:
    here, there = (answers(answered, f"{name}.tflite", machine, "reference") for machine in MACHINES)

    different = int((here != there).sum())

    assert different == 0
    assert here.dtype == np.int8
    assert np.ptp(here.astype(int)) > 0


@pytest.mark.parametrize("name", NAMES)
def test_fast_kernels_for_arm64_round_about_as_well_as_those_here(answered: Path, name: str) -> None:
    """Fast kernels round sums in a way of their own on each machine; through many layers that adds up on both."""
    exact = answers(answered, f"{name}.tflite", MACHINES[0], "reference")

    here, there = (answers(answered, f"{name}.tflite", machine) for machine in MACHINES)

    record(f"{name}.tflite, steps between the machines", steps(here, there))
    record(f"{name}.tflite, steps from the reference here and there", (steps(here, exact), steps(there, exact)))
    assert steps(there, exact) <= steps(here, exact) + MORE_STEPS
