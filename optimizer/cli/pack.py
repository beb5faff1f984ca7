"""``edgeship recipe pack``: a candidate of a search, made into an artifact; ``recipe card``: what to say of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from optimizer.cli.options import AT_LEAST_1, FILE, handing
from optimizer.cli.sections import SectionedCommand, option
from optimizer.cli.show import WINNER, candidate_named

if TYPE_CHECKING:
    from optimizer.data.dataset import Dataset
    from optimizer.packing import Order
    from optimizer.search.candidate import Search


@dataclass(frozen=True, slots=True, kw_only=True)
class PackWords:
    """What to pack, as typed on the command line."""

    version: str
    counter: int
    card: Path | None
    postprocess: tuple[str, ...]
    candidate: str
    data: str
    run_code: bool


pack_options: Final = handing(
    "words",
    PackWords,
    option("Required", "--version", required=True, help="Of the model, as in 1.2.0."),
    option("Required", "--counter", metavar="N", type=AT_LEAST_1, required=True, help="Of the release; only grows."),
    option("Other", "--card", metavar="FILE", type=FILE, help="What its owners say of it, as in edgeship recipe card."),
    option(
        "Other",
        "--postprocess",
        metavar="STEP",
        multiple=True,
        help="After the model: scores:softmax, scores:top_class, scores:threshold=0.5 and such; may be repeated.",
    ),
    option("Other", "--candidate", metavar="LABEL", default=WINNER, help="By default the winner."),
    option("Other", "--data", metavar="WHERE", default="", help="The data that the search ran on, where they moved."),
    option("Other", "--run-code", is_flag=True, help="Run the functions that the folder names for its data."),
)


@click.command(cls=SectionedCommand, short_help="Make an artifact of the winner.")
@click.argument("folder", type=FILE)
@option("Required", "-o", "--out", metavar="FILE", type=FILE, required=True, help="The artifact file to write.")
@pack_options
def pack(folder: Path, *, out: Path, words: PackWords) -> None:
    """Pack the winner (or another candidate) of a folder that optimize wrote into an artifact.

    Its golden rows come from the data that the search ran on, which are read again.
    """
    from optimizer.errors import PackingError
    from optimizer.packing import pack_order
    from optimizer.whole_file import write_whole

    content = pack_order(_order(folder, words))
    try:
        write_whole(out, content)
    except OSError as error:
        raise PackingError(f"cannot write {out}: {error.strerror}; give a folder that has room") from error
    click.echo(f"wrote {out} ({len(content):,} bytes); sign it with: edgeship release draft {out}")


@click.command(short_help="An empty model card, to fill in.")
def card() -> None:
    """Print an empty model card as TOML: what people must say of a model, for recipe pack --card."""
    from optimizer.packing.statement import TEMPLATE

    click.echo(TEMPLATE, nl=False)


def _order(folder: Path, words: PackWords) -> Order:
    """Return what to pack: the search's candidate, its data, its passes, and what people say of it."""
    from contracts.artifact.card import Statement
    from contracts.manifest import Budget
    from optimizer.packing import Order
    from optimizer.packing.lineage import commit_of
    from optimizer.packing.statement import read_statement
    from optimizer.recipe import parse_answer_step
    from optimizer.recipe.recipe_file import parse, read_steps
    from optimizer.search.folder import read_search

    search = read_search(folder)
    chosen = candidate_named(search, words.candidate)
    return Order(
        candidate=chosen,
        version=words.version,
        counter=words.counter,
        profile=search.target.name,
        dataset=_data_of(folder, search, words.data, run_code=words.run_code),
        budget=Budget(latency_p95_ms=search.budget.max_latency_ms, memory_bytes=search.budget.max_memory_bytes),
        postprocessing=tuple(map(parse_answer_step, words.postprocess)),
        statement=read_statement(words.card) if words.card is not None else Statement(),
        commit=commit_of(Path.cwd()),
        original=search.original,
        steps=read_steps(parse(search.recipes[chosen.label])),
    )


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
