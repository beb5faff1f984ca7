"""Cuts bought by what they save after quantization, for the least harm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from optimizer.passes import ExportOnnx, FineTune, PruneChannels, QuantizeStatic
from optimizer.passes.prune_channels.choices import Choice
from optimizer.passes.prune_channels.widths import parse_widths
from optimizer.search.candidate import Failure
from optimizer.search.making import Attempt
from optimizer.search.proposing.pruning import pruned_attempts
from optimizer.search.proposing.widths import bought_steps, guided_widths

_TAIL = (ExportOnnx(), QuantizeStatic())
_CHOICES = (
    Choice(layer="cheap", width=24, error=0.01),
    Choice(layer="cheap", width=16, error=0.04),
    Choice(layer="dear", width=16, error=0.4),
    Choice(layer="idle", width=8, error=0.0),
    Choice(layer="branch", width=0, error=0.2),
)
_SAVED = {("cheap", 24): 0.1, ("cheap", 16): 0.2, ("dear", 16): 0.3, ("branch", 0): 0.25}


@dataclass
class _Machine:
    """A machine on which a cut saves what a table says, and cuts together a share of their sum."""

    saved: Mapping[tuple[str, int], float]
    share: float = 1.0
    broken: tuple[str, ...] = ()
    asked: list[int] = field(default_factory=list)

    def __call__(self, attempts: Sequence[Attempt]) -> list[float | Failure]:
        self.asked.append(len(attempts))
        return [self._one(attempt) for attempt in attempts]

    def _one(self, attempt: Attempt) -> float | Failure:
        first = attempt.pipeline.steps[0]
        widths = parse_widths(first.widths) if isinstance(first, PruneChannels) else {}
        if set(widths) & set(self.broken):
            return Failure(label=attempt.label, step="quantize-static", code="pass_failed", cause="no kernel")
        gains = [self.saved.get(item, 0.0) for item in widths.items()]
        return 1.0 - sum(gains) * (self.share if len(gains) > 1 else 1.0)


def test_the_most_time_for_the_least_harm_comes_first() -> None:
    steps = list(bought_steps(_CHOICES, _SAVED, wanted_ms=0.45))

    assert [(step.layer, step.width) for step in steps] == [("cheap", 24), ("cheap", 16), ("branch", 0)]
    assert [round(step.saved_ms, 3) for step in steps] == [0.1, 0.1, 0.25]


def test_a_cut_that_saves_nothing_is_never_made() -> None:
    steps = list(bought_steps(_CHOICES, _SAVED, wanted_ms=10.0))

    assert "idle" not in {step.layer for step in steps}
    assert round(sum(step.saved_ms for step in steps), 3) == 0.75


def test_widths_hold_what_was_wanted() -> None:
    guided = guided_widths(_CHOICES, _TAIL, _Machine(_SAVED), ratio=0.7)

    assert guided is not None
    assert guided.widths == ("cheap=16", "branch=0")
    assert round(guided.ratio, 3) == 0.55


def test_more_is_cut_where_cuts_together_save_less_than_their_sum() -> None:
    machine = _Machine(_SAVED, share=0.6)

    guided = guided_widths(_CHOICES, _TAIL, machine, ratio=0.7)

    assert guided is not None
    assert guided.widths == ("cheap=16", "branch=0", "dear=16")
    assert guided.ratio <= 0.7
    assert machine.asked == [6, 2, 2]


def test_a_cut_that_cannot_be_made_is_left_alone() -> None:
    guided = guided_widths(_CHOICES, _TAIL, _Machine(_SAVED, broken=("cheap",)), ratio=0.7)

    assert guided is not None
    assert "cheap" not in parse_widths(guided.widths)


def test_where_nothing_saves_anything_nothing_is_proposed() -> None:
    assert guided_widths(_CHOICES, _TAIL, _Machine({}), ratio=0.7) is None


def test_the_dense_control_gets_the_same_training_and_the_same_tail() -> None:
    guided = guided_widths(_CHOICES, _TAIL, _Machine(_SAVED), ratio=0.7)
    training = FineTune(epochs=7, rate=0.01, seed=3)
    assert guided is not None

    pruned, control = pruned_attempts(guided, _TAIL, training, words="onnx u8s8")

    assert control.pipeline.steps == (training, *_TAIL)
    assert pruned.pipeline.steps == (PruneChannels(widths=guided.widths, epochs=7, rate=0.01, seed=3), *_TAIL)
    assert (pruned.label, control.label) == ("onnx u8s8, pruned", "onnx u8s8, dense control")
