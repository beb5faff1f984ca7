"""``edgeship optimize``: the one line from a model and its data to the best artifact for a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from optimizer.cli.options import (
    FILE,
    BenchWords,
    bench_options,
    budget_options,
    objective_option,
    subject_options,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from optimizer.recipe import Subject
    from optimizer.search.budget import OptimizeBudget


@click.command()
@click.argument("model", default="")
@click.option("--data", default="", help="NPZ, CSV, Parquet, folder of images or of WAV files, or module:function.")
@click.option("--target", default="", help="A profile's name, as in raspberry-pi-4 (edgeship profile ls), or host.")
@click.option("-o", "--out", type=FILE, required=True, help="Folder for the winner, report.html and search.json.")
@click.option("--locked", type=FILE, help="A lock file of an earlier search: make that winner again, byte for byte.")
@objective_option
@budget_options
@subject_options
@bench_options
def optimize(
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
    """Find the best artifact of MODEL for a device, within budgets.

    MODEL is a .onnx, .tflite or .pt2 file, module:function, or a file of weights (.pt, .pth, .safetensors) with
    --builder.
    """
    if locked is not None:
        if model or data or target:
            raise click.UsageError("--locked names model, data and target itself; leave them out")
        _replay(locked, out=out, bench=bench)
        return
    missing = [name for name, value in (("MODEL", model), ("--data", data), ("--target", target)) if not value]
    if missing:
        raise click.UsageError(f"missing {', '.join(missing)}; give them, or a lock with --locked FILE")
    from optimizer.cli.searching import open_case, run_search
    from optimizer.search.rounds import ROUNDS

    subject = about(model, data, target, seed=bench.seed)
    case = open_case(subject)
    run_search(case, ROUNDS, subject, budget=budget, objective=objective, bench=bench, out=out)


def _replay(path: Path, *, out: Path, bench: BenchWords) -> None:
    """Make the locked winner again and write it."""
    from optimizer.cli.screen import console, say
    from optimizer.cli.tables import print_lineage
    from optimizer.search.folder import make_folder
    from optimizer.search.lock import FILE as LOCK
    from optimizer.search.lock import read_lock, replay, write_lock

    locked = read_lock(path)
    make_folder(out)
    product = replay(locked, store=bench.pass_store(), told=say)
    written = out / f"{product.model.name}{product.model.suffix}"
    product.model.save(written)
    write_lock(locked, out / LOCK)
    print_lineage(product.label, locked.recipe.subject.model, product.lineage, console())
    click.echo(f"wrote {written}: the bytes of the lock, {product.model.digest[:12]}")
