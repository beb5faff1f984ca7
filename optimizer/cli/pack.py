"""``edgeship recipe pack``: a candidate of a search, made into an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from optimizer.cli.options import AT_LEAST_1, FILE
from optimizer.cli.sections import SectionedCommand, option
from optimizer.cli.show import WINNER, candidate_named

if TYPE_CHECKING:
    from optimizer.data.dataset import Dataset
    from optimizer.search.candidate import Search


@click.command(cls=SectionedCommand, short_help="Make an artifact of the winner.")
@click.argument("folder", type=FILE)
@option("Required", "--version", required=True, help="Of the model, as in 1.2.0.")
@option("Required", "--counter", metavar="N", type=AT_LEAST_1, required=True, help="Of the release; only grows.")
@option("Required", "-o", "--out", metavar="FILE", type=FILE, required=True, help="The artifact file to write.")
@option("Other", "--candidate", metavar="LABEL", default=WINNER, help="By default the winner.")
@option("Other", "--data", metavar="WHERE", default="", help="The data that the search ran on, where they moved.")
@option("Other", "--run-code", is_flag=True, help="Run the functions that the folder names for its data.")
def pack(folder: Path, *, data: str, version: str, counter: int, candidate: str, out: Path, run_code: bool) -> None:
    """Pack the winner (or another candidate) of a folder that optimize wrote into an artifact.

    Its golden rows come from the data that the search ran on, which are read again.
    """
    from contracts.manifest import Budget
    from optimizer.errors import PackingError
    from optimizer.packing import pack as packed
    from optimizer.search.folder import read_search
    from optimizer.whole_file import write_whole

    search = read_search(folder)
    chosen = candidate_named(search, candidate)
    content = packed(
        chosen,
        version=version,
        counter=counter,
        profile=search.target.name,
        dataset=_data_of(folder, search, data, run_code=run_code),
        budget=Budget(latency_p95_ms=search.budget.max_latency_ms, memory_bytes=search.budget.max_memory_bytes),
    )
    try:
        write_whole(out, content)
    except OSError as error:
        raise PackingError(f"cannot write {out}: {error.strerror}; give a folder that has room") from error
    click.echo(f"wrote {out} ({len(content):,} bytes); sign it with: edgeship release draft {out}")


def _data_of(folder: Path, search: Search, data: str, *, run_code: bool) -> Dataset:
    """Return the data that the search ran on, from where it found them or the user says that they are now."""
    from optimizer.errors import PackingError
    from optimizer.recipe import Subject
    from optimizer.search.folder import read_subject

    found = read_subject(folder)
    if found is None and not data:
        raise PackingError(f"{folder} does not say where its data are; give --data")
    found = found or Subject(model="", target=search.target.name)
    subject = Subject(model="", target=found.target, data=data or found.data, options=found.options)
    code = [one for one in subject.functions if one != data]
    if code and not run_code:
        raise PackingError(f"{folder} would run {', '.join(code)}: look at that code, then give --run-code")
    dataset = subject.open_dataset(search.original)
    if dataset.digest != search.data:
        raise PackingError(
            f"{subject.data} is not the data that {folder} was judged by; give those, or run optimize again"
        )
    return dataset
