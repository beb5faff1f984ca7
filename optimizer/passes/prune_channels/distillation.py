"""How far a cut network is from the original, without labels: outputs, and tensors inside that kept their shape."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from optimizer.errors import PassFailed
from optimizer.formats.torch_format import torch_library
from optimizer.passes.prune_channels.lessons import answers_of, batches, parted, takes_mirrored
from optimizer.passes.prune_channels.modules import Node, operator
from optimizer.passes.prune_channels.network import first_output

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from torch import Tensor
    from torch.fx import GraphModule

_TEMPERATURE: Final = 2.0
_FEATURES: Final = 4.0
"""Weight of the tensors inside beside the outputs."""
_MOST_FEATURES: Final = 12
_LOOKED_AT: Final = 256
"""Rows over which is asked whether mirrored ones count as same."""
_LONGEST_STEP: Final = 5.0
"""Of all slopes together, before the optimizer takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class School:
    """A student beside its teacher: what it is taught by, and rows held out to judge it by.

    Attributes:
        student: the network that learns.
        taught: the same with the tensors inside that are compared, behind its outputs.
        asked: the teacher with the same.
        features: how many tensors inside there are.
        mirrored: whether mirrored rows count as the same.
        rows: those to learn from.
        held: those held out, in batches; none where there were too few.
        wanted: what the teacher says of them.
    """

    student: GraphModule
    taught: Any
    asked: Any
    features: int
    mirrored: bool
    rows: tuple[torch.Tensor, ...]
    held: tuple[tuple[torch.Tensor, ...], ...]
    wanted: tuple[list[torch.Tensor], ...]

    def learn(self, optimizer: Any, rows: tuple[torch.Tensor, ...]) -> float:
        """Make one step and return the loss before it.

        Raises:
            PassFailed: the loss is no number.
        """
        torch = torch_library()
        wanted = answers_of(self.asked, rows, mirrored=self.mirrored, features=self.features)
        optimizer.zero_grad(set_to_none=True)
        loss: Any = distillation_loss(self.taught(*rows), wanted, features=self.features)
        if not bool(torch.isfinite(loss)):
            raise PassFailed("training went astray (its loss is no number); give a smaller rate")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.student.parameters(), _LONGEST_STEP)
        optimizer.step()
        return float(loss.detach())

    def error(self) -> float:
        """Return how far the student's outputs are from the teacher's on the rows held out; 0 where there are none."""
        self.student.eval()
        with torch_library().no_grad():
            errors = [
                float(distillation_loss(first_output(self.student(*rows)), wanted, features=0)) * len(rows[0])
                for rows, wanted in zip(self.held, self.wanted, strict=True)
            ]
        return sum(errors) / max(sum(len(rows[0]) for rows in self.held), 1)


def school_of(
    teacher: GraphModule, student: GraphModule, rows: tuple[torch.Tensor, ...], *, batch: int, fixed: bool
) -> School:
    """Return the student's school.

    Args:
        teacher: the original.
        student: what became of it.
        rows: all there are to train on; every eighth is held out.
        batch: rows of a batch.
        fixed: the network takes batches of exactly this size.
    """
    student.eval()  # so that looking at its tensors leaves no trace
    few = next(batches(rows, batch=batch if fixed else _LOOKED_AT, fixed=fixed))
    names = common_features(teacher, student, few)
    asked, mirrored = with_features(teacher, names).eval(), takes_mirrored(teacher, few)
    learnt, held = parted(rows, fixed=batch if fixed else 0)
    judged = tuple(batches(held, batch=batch, fixed=fixed))
    return School(
        student=student,
        taught=with_features(student, names),
        asked=asked,
        features=len(names),
        mirrored=mirrored,
        rows=learnt,
        held=judged,
        wanted=tuple(answers_of(teacher, one, mirrored=mirrored) for one in judged),
    )


def with_features(net: GraphModule, names: Sequence[str]) -> GraphModule:
    """Return the network with further outputs: the tensors of these names; its layers are shared, not copied."""
    torch = torch_library()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch, about the copy of its own trees
        graph = copy.deepcopy(net.graph)
    graph.set_codegen(torch.fx.graph.CodeGen())
    found = {node.name: node for node in graph.nodes}
    output = next(node for node in graph.nodes if node.op == "output")
    answers = [one for one in torch.utils._pytree.tree_leaves(output.args[0]) if one is not None]  # noqa: SLF001 as torch
    output.args = ((*answers, *(found[name] for name in names)),)
    shown: GraphModule = torch.fx.GraphModule(net, graph)
    return shown


def common_features(teacher: GraphModule, student: GraphModule, rows: tuple[torch.Tensor, ...]) -> tuple[str, ...]:
    """Return the names of sums and of what the last layer reads, where both networks have them in one shape."""
    torch = torch_library()
    there = {node.name for node in student.graph.nodes}
    names = [name for name in _telling(teacher) if name in there]
    with torch.no_grad():
        theirs, ours = (_features(with_features(net, names), rows, len(names)) for net in (teacher, student))
    alike = [name for name, one, other in zip(names, theirs, ours, strict=True) if one.shape == other.shape]
    return tuple(alike[-_MOST_FEATURES:])


def distillation_loss(given: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor], *, features: int) -> torch.Tensor:
    """Return how far the answers, and the last ``features`` of them with their own weight, are from the teacher's."""
    torch = torch_library()
    functional = torch.nn.functional
    loss: Tensor = torch.zeros(())
    answers = len(given) - features
    for place, (own, other) in enumerate(zip(given, wanted, strict=True)):
        if not other.is_floating_point():
            continue
        distance = functional.mse_loss(own, other) / (other.var() + 1e-6)
        if place >= answers:
            loss = loss + _FEATURES * distance / max(features, 1)
            continue
        loss = loss + distance
        if other.dim() > 1 and other.shape[-1] > 1:
            scores, truth = own / _TEMPERATURE, other / _TEMPERATURE
            shares = functional.log_softmax(truth, dim=-1).flatten(0, -2)
            loss = loss + _TEMPERATURE**2 * functional.kl_div(
                functional.log_softmax(scores, dim=-1).flatten(0, -2), shares, reduction="batchmean", log_target=True
            )
    return loss


def _telling(net: GraphModule) -> Iterator[str]:
    last: Node | None = None
    for node in net.graph.nodes:
        if operator(node) in ("add", "add_") and len(node.all_input_nodes) == 2:
            yield node.name
        if node.op == "call_module":
            last = node
    if last is not None and last.args[0].op not in ("placeholder", "get_attr"):
        yield last.args[0].name


def _features(net: GraphModule, rows: tuple[torch.Tensor, ...], count: int) -> list[torch.Tensor]:
    answers = first_output(net(*rows))
    return answers[len(answers) - count :]
