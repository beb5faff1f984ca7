"""The one call: a model, its data, a device and a budget in; a search with its winner out.

The search goes in rounds (``rounds``); each attempt is one trial of a study that any number of workers share
(``study``), made and measured at one worker's bench (``workbench``). When all rounds are done the finalists are timed
once more, all in turn with the original, and judged (``frontier``).
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from contracts.codec import from_plain, to_plain
from contracts.errors import DecodeError
from contracts.ids import digest_of
from contracts.preprocessing import Step
from device_profiles.profile import DeviceProfile
from optimizer.benchmark.timing import Timing
from optimizer.data.dataset import Dataset
from optimizer.errors import OptimizerError, PlanError
from optimizer.model import Format, Model
from optimizer.recipe.words import passes_in_toml
from optimizer.search.budget import Objective, OptimizeBudget
from optimizer.search.candidate import Candidate, Failure, Measured, Product, Search, Verdict
from optimizer.search.case import (
    DEFAULT_BENCH,
    Bench,
    Case,
    checked_calibration,
    doubt_notes,
    torch_notes,
    unscaled_notes,
)
from optimizer.search.frontier import Judge
from optimizer.search.known import AS_GIVEN, ONNX_FLOAT, Known, Tried
from optimizer.search.making import Attempt
from optimizer.search.proposing.pruning import comparisons
from optimizer.search.proposing.rounds import ROUNDS, Round, floats, ways
from optimizer.search.study import Study
from optimizer.search.workbench import Figures, Workbench
from optimizer.telling import Progress, nobody

DEFAULT_BUDGET: Final = OptimizeBudget()
_WAIT_S: Final = 0.5
_SEARCHED: Final = 0.9
"""Share of the progress that the rounds take; the rest is the finalists'."""


def optimize(
    model: Model,
    dataset: Dataset,
    target: DeviceProfile,
    *,
    budget: OptimizeBudget = DEFAULT_BUDGET,
    objective: Objective | None = None,
    preprocessing: tuple[Step, ...] = (),
    bench: Bench = DEFAULT_BENCH,
    progress: Progress = nobody,
) -> Search:
    """Return every candidate for the target, measured and judged, and the winner if any holds the budget.

    Args:
        model: the trained model.
        dataset: rows to calibrate with and rows to judge by.
        target: the device that it is for.
        budget: what it may cost.
        objective: what to prefer among those that hold it; by default latency where the bench measures on the
            target itself, else size.
        preprocessing: steps from what clients send to what the model takes.
        bench: how long to measure, on how many threads, and where results and figures are kept.
        progress: called with a sentence and the share done, 0 to 1.

    Raises:
        DatasetError: the data do not fit the model's tensors; names each, expected and actual shape.
        PlanError: there is no way from the model's format to one that the target reads.
        MeasureFailed: the given model itself cannot be run here.
    """
    case = Case(model=model, dataset=dataset, target=target, preprocessing=preprocessing)
    return search(case, budget=budget, objective=objective, bench=bench, progress=progress)


def search(
    case: Case,
    rounds: Sequence[Round] = ROUNDS,
    *,
    budget: OptimizeBudget = DEFAULT_BUDGET,
    objective: Objective | None = None,
    bench: Bench = DEFAULT_BENCH,
    progress: Progress = nobody,
) -> Search:
    """Return what the rounds' attempts came to, measured and judged; ``rounds_with`` a training prunes too.

    A search that was stopped goes on where it was: what the bench's ``storage``, ``store`` and ``figures`` hold is
    not done again. Several processes with one ``storage`` share the work and end with the same account.

    Raises:
        DatasetError: the data do not fit the model's tensors; names each, expected and actual shape.
        PlanError: no attempt is possible for the target.
        MeasureFailed: the given model itself cannot be run here.
    """
    if floats in rounds and not ways(case.model, case.target):
        reads = ", ".join(case.target.formats)
        raise PlanError((f"{case.target.name} reads {reads}, and no pass leads there from {case.model.format}",))
    calibration = checked_calibration(case)
    teller = _Teller(progress)
    workbench = Workbench(case, calibration, bench=bench, budget=budget, objective=objective, told=teller.say)
    study = Study(_study_name(case, workbench, budget), storage=bench.storage)
    known = Known(workbench, study, budget=budget, objective=workbench.objective)
    for number, make_round in enumerate(rounds):
        teller.begin(number, len(rounds))
        attempts = [attempt for attempt in make_round(known) if not known.has(attempt.label)]
        for outcome in _tried(attempts, study, workbench, teller):
            known.add(outcome)
    return _concluded(known, workbench, study, teller)


