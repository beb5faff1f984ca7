"""The passes: a torch program with channels cut out and trained again, and its dense control with the same training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass, Wants
from optimizer.passes.prune_channels.importance import Importance
from optimizer.passes.prune_channels.widths import parse_widths
from optimizer.user_function import code_of

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule

    from optimizer.passes.prune_channels.checkpoints import Cuts
    from optimizer.passes.prune_channels.recovery import Phase

_SCORED_ROWS: Final = 128
"""Rows over which a channel's importance is taken."""
_TRIED_ROWS: Final = 2


@dataclass(frozen=True, kw_only=True)
class _Taught(Pass):
    """What training needs: rows, and how long and how fast."""

    accepts: ClassVar[Format] = Format.TORCH
    produces: ClassVar[Format] = Format.TORCH
    needs: ClassVar[tuple[str, ...]] = ("torch", "torch_pruning")
    tools: ClassVar[tuple[str, ...]] = ("torch", "torch-pruning")

    epochs: int = field(default=10, metadata={"doc": "how often training goes over the rows; 0: no training"})
    rounded_epochs: int = field(default=2, metadata={"doc": "further epochs with 8-bit rounding of weights and values"})
    train: str = field(default="", metadata={"doc": "module:function that trains instead; empty: by the original"})
    code: str = field(default="", metadata={"doc": "digest of that function's file; it must be that; empty: any"})
    rate: float = field(default=0.002, metadata={"doc": "learning rate of AdamW"})
    batch: int = field(default=64, metadata={"doc": "rows a step of training sees, at least 2"})
    rows: int = field(default=2_000, metadata={"doc": "calibration rows to train on, at most"})
    seed: int = field(default=0, metadata={"doc": "seed of order and changes of the rows"})
    threads: int = field(default=1, metadata={"doc": "threads of torch; another number may give other bytes"})

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to numbers that train nothing."""
        del target
        least = {"epochs": 0, "rounded_epochs": 0, "batch": 2, "rows": 2, "threads": 1}
        for name, low in least.items():
            if getattr(self, name) < low:
                yield f"{name}={getattr(self, name)}: give at least {low}"
        if not 0 < self.rate <= 1:
            yield f"rate={self.rate:g} is not above 0 and at most 1"
        if not any(tensor.element.is_float for tensor in spec.outputs):
            yield f"no output of {spec.name} is float: there is nothing to learn from"

    @property
    def functions(self) -> tuple[str, ...]:
        """The user's function that trains."""
        return (self.train,) if self.train else ()

    def observes(self, spec: ModelSpec) -> Wants:
        """Ask for the rows to train on; they are calibration rows, none of those that judge."""
        return Wants(rows=max(self.rows, spec.fixed_batch))

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the program after its course of cuts and training.

        Raises:
            PassFailed: nothing can be cut, or not to that width, or training or export fails.
        """
        from optimizer.passes.prune_channels.network import on_threads, open_network, save_network
        from optimizer.passes.prune_channels.recovery import Course, run_course

        self._require_code()
        with on_threads(self.threads):
            net, rows = open_network(model), self._tensors(model, seen)
            course = Course(
                rows=rows,
                rate=self.rate,
                batch=model.fixed_batch or self.batch,
                fixed_batch=bool(model.fixed_batch),
                seed=self.seed,
                train=self.train,
                phases=tuple(self._phases(net, rows, model)),
            )
            return save_network(run_course(net, course, seen.desk), model)

    def _require_code(self) -> None:
        """Return where the user's function lies in the very file that was named.

        Raises:
            PassFailed: it does not, or there is no such function.
        """
        found = code_of(self.train, error=PassFailed) if self.code else ""
        if found != self.code:
            raise PassFailed(
                f"{self.name}: the file of {self.train} has digest {found}, wanted is {self.code}: it was changed; put "
                "it back, or search again"
            )

    @abstractmethod
    def _phases(self, net: GraphModule, rows: tuple[torch.Tensor, ...], model: Model) -> Iterator[Phase]:
        """Yield the cuts and how long is trained after each."""

    def _tensors(self, model: Model, seen: Observations) -> tuple[torch.Tensor, ...]:
        import numpy as np

        from optimizer.formats.torch_format import torch_library

        if seen.count < 2:
            raise PassFailed(f"{self.name}: there are {seen.count} rows to train {model.name} on; give at least 2")
        return tuple(torch_library().from_numpy(np.array(seen.rows[spec.name])) for spec in model.inputs)

    def _rounding(self) -> Iterator[Phase]:
        from optimizer.passes.prune_channels.recovery import Phase

        if self.rounded_epochs:
            yield Phase(name="with rounding", cut=_no_cuts, epochs=self.rounded_epochs, rounding=True)


@dataclass(frozen=True, kw_only=True)
class PruneChannels(_Taught):
    """Cut channels, heads and whole branches out of a torch program, and train it back to the original's answers.

    Widths come from the search, which measures what each cut gains after quantization; without widths every group
    of channels loses the same ratio.
    """

    name: ClassVar[str] = "prune-channels"

    widths: tuple[str, ...] = field(
        default=(), metadata={"doc": "layer=channels kept; 0 leaves the branch that ends there out; empty: by ratio"}
    )
    ratio: float = field(default=0.5, metadata={"doc": "share of channels cut where no widths are given"})
    multiple: int = field(default=8, metadata={"doc": "widths by ratio are rounded to multiples of it"})
    importance: Importance = field(default=Importance.ACTIVATION, metadata={"doc": "which channels go first"})
    steps: int = field(default=1, metadata={"doc": "in how many steps to cut, with training after each"})

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Object to widths that are none, and to numbers that cut nothing."""
        yield from super().objections(spec, target)
        if not 0 < self.ratio < 1:
            yield f"ratio={self.ratio:g} is not above 0 and below 1"
        for name in ("multiple", "steps"):
            if getattr(self, name) < 1:
                yield f"{name}={getattr(self, name)}: give at least 1"
        try:
            parse_widths(self.widths)
        except ValueError as error:
            yield str(error)

    def _phases(self, net: GraphModule, rows: tuple[torch.Tensor, ...], model: Model) -> Iterator[Phase]:
        from optimizer.passes.prune_channels.cuts import cut_to
        from optimizer.passes.prune_channels.recovery import Phase
        from optimizer.passes.prune_channels.units import structure_of
        from optimizer.passes.prune_channels.widths import wanted_widths

        fixed = model.fixed_batch
        tried, scored = (tuple(one[: fixed or count] for one in rows) for count in (_TRIED_ROWS, _SCORED_ROWS))
        structure = structure_of(net, tried)
        final = wanted_widths(structure, self.widths, ratio=self.ratio, multiple=self.multiple)
        for step in range(1, self.steps + 1):
            last = step == self.steps
            yield Phase(
                name=f"cut {step} of {self.steps}",
                cut=cut_to(
                    structure,
                    final,
                    share=step / self.steps,
                    multiple=self.multiple,
                    scored=scored,
                    importance=self.importance,
                ),
                epochs=self.epochs - (self.steps - 1) * (self.epochs // self.steps)
                if last
                else self.epochs // self.steps,
            )
        yield from self._rounding()


@dataclass(frozen=True, kw_only=True)
class FineTune(_Taught):
    """Train a torch program to its own answers without cutting it: the dense control of a pruned one."""

    name: ClassVar[str] = "fine-tune"

    def _phases(self, net: GraphModule, rows: tuple[torch.Tensor, ...], model: Model) -> Iterator[Phase]:
        from optimizer.passes.prune_channels.recovery import Phase

        del net, rows, model
        yield Phase(name="dense", cut=_no_cuts, epochs=self.epochs)
        yield from self._rounding()


def _no_cuts(_net: GraphModule, _known: Cuts | None) -> Cuts:
    return []
