"""What the commands print of one thing: a lineage, a model, an artifact, the passes, timings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from contracts.artifact import Artifact, Document
from contracts.artifact.card import read_card
from contracts.manifest import ArtifactManifest
from contracts.postprocessing import AnswerStepKind
from optimizer.benchmark.timing import Timing
from optimizer.model import Model
from optimizer.pass_ import Pass
from optimizer.recipe.toml import value_in_toml
from optimizer.search.candidate import LineageStep
from optimizer.words import latency_in_words, size_in_words

if TYPE_CHECKING:
    from rich.console import Console


def print_lineage(label: str, source: str, lineage: Sequence[LineageStep], console: Console) -> None:
    """Print how a model was made, one line a step."""
    table = Table(title=label, title_justify="left", box=None, pad_edge=False)
    for heading in ("step", "format", "size", "made in", "digest"):
        table.add_column(heading, justify="right" if heading in ("size", "made in") else "left")
    table.add_row(escape(source))
    for step in lineage:
        spent = "kept" if step.from_store else f"{step.seconds:.1f} s"
        table.add_row(
            f"  {escape(step.text)}", step.format.value, size_in_words(step.size_bytes), spent, step.digest[:12]
        )
    console.print(table)


def print_model(model: Model, console: Console) -> None:
    """Print a model file's format, size, digest, tensors and operators."""
    console.print(
        f"{model.name}  {model.format}  {size_in_words(model.size_bytes)}  {model.digest}",
        highlight=False,
        soft_wrap=True,
    )
    for kind, specs in (("input", model.inputs), ("output", model.outputs)):
        for spec in specs:
            console.print(
                f"  {kind:<8}{escape(spec.name)}  {spec.element}  {spec.shape}", highlight=False, soft_wrap=True
            )
    if model.spec.operators:
        console.print(f"  operators {', '.join(sorted(model.spec.operators))}", highlight=False, soft_wrap=True)
    console.print(f"  {'quantized' if model.spec.quantized else 'float'}", highlight=False, soft_wrap=True)


def print_artifact(artifact: Artifact, console: Console) -> None:
    """Print an artifact's own account of itself."""
    manifest = artifact.manifest
    console.print(
        f"{manifest.model}@{manifest.version} (counter {manifest.counter}) for {manifest.profile}: "
        f"{manifest.format}, {size_in_words(len(artifact.model))}",
        highlight=False,
    )
    for kind, specs in (("takes", manifest.inputs), ("gives", manifest.outputs)):
        for spec in specs:
            console.print(
                f"  {kind}  {escape(spec.name)}  {spec.element}  {spec.shape}", highlight=False, soft_wrap=True
            )
    for line in (*_steps(manifest), *_figures(manifest), *_origin(manifest), *_card(artifact)):
        console.print(escape(_visible(line)), highlight=False, soft_wrap=True)
    names = ", ".join(f"{name} {size_in_words(len(data))}" for name, data in artifact.members.items())
    console.print(escape(f"  holds  {names}"), highlight=False, soft_wrap=True)


def _visible(line: str) -> str:
    """Return the line with what a terminal would obey, or hide, spelt out: the words in it come from strangers."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in line)


def _steps(manifest: ArtifactManifest) -> Iterator[str]:
    for step in manifest.preprocessing:
        yield f"  step   {step.tensor}  {step.kind}  x {step.factor} + {step.offset}"
    for after in manifest.postprocessing:
        numbers = f"  x {after.factor} + {after.offset}" if after.kind is AnswerStepKind.SCALE else ""
        limit = f"  at {after.threshold}" if after.kind is AnswerStepKind.THRESHOLD else ""
        yield f"  after  {after.tensor}  {after.kind}{numbers}{limit}"


def _figures(manifest: ArtifactManifest) -> Iterator[str]:
    for figure in manifest.measurements:
        yield f"  {figure.name} {figure.value:g} (n={figure.n}, {figure.taken_on}: {figure.machine})"


def _origin(manifest: ArtifactManifest) -> Iterator[str]:
    lineage = manifest.lineage
    yield f"  from   {lineage.source}  {' -> '.join(lineage.passes)}"
    yield f"  data   {lineage.data}  {lineage.data_version}".rstrip()
    if lineage.commit is not None:
        yield f"  commit {lineage.commit.revision}{' and changed files' if lineage.commit.dirty else ''}"
    with_ = ", ".join(f"{name} {version}" for name, version in (*lineage.environment.items(), *lineage.tools.items()))
    yield f"  with   edgeship {lineage.code_version}{', ' + with_ if with_ else ''}"


def _card(artifact: Artifact) -> Iterator[str]:
    data = artifact.members.get(Document.CARD)
    if data is None:
        return
    card = read_card(data)
    said, loss = card.statement, card.loss
    if loss.drop is not None and loss.drop_low is not None and loss.drop_high is not None:
        between = f"{loss.drop_low:+.4g} to {loss.drop_high:+.4g}"
        yield f"  lost   {loss.drop:+.4g} of {loss.metric} (95 % interval {between}, n={loss.n})"
    told = {
        "for": said.intended_use,
        "not for": said.out_of_scope,
        "limits": " ".join(said.limits),
        "licence": said.licence,
        "owners": ", ".join(said.owners),
        "training data": said.training_data.description,
        "evaluation data": said.evaluation_data.description,
    }
    for name, words in told.items():
        if words:
            yield f"  {name}: {words}"
    if said.missing:
        yield f"  nobody said: {', '.join(said.missing)} (edgeship recipe card > FILE, recipe pack --card FILE)"


def print_passes(passes: Sequence[type[Pass]], console: Console) -> None:
    """Print each pass with its fields, defaults and documentation, read from the dataclass."""
    for kind in passes:
        summary = (kind.__doc__ or "").strip().splitlines()[0]
        console.print(
            f"[bold]{kind.name}[/]  {kind.accepts} -> {kind.produces}  {escape(summary)}",
            highlight=False,
            soft_wrap=True,
        )
        for item in dataclasses.fields(kind):
            default = "required" if item.default is dataclasses.MISSING else value_in_toml(item.default)
            doc = item.metadata.get("doc", "")
            if isinstance(item.default, Enum):
                doc = f"{doc}: {', '.join(str(one) for one in type(item.default))}"
            console.print(f"    {item.name} = {escape(default)}  {escape(doc)}", highlight=False, soft_wrap=True)


def print_timings(timings: Mapping[str, Timing], memory: Mapping[str, int], machine: str, console: Console) -> None:
    """Print what was measured of each model there; the ratio is to the first."""
    table = Table(title="one row at a time, in turn", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("model", "p50", "p95", "x first", "n", "memory"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    first = next(iter(timings.values()))
    for label, timing in timings.items():
        table.add_row(
            escape(label),
            latency_in_words(timing.p50_ms),
            latency_in_words(timing.p95_ms),
            f"{timing.p50_ms / first.p50_ms:.2f}",
            str(timing.n),
            size_in_words(memory[label]),
        )
    console.print(table)
    threads = f"{first.threads} thread{'s' * (first.threads > 1)}"
    told = f"Measured on {machine}, {threads}, after {first.warmup} runs to warm up; no other device's figure."
    console.print(escape(told), highlight=False, soft_wrap=True)
