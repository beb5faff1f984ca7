"""``edgeship optimize``: the one line from a model and its data to the best artifact for a device."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from optimizer.cli.options import FILE, bench_options, budget_options, out_option, pruning_options, subject_options
from optimizer.cli.sections import SectionedCommand, option

if TYPE_CHECKING:
    from optimizer.cli.words import BenchWords, BudgetWords, PruningWords, SubjectWords

_OF_A_REPLAY: Final = frozenset({"model", "data", "out", "store", "locked", "run_code"})
"""What may be given with ``--locked``; all else is in the lock."""


@click.command(cls=SectionedCommand)
@subject_options
@out_option
@budget_options
@pruning_options
@bench_options
@option(
    "Other",
    "--locked",
    metavar="LOCK",
    type=FILE,
    help="Make the winner of an earlier search again, byte for byte, from its lock; MODEL and --data only if moved.",
)
@option("Other", "--run-code", is_flag=True, help="Let --locked run the functions that the lock names.")
@click.pass_context
def optimize(
    context: click.Context,
    *,
    about: SubjectWords,
    budget: BudgetWords,
    pruning: PruningWords,
    bench: BenchWords,
    out: Path,
    locked: Path | None,
    run_code: bool,
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
        _replay(locked, about, out=out, bench=bench, run_code=run_code)
        return
    if about.missing:
        raise click.UsageError(f"missing {', '.join(about.missing)}; give them, or a lock with --locked FILE")
    from optimizer.cli.searching import run_search
    from optimizer.search.proposing.rounds import rounds_with

    rounds = rounds_with(pruning.training())
    run_search(about.subject(seed=bench.seed), rounds, budget=budget, bench=bench, out=out)


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


def _replay(path: Path, about: SubjectWords, *, out: Path, bench: BenchWords, run_code: bool) -> None:
    """Make the locked winner again and write it, with a lock that counts paths from there."""
    from optimizer.cli.details import print_lineage
    from optimizer.cli.screen import console, in_steps, progress
    from optimizer.errors import LockError
    from optimizer.search.folder import make_folder, save_model
    from optimizer.search.lock import FILE as LOCK
    from optimizer.search.lock import LockedRecipe, read_lock, replay, write_lock
    from optimizer.store import MemoryStore

    read = read_lock(path)
    subject = read.recipe.subject
    code = [one for one in read.recipe.functions if one not in (about.model, about.data)]
    if code and not run_code:
        raise LockError(f"{path} would run {', '.join(code)}: look at that code, then give --run-code")
    subject = dataclasses.replace(subject, model=about.model or subject.model, data=about.data or subject.data)
    locked = LockedRecipe(recipe=dataclasses.replace(read.recipe, subject=subject), lock=read.lock)
    make_folder(out)
    store = bench.pass_store() if bench.store else MemoryStore()  # made anew, not taken from where it was kept
    with progress() as tell:
        begin, within = in_steps(tell, 1 + len(locked.recipe.steps))
        product = replay(locked, store=store, told=begin, progress=within)
    written = save_model(product.model, out)
    write_lock(locked, out / LOCK)
    print_lineage(product.label, subject.model, product.lineage, console())
    click.echo(f"wrote {written}: the locked bytes, {product.model.digest[:12]}")
