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
from optimizer.search.proposing.widths import bought_steps, guided_widths, measured_savings

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


def test_widths_hold_what_was_wanted_and_no_step_more_than_that_takes() -> None:
    guided = guided_widths(_CHOICES, _TAIL, _Machine(_SAVED), ratio=0.7)

    assert guided is not None
    assert guided.widths == ("cheap=24", "branch=0")
    assert round(guided.ratio, 3) == 0.65


def test_more_is_cut_where_cuts_together_save_less_than_their_sum() -> None:
    machine = _Machine(_SAVED, share=0.6)

    guided = guided_widths(_CHOICES, _TAIL, machine, ratio=0.7)

    assert guided is not None
    assert guided.widths == ("cheap=16", "dear=16")
    assert round(guided.ratio, 3) == 0.7
    assert set(machine.asked) == {2}


def test_a_branch_takes_the_place_of_what_was_cut_on_it() -> None:
    choices = (
        Choice(layer="inner", width=8, error=0.01, within=("branch",)),
        Choice(layer="branch", width=0, error=0.2),
        Choice(layer="outer", width=8, error=0.5),
    )
    saved = {("inner", 8): 0.1, ("branch", 0): 0.25, ("outer", 8): 0.3}

    guided = guided_widths(choices, _TAIL, _Machine(saved), ratio=0.5)

    assert guided is not None
    assert [(step.layer, round(step.saved_ms, 3)) for step in guided.bought] == [
        ("inner", 0.1),
        ("branch", 0.15),
        ("outer", 0.3),
    ]
    assert guided.widths == ("branch=0", "outer=8")
    assert round(guided.ratio, 3) == round(guided.expected_ms, 3) == 0.45


def test_a_layer_on_a_branch_that_is_gone_is_never_cut() -> None:
    choices = (
        Choice(layer="branch", width=0, error=0.001),
        Choice(layer="inner", width=8, error=0.01, within=("branch",)),
    )

    steps = list(bought_steps(choices, {("inner", 8): 0.1, ("branch", 0): 0.25}, wanted_ms=1.0))

    assert [step.layer for step in steps] == ["branch"]


def test_widths_for_gentler_cuts_are_found_from_the_same_measurements() -> None:
    machine = _Machine(_SAVED)
    savings = measured_savings(_CHOICES, _TAIL, machine)
    asked = len(machine.asked)

    gentle = guided_widths(_CHOICES, _TAIL, machine, ratio=0.85, savings=savings)

    assert gentle is not None
    assert gentle.widths == ("cheap=16",)
    assert len(machine.asked) == asked + 3


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
