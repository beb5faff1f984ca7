"""``edgeship benchmark``: models measured on this machine, or behind a command, alternating."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from optimizer.cli.options import FILE, measuring_options
from optimizer.cli.screen import console, progress, say
from optimizer.cli.sections import SectionedCommand, option

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from contracts.tensors import TensorSpec
    from optimizer.benchmark.runner import Measurable
    from optimizer.cli.words import BenchWords
    from optimizer.model import Model

_ROWS: Final = 16


@click.command(cls=SectionedCommand)
@click.argument("model", type=FILE)
@option(
    "Model",
    "--against",
    metavar="MODEL",
    type=FILE,
    multiple=True,
    help="Another model to alternate with; may be given again.",
)
@measuring_options
def benchmark(model: Path, *, against: tuple[Path, ...], bench: BenchWords) -> None:
    """Measure MODEL on random rows: latency of one row, memory; alternating with others if given."""
    from optimizer.cli.details import print_timings
    from optimizer.source import open_model

    models = {path: open_model(str(path), told=say) for path in (model, *against)}
    measurables = [_measurable(str(path), one) for path, one in models.items()]
    rows = {spec.name: _random(spec) for one in measurables for spec in one.inputs}
    runner = bench.runner_of("")
    with progress() as tell:
        tell(f"timing {len(measurables)} model{'s' * (len(measurables) > 1)} in turn", 0.0)
        timings = runner.time(measurables, rows, effort=bench.effort, threads=bench.threads)
        tell("measuring memory", 0.5)
        memory = {one.label: runner.memory(one, threads=bench.threads) for one in measurables}
    print_timings(dict(zip(memory, timings, strict=True)), memory, runner.machine, console())


def _measurable(label: str, model: Model) -> Measurable:
    """Return the model as it is, its inputs named after the label: two files may want other rows under one name."""
    from optimizer.benchmark.runner import Measurable

    inputs = tuple(dataclasses.replace(spec, name=f"{label}/{spec.name}") for spec in model.inputs)
    return Measurable(label=label, model=model, inputs=inputs, outputs=model.outputs)


def _random(spec: TensorSpec) -> NDArray[np.float32]:
    import numpy as np

    return np.random.default_rng(0).random((_ROWS, *spec.shape[1:]), dtype=np.float32)