def _study_name(case: Case, workbench: Workbench, budget: OptimizeBudget) -> str:
    """Return the name of the search's account: whatever an outcome depends on, and cannot be made again, is in it."""
    bench = workbench.bench
    told = (to_plain(budget), workbench.objective, to_plain(bench.effort), bench.threads, workbench.runner.taken_on)
    return f"{case.name}-{digest_of(repr(told).encode())[:8]}"


def _tried(
    attempts: Sequence[Attempt], study: Study, workbench: Workbench, teller: _Teller
) -> Iterator[Tried | Failure]:
    """Yield what came of each attempt, in their order, once all are done, by whichever worker."""
    by_key = {attempt.key: attempt for attempt in attempts}
    made: dict[str, Product | Failure] = {}
    study.enqueue(by_key)
    while missing := by_key.keys() - study.outcomes().keys():
        claim = study.claim(missing)
        if claim is None:
            teller.say(f"waiting for other workers: {len(missing)} attempts")
            time.sleep(_WAIT_S)
            continue
        with study.heartbeat(claim):
            attempt = by_key[claim.key]
            made[claim.key] = workbench.make(attempt)
            plain, values = _outcome(made[claim.key], workbench, built_on=attempt.built_on)
            study.finish(claim, plain, values=values)
        teller.advance(1 / len(by_key))
    outcomes = study.outcomes()
    for key, attempt in by_key.items():
        yield _read(outcomes[key], attempt, made.get(key), workbench)


def _outcome(
    made: Product | Failure, workbench: Workbench, *, built_on: bool
) -> tuple[dict[str, Any], tuple[float, float, float] | None]:
    figures = made if isinstance(made, Failure) else workbench.measure(made, built_on=built_on)
    if isinstance(figures, Failure):
        return {"failure": to_plain(figures)}, None
    size = made.model.size_bytes if isinstance(made, Product) else 0
    return {"figures": to_plain(figures)}, (figures.fidelity.drop.value, float(size), figures.ratio)


def _read(plain: Any, attempt: Attempt, made: Product | Failure | None, workbench: Workbench) -> Tried | Failure:
    try:
        if "failure" in plain:
            return from_plain(Failure, plain["failure"])
        figures = from_plain(Figures, plain.get("figures"))
    except DecodeError as error:
        raise _not_ours(attempt.label, error) from error
    product = made or workbench.make(attempt)
    if isinstance(product, Failure):
        return product
    if product.model.digest != figures.product:
        cause = "made again here its bytes differ from those that were measured; take one version of every tool"
        return Failure(label=attempt.label, step="measure", code="other_bytes", cause=cause)
    return Tried(attempt=attempt, product=product, figures=figures)


def _concluded(known: Known, workbench: Workbench, study: Study, teller: _Teller) -> Search:
    """Return the search: the finalists timed in one run, everything judged."""
    teller.conclude("timing the finalists and the original in turn")
    judge = Judge(
        target=known.case.target, budget=known.budget, objective=known.objective, on_target=known.measures_on_target
    )
    unlike, same = _unlike(known.all)
    measured = [workbench.measured(one.product, one.figures) for one in unlike]
    beside, final = _final_timings(judge.finalists(measured), workbench, study)
    candidates = judge.judge(
        [
            dataclasses.replace(one, latency=final[one.product.label], beside=beside)
            if one.product.label in final
            else one
            for one in measured
        ]
    )
    found = Search(
        original=known.case.model,
        original_fidelity=workbench.original_fidelity,
        original_latency=beside,
        target=known.case.target,
        budget=known.budget,
        objective=known.objective,
        candidates=candidates,
        failures=(*known.failures, *same),
        data=known.case.dataset.digest,
        machine=workbench.runner.machine,
        notes=(
            *doubt_notes(known.case, workbench.original_fidelity, beside),
            *judge.undecided(candidates),
            *unscaled_notes(known.case),
            *torch_notes(known.case),
        ),
        sensitivity=known.sensitivity(),
        profiles={label: known.operators(one) for label, one in _profiled(known, candidates)},
        recipes={one.attempt.label: passes_in_toml(one.attempt.pipeline.steps) for one in unlike},
        pruning=(*known.findings, *comparisons(known)),
    )
    teller.conclude("done", 1.0)
    return found


