"""What a search knows so far: every attempt with what came of it, and what that tells of the network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from contracts.codec import from_plain, to_plain
from contracts.manifest import TakenOn
from optimizer.metrics.sensitivity import LayerSensitivity
from optimizer.model import Format
from optimizer.passes import CompactOnnx, QuantizeStatic, SaveOptimized, SaveOrt
from optimizer.passes.layers import quantizable_layers
from optimizer.passes.prune_channels.choices import Choices
from optimizer.search.budget import Objective, OptimizeBudget
from optimizer.search.candidate import Failure, Product
from optimizer.search.case import Case
from optimizer.search.making import Attempt
from optimizer.search.proposing.pruning import measured_widths, weighed
from optimizer.search.proposing.segments import LayerTime
from optimizer.search.proposing.sensitivity import MOST_LAYERS, layer_sensitivity
from optimizer.search.proposing.widths import Guided
from optimizer.search.study import Study
from optimizer.search.workbench import Figures, Workbench

if TYPE_CHECKING:
    from optimizer.benchmark.operators import OperatorProfile, OperatorTime

AS_GIVEN: Final = "as given"
ONNX_FLOAT: Final = "onnx float"
ONNX_PADDED: Final = "onnx float padded"
TFLITE_FLOAT: Final = "tflite float"
TFLITE_UNROLLED: Final = "tflite float unrolled"
U8S8: Final = "onnx int8 static u8s8"
S8S8: Final = "onnx int8 static s8s8"
"""Names of the attempts that later rounds build on."""
SAVED_FORMS: Final = (CompactOnnx, SaveOptimized, SaveOrt)
_CONVERSIONS: Final = frozenset({"QuantizeLinear", "DequantizeLinear"})
_BORDER_US: Final = 2.0
"""What a change of type costs where the profile shows none."""
_WORTH_PADDING: Final = 0.99
"""What is built on is padded where that alone takes less than this share of the time."""
_WORTH_REPAIRING: Final = 0.98
"""An inaccurate candidate is repaired where it is smaller or faster than every accurate one by more than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """An attempt that gave a product with figures."""

    attempt: Attempt
    product: Product
    figures: Figures


