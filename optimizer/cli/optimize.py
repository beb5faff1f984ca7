"""``edgeship optimize``: the one line from a model and its data to the best artifact for a device."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from optimizer.cli.options import (
    FILE,
    BenchWords,
    bench_options,
    budget_options,
    objective_option,
    subject_options,
)
from optimizer.cli.sections import SectionedCommand, option

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.recipe import Subject
    from optimizer.search.budget import OptimizeBudget

_OF_A_REPLAY: Final = frozenset({"model", "data", "out", "store", "locked"})
"""What may be given with ``--locked``; all else is in the lock."""


@click.command(cls=SectionedCommand)
@click.argument("model", default="")
@option(
    "Required",
    "--data",
    metavar="WHERE",
    default="",
    help="Rows to calibrate with and to judge by: .npz, .csv, .parquet, a folder of images or of WAV files, or "
    "module:function.",
)
@option(
    "Required",
    "--target",
    metavar="PROFILE",
    default="",
    help="Device, as in raspberry-pi-4 (all: edgeship profile ls); host is this machine.",
)
@option(
    "Required",
    "-o",
    "--out",
    metavar="FOLDER",
    type=FILE,
    required=True,
    help="Folder for the winner, its lock, report.html and search.json.",
)
@objective_option
@budget_options
@subject_options
@bench_options
@option(
    "Other",
    "--locked",
    metavar="LOCK",
    type=FILE,
    help="Make the winner of an earlier search again, byte for byte, from its lock; MODEL and --data only if moved.",
)
@click.pass_context
def optimize(
    context: click.Context,
    model: str,
    *,
    data: str,
    target: str,
    out: Path,
    locked: Path | None,
    objective: str | None,
    budget: OptimizeBudget,
    about: Callable[..., Subject],
    bench: BenchWords,
) -> None:
    """Find the best artifact of MODEL for a device, within budgets, by measuring.

    MODEL is a .onnx, .pt2 or .tflite file, module:function (or file.py:function) that returns a PyTorch module, or
    weights (.pt, .pth, .safetensors) with --builder.

    \b
      edgeship optimize net.onnx --data rows.npz --target raspberry-pi-4 -o out

    Stopped and called again, it goes on where it was.
    """  # noqa: D301 click's own mark for a paragraph that keeps its lines
    if locked is not None:
        _refuse_beside_a_lock(context)
        _replay(locked, model=model, data=data, out=out, bench=bench)
        return
    missing = [name for name, value in (("MODEL", model), ("--data", data), ("--target", target)) if not value]
    if missing:
        raise click.UsageError(f"missing {', '.join(missing)}; give them, or a lock with --locked FILE")
    from optimizer.cli.searching import run_search
    from optimizer.search.rounds import ROUNDS

    subject = about(model, data, target, seed=bench.seed)
    run_search(subject, ROUNDS, budget=budget, objective=objective, bench=bench, out=out)


def _refuse_beside_a_lock(context: click.Context) -> None:
    """Return where nothing is given that the lock decides."""
    given = [
        one.opts[-1]
        for one in context.command.params
        if one.name not in _OF_A_REPLAY
        and context.get_parameter_source(str(one.name)) in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
    ]
    if given:
        raise click.UsageError(f"--locked takes {', '.join(sorted(given))} from the lock; leave that out")


def _replay(path: Path, *, model: str, data: str, out: Path, bench: BenchWords) -> None:
    """Make the locked winner again and write it, with a lock that counts paths from there."""
    from optimizer.cli.details import print_lineage
    from optimizer.cli.screen import console, in_steps, progress
    from optimizer.search.folder import make_folder, save_model
    from optimizer.search.lock import FILE as LOCK
    from optimizer.search.lock import LockedRecipe, read_lock, replay, write_lock

    read = read_lock(path)
    subject = read.recipe.subject
    subject = dataclasses.replace(subject, model=model or subject.model, data=data or subject.data)
    locked = LockedRecipe(recipe=dataclasses.replace(read.recipe, subject=subject), lock=read.lock)
    make_folder(out)
    with progress() as tell:
        begin, within = in_steps(tell, 1 + len(locked.recipe.steps))
        product = replay(locked, store=bench.pass_store(), told=begin, progress=within)
    written = save_model(product.model, out)
    write_lock(locked, out / LOCK)
    print_lineage(product.label, subject.model, product.lineage, console())
    click.echo(f"wrote {written}: the locked bytes, {product.model.digest[:12]}")