def _profiled(known: Known, candidates: Sequence[Candidate]) -> Iterator[tuple[str, Tried]]:
    """Yield what the report shows the operations of, by label: the original's own arithmetic, and the winner.

    A saved form has no names of its own any more: the attempt that it was made from stands for it.
    """
    first = next((one for label in (AS_GIVEN, ONNX_FLOAT) if (one := known.done(label))), None)
    winner = next((known.done(one.label) for one in candidates if one.verdict is Verdict.WINNER), None)
    for one in (first, winner and (known.made_from(winner) or winner)):
        if one is not None and one.product.model.format is Format.ONNX:
            yield (winner.attempt.label if winner and one is not first else one.attempt.label), one


def _final_timings(last: Sequence[Measured], workbench: Workbench, study: Study) -> tuple[Timing, dict[str, Timing]]:
    """Return the original's timing and each finalist's by its label, of one run, the same for all workers."""
    products = [one.product for one in last]
    name = "finals/" + "/".join(one.model.digest[:16] for one in products)
    plain = study.shared(
        name, lambda: {"timings": [to_plain(one) for one in workbench.time(products, effort=workbench.bench.effort)]}
    )
    try:
        beside, *timings = from_plain(_Finals, plain).timings
    except (DecodeError, ValueError) as error:
        raise _not_ours("the finalists", error) from error
    if len(timings) != len(products):
        raise _not_ours("the finalists", ValueError(f"{len(timings)} timings of {len(products)} products"))
    return beside, {one.label: timing for one, timing in zip(products, timings, strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finals:
    """The last timings as the study keeps them: the original's, then each finalist's."""

    timings: tuple[Timing, ...]


def _not_ours(what: str, error: Exception) -> OptimizerError:
    return OptimizerError(
        f"the storage holds something else than figures of {what} ({error}): another program, or another version of "
        "edgeship, wrote it; give another --storage, or another folder"
    )


def _unlike(tried: Sequence[Tried]) -> tuple[list[Tried], list[Failure]]:
    """Return the attempts whose files differ, the first of each kind, and for each other which file it repeats."""
    first: dict[tuple[object, ...], Tried] = {}
    same: list[Failure] = []
    for one in tried:
        kept = first.setdefault((one.product.model.digest, one.product.model.adapter), one)
        if kept is not one:
            cause = f"the same file as {kept.attempt.label}"
            same.append(Failure(label=one.attempt.label, step="compare", code="same_file", cause=cause))
    return list(first.values()), same


class _Teller:
    """Tells the progress: rounds have equal shares, attempts equal shares of their round."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._round = (0, 1)
        self._within = 0.0

    def begin(self, number: int, rounds: int) -> None:
        """Begin a round."""
        self._round = (number, rounds)
        self._within = 0.0

    def advance(self, share: float) -> None:
        """Count a share of the round as done."""
        self._within = min(1.0, self._within + share)

    def say(self, what: str) -> None:
        """Tell what begins now."""
        number, rounds = self._round
        self._progress(what, _SEARCHED * (number + self._within) / rounds)

    def conclude(self, what: str, share: float = _SEARCHED) -> None:
        """Tell what comes after the rounds; from then on all of them count as done."""
        self._round, self._within = (1, 1), 0.0
        self._progress(what, share)