class Known:
    """The account that the rounds read; ``add`` is the search's own.

    ``findings`` are sentences for the reader on why something was proposed, or was not.
    """

    def __init__(self, workbench: Workbench, study: Study, *, budget: OptimizeBudget, objective: Objective) -> None:
        self.case: Case = workbench.case
        self.budget = budget
        self.objective = objective
        self.failures: list[Failure] = []
        self.findings: list[str] = []
        self._workbench = workbench
        self._study = study
        self._tried: dict[str, Tried] = {}

    @property
    def wants_latency(self) -> bool:
        """Whether the choice or a budget asks for latency."""
        return self.objective is Objective.LATENCY or self.budget.max_latency_ms is not None

    @property
    def measures_on_target(self) -> bool:
        """Whether the figures are the target's own."""
        return self._workbench.runner.taken_on is TakenOn.TARGET

    @property
    def all(self) -> tuple[Tried, ...]:
        """Every attempt that gave a product with figures, in the order tried."""
        return tuple(self._tried.values())

    @property
    def float_base(self) -> Tried | None:
        """The float ONNX model that later rounds build on: the padded one where latency decides and it is faster."""
        plain, padded = self.done(ONNX_FLOAT), self.done(ONNX_PADDED)
        if padded is None or self.objective is not Objective.LATENCY or not self.measures_on_target:
            return plain
        return padded if plain is None or _ratio(padded) < _WORTH_PADDING * _ratio(plain) else plain

    @property
    def other_base(self) -> Tried | None:
        """The float ONNX model, plain or padded, that is not built on; None without target timing, or without two."""
        both = (self.done(ONNX_FLOAT), self.done(ONNX_PADDED))
        if None in both or self.objective is not Objective.LATENCY or not self.measures_on_target:
            return None
        return next(one for one in both if one is not self.float_base)

    @property
    def tflite_base(self) -> Tried | None:
        """The float TFLite model that later rounds build on: the one that was given, or the faster one of those made.

        Where nothing is known of the target's speed, recurrent layers stay one operator each: the shorter file.
        """
        given = self.case.model
        if given.format is Format.TFLITE:
            return None if given.spec.quantized else self.done(AS_GIVEN)
        whole, unrolled = self.done(TFLITE_FLOAT), self.done(TFLITE_UNROLLED)
        if unrolled is None or self.objective is not Objective.LATENCY or not self.measures_on_target:
            return whole
        return unrolled if whole is None or _ratio(unrolled) < _ratio(whole) else whole

    def add(self, tried: Tried | Failure) -> None:
        """Take in what came of one attempt."""
        if isinstance(tried, Failure):
            self.failures.append(tried)
        else:
            self._tried[tried.attempt.label] = tried

    def has(self, label: str) -> bool:
        """Return whether the attempt of that name was tried, with whatever outcome."""
        return label in self._tried or any(failure.label == label for failure in self.failures)

    def done(self, label: str) -> Tried | None:
        """Return the attempt of that name; None where it was not tried, or failed."""
        return self._tried.get(label)

    def made_from(self, saved: Tried) -> Tried | None:
        """Return the attempt that a saved form was made of; None where it is none, or that was not tried."""
        steps = saved.attempt.pipeline.steps
        while steps and isinstance(steps[-1], SAVED_FORMS):
            steps = steps[:-1]
        return next((one for one in self.all if one.attempt.pipeline.steps == steps), None)

    def is_accurate(self, tried: Tried) -> bool:
        """Return whether the attempt holds the budget of accuracy, as far as its rows can tell."""
        limit = self.budget.max_drop
        return limit is None or tried.figures.fidelity.drop.value <= limit

    def best(self, some: Iterable[Tried]) -> Tried | None:
        """Return the best of some by the objective."""
        return min(some, key=self._cost, default=None)

    def fastest(self) -> Tried | None:
        """Return the fastest accurate attempt."""
        return min((one for one in self.all if self.is_accurate(one)), key=_ratio, default=None)

    def wanted_but_inaccurate(self) -> Tried | None:
        """Return the attempt that would be best if it held its accuracy; None where an accurate one is as good."""
        wounded = self.best(one for one in self.all if not self.is_accurate(one))
        sound = self.best(one for one in self.all if self.is_accurate(one))
        if wounded is None or (sound and self._cost(wounded) > _WORTH_REPAIRING * self._cost(sound)):
            return None
        return wounded

    def layers(self, tried: Tried) -> tuple[str, ...]:
        """Return the layers of the attempt's ONNX model that could be quantized, in the file's order."""
        return quantizable_layers(tried.product.model) if tried.product.model.format is Format.ONNX else ()

    def layer_times(self, float_: Tried, int8: Tried) -> tuple[tuple[LayerTime, ...], float]:
        """Return what each layer takes in float and in int8, and what a change between the two costs, microseconds."""
        layers = self.layers(float_)
        profiles = self.operators(float_).operators, self.operators(int8, named_as=float_).operators
        before, after = (_by_layer(one, layers) for one in profiles)
        conversions = [one.p50_us for one in profiles[1] if one.operator in _CONVERSIONS]
        border_us = max(conversions, default=_BORDER_US)
        times = (LayerTime(layer=name, float_us=before[name], int8_us=after[name]) for name in layers)
        return tuple(times), border_us

    def operators(self, tried: Tried, *, named_as: Tried | None = None) -> OperatorProfile:
        """Return where the time of the attempt's model goes on this machine, taken once for all workers.

        Args:
            tried: the attempt.
            named_as: the float attempt that it is a twin of: operations go by its names.
        """
        from optimizer.benchmark.operators import OperatorProfile

        names = named_as.product.model if named_as else None
        plain = self._study.shared(
            f"operators/{tried.product.model.digest}",
            lambda: {"profile": to_plain(self._workbench.operators(tried.product, named_as=names))},
        )
        return from_plain(OperatorProfile, plain["profile"])

    def choices(self) -> Choices:
        """Return what could be cut of the torch program and what each cut alone harms, weighed once for all workers.

        Where nothing can be cut there is no choice, and what is refused says why.
        """
        plain = self._study.shared("choices", lambda: {"could": to_plain(weighed(self._workbench))})
        return from_plain(Choices, plain["could"])

    def guided(self, tail: Tried) -> tuple[Guided, ...]:
        """Return the widths for the attempt's passes behind the cuts, then gentler ones, measured once for all workers.

        None at all where no cut saves anything there.
        """
        steps = tail.attempt.pipeline.steps
        plain = self._study.shared(
            f"guided/{tail.attempt.key}",
            lambda: {"found": [to_plain(one) for one in measured_widths(self.choices(), steps, self._workbench)]},
        )
        return tuple(from_plain(Guided, one) for one in plain["found"])

    def sensitivity(self) -> tuple[LayerSensitivity, ...]:
        """Return how much each layer of the float ONNX model moves the answers in int8, taken once for all workers.

        Empty where there is no such model, no whole int8 of it, or too many layers.
        """
        float_, int8 = self.float_base, self.done(U8S8)
        layers = self.layers(float_) if float_ else ()
        if float_ is None or int8 is None or not 1 < len(layers) <= MOST_LAYERS:
            return ()
        step = int8.attempt.pipeline.steps[-1]
        if not isinstance(step, QuantizeStatic):
            return ()
        plain = self._study.shared(
            f"sensitivity/{int8.product.model.digest}",
            lambda: {"layers": [to_plain(one) for one in layer_sensitivity(float_, layers, step, self._workbench)]},
        )
        return tuple(from_plain(LayerSensitivity, one) for one in plain["layers"])

    def _cost(self, tried: Tried) -> float:
        return _ratio(tried) if self.objective is Objective.LATENCY else float(tried.product.model.size_bytes)


def _ratio(tried: Tried) -> float:
    return tried.figures.ratio


def _by_layer(operators: Iterable[OperatorTime], layers: tuple[str, ...]) -> dict[str, float]:
    """Return the microseconds of each layer; an operation between two layers counts to the one before it."""
    total = dict.fromkeys(layers, 0.0)
    here = layers[0] if layers else ""
    for one in operators:
        here = one.name if one.name in total else here
        if here and one.operator not in _CONVERSIONS:
            total[here] += one.p50_us
    return total
