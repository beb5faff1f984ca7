"""The contract of a pass: one step from a model to another, and the promises it is held to.

A pass is a frozen dataclass whose fields are its parameters (each ``field(metadata={"doc": ...})``),
with the facts of the step as class attributes. An author writes ``apply``, and ``objections`` and
``observes`` where they have something to say; ``run`` is what the pipeline calls and checks:

- the model has the format that the pass accepts, the result the one it produces;
- names, element types and shapes of the tensors are unchanged, unless ``changes_tensors``;
- the model that went in is what it was.

That the same input gives the same bytes is a law in ``tests/conformance/pass_laws.py``, run over
every pass in ``optimizer.passes.CATALOG``.
"""

from __future__ import annotations

import abc
import dataclasses
import importlib.util
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from contracts.ids import digest_of
from optimizer.errors import LibraryMissing, PromiseBroken
from optimizer.formats.quiet import quiet
from optimizer.model import Format, Model, ModelSpec
from optimizer.telling import Progress, nobody

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from device_profiles.profile import DeviceProfile
    from optimizer.calibration.statistics import Statistics


@dataclass(frozen=True, slots=True, kw_only=True)
class Wants:
    """What a pass wants to see of the calibration rows: so many rows themselves, statistics over so many."""

    rows: int = 0
    statistics_rows: int = 0

    @property
    def any(self) -> bool:
        """Whether the pass calibrates at all."""
        return self.rows > 0 or self.statistics_rows > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where a pass that works long tells how far it is, and keeps unfinished work for whoever goes on after a kill.

    What it tells and keeps never changes its result.

    Attributes:
        progress: told a sentence and the share done, 0 to 1.
        kept: returns what ``keep`` was given last for this very result, by whoever; None where nothing was.
        keep: given all that is needed to go on from here; may drop it, if it was called just before.
    """

    progress: Progress = nobody
    kept: Callable[[], bytes | None] = lambda: None
    keep: Callable[[bytes], None] = lambda _content: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """Calibration rows as the model that a pass gets takes them, and what its inner tensors looked like.

    ``rows`` maps each of the model's own input names to real values (float32 for a float or a
    quantized tensor), shape (n, ...) in the model's own layout. Never write into the arrays.
    ``statistics`` are over ``Wants.statistics_rows`` rows (fewer where there are fewer); None where none were wanted.
    """

    rows: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    statistics: Statistics | None = None
    desk: Desk = field(default_factory=Desk)

    @property
    def count(self) -> int:
        """How many rows there are."""
        return min((len(values) for values in self.rows.values()), default=0)


@dataclass(frozen=True, kw_only=True)
class Pass(abc.ABC):
    """One step from a model to another.

    Attributes:
        name: the word in recipes and lineages, as in ``quantize-static``.
        accepts: format of the model that goes in.
        produces: format of the model that comes out.
        version: raised whenever the same input gives other bytes.
        needs: importable libraries without which ``apply`` cannot work.
        tools: distributions whose versions change the bytes, for the store's key and the lineage.
        quantizes: the result computes on integers.
        equivalent: the result computes the same in float; the plan runs both and refuses one that does not.
        changes_tensors: the result's tensors may differ from the input's (layout, integer types).
    """

    name: ClassVar[str]
    accepts: ClassVar[Format]
    produces: ClassVar[Format]
    version: ClassVar[int] = 1
    needs: ClassVar[tuple[str, ...]] = ()
    tools: ClassVar[tuple[str, ...]] = ()
    changes_tensors: ClassVar[bool] = False
    quantizes: ClassVar[bool] = False
    equivalent: ClassVar[bool] = False

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Yield each reason why this pass can't or shouldn't work on such a model for the target.

        Called before any work; must not import ``needs``. The formats, ``needs`` and the presence
        of enough calibration rows are checked by the pipeline, not here.
        """
        del spec, target
        return ()

    def observes(self, spec: ModelSpec) -> Wants:
        """Return what ``apply`` wants to see of the calibration rows; it may get fewer rows, never none."""
        del spec
        return Wants()

    def result(self, spec: ModelSpec) -> ModelSpec:
        """Return what is known of the result before the work, for the next pass's objections."""
        return dataclasses.replace(
            spec,
            format=self.produces,
            operators=spec.operators if self.produces is spec.format else frozenset(),
            quantized=spec.quantized or self.quantizes,
        )

    @abc.abstractmethod
    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the model after this step; the given one is not changed.

        Equal model, fields and observations give equal bytes.

        Raises:
            PassFailed: the step can't be done on this model, or would change nothing.
        """

    def run(self, model: Model, seen: Observations) -> Model:
        """Return ``apply``'s result, checked against the promises of the contract; libraries' chatter is dropped.

        Raises:
            LibraryMissing: one of ``needs`` is not installed.
            PassFailed: the step can't be done on this model.
            PromiseBroken: the pass broke its contract.
        """
        self._check_input(model)
        with quiet():
            result = self.apply(model, seen)
        self._check_result(model, result)
        return result

    def missing_libraries(self) -> tuple[str, ...]:
        """Return those of ``needs`` that are not installed, without importing any."""
        return tuple(name for name in self.needs if importlib.util.find_spec(name) is None)

    @property
    def functions(self) -> tuple[str, ...]:
        """The user's own code that the pass runs, each as ``module:function``."""
        return ()

    def parameters(self) -> dict[str, object]:
        """Return the fields and their values, in order."""
        return {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}

    def __str__(self) -> str:
        """Return the pass as lineages and plans show it: ``quantize-static(rows=128)``."""
        changed = (
            f"{item.name}={getattr(self, item.name)}"
            for item in dataclasses.fields(self)
            if getattr(self, item.name) != item.default
        )
        return f"{self.name}({', '.join(changed)})"

    def _check_input(self, model: Model) -> None:
        for library in self.missing_libraries():
            raise LibraryMissing(library, self.name)
        if model.format is not self.accepts:
            raise PromiseBroken(
                f"{self.name} takes a {self.accepts} model, got {model.format}: plan the pipeline first"
            )

    def _check_result(self, model: Model, result: Model) -> None:
        if result.format is not self.produces:
            raise PromiseBroken(f"{self.name} promises a {self.produces} model and returned {result.format}")
        if not self.changes_tensors and _shapes(model) != _shapes(result):
            raise PromiseBroken(f"{self.name} changed the tensors from {_shapes(model)} to {_shapes(result)}")
        if len(model.inputs) != len(result.inputs) or len(model.outputs) != len(result.outputs):
            raise PromiseBroken(f"{self.name} added or lost an input or output: they pair by place")
        if digest_of(result.content) != result.digest:
            raise PromiseBroken(f"{self.name} left a model whose bytes are not those of its digest")


def _shapes(model: Model) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    return tuple((spec.name, spec.element.value, spec.shape) for spec in (*model.inputs, *model.outputs))
