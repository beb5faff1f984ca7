"""From a module to a ``.pt2`` archive: a batch of any size where torch can leave it free, else a fixed one."""

from __future__ import annotations

import inspect
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contracts.tensors import TensorSpec
from optimizer.errors import ModelError, first_line
from optimizer.formats.quiet import quiet
from optimizer.formats.torch_format import ELEMENTS, NAMES_FILE, check_names, torch_library, values_by_name

if TYPE_CHECKING:
    from torch.export import ExportedProgram


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A ``.pt2`` archive, and a word on what the export could not keep (empty where it kept everything)."""

    content: bytes
    said: str = ""


def export_program(module: object, inputs: Sequence[TensorSpec]) -> Exported:
    """Return the archive of a module or program; a module is exported in eval mode.

    Args:
        module: a ``torch.nn.Module`` or ``torch.export.ExportedProgram``.
        inputs: name, element type and shape of each tensor, in the order of ``forward``; the first size is the batch.

    Raises:
        ModelError: neither a module nor a program, or torch.export cannot follow it.
        LibraryMissing: torch is not installed.
    """
    torch, said = torch_library(), ""
    if isinstance(module, torch.nn.Module):
        program, said = _export(module, inputs)
    elif isinstance(module, torch.export.ExportedProgram):
        program = module
    else:
        raise ModelError(f"{type(module).__name__} is no torch.nn.Module and no torch.export program; give one of them")
    names = [spec.name for spec in inputs] or list(map(str, program.graph_signature.user_inputs))
    check_names(program, names)
    archive = io.BytesIO()
    with quiet():
        torch.export.save(program, archive, extra_files={NAMES_FILE: json.dumps(names)})
    return Exported(content=archive.getvalue(), said=said)


def is_module(made: object) -> bool:
    """Whether it is a ``torch.nn.Module``."""
    return isinstance(made, torch_library().nn.Module)


def is_program(made: object) -> bool:
    """Whether it is a ``torch.export.ExportedProgram``."""
    return isinstance(made, torch_library().export.ExportedProgram)


def specs_of(module: object, examples: object) -> tuple[TensorSpec, ...]:
    """Return what example inputs say of a module's inputs: a tensor, a tuple of them, or a mapping by name.

    Raises:
        ModelError: one is no tensor, or of a type that is not served.
    """
    if isinstance(examples, Mapping):
        return tuple(_spec(str(name), value) for name, value in examples.items())
    values = tuple(examples) if isinstance(examples, tuple | list) else (examples,)
    forward = inspect.signature(module.forward) if hasattr(module, "forward") else None
    names = [name for name, one in forward.parameters.items() if one.kind is not one.VAR_KEYWORD] if forward else []
    names += [f"input_{place}" for place in range(len(names), len(values))]
    return tuple(_spec(name, value) for name, value in zip(names, values, strict=False))


def _spec(name: str, value: object) -> TensorSpec:
    element = ELEMENTS.get(str(getattr(value, "dtype", "")))
    shape = getattr(value, "shape", None)
    if element is None or shape is None:
        raise ModelError(
            f"example input {name!r} is {type(value).__name__}, not a tensor of a served type; "
            "give float32 or int64 tensors, one for each argument of forward"
        )
    return TensorSpec(name=name, element=element, shape=tuple(int(size) for size in shape))


def _export(module: Any, inputs: Sequence[TensorSpec]) -> tuple[ExportedProgram, str]:
    """Return the program with a free batch; where torch cannot leave it free, with a fixed one and the reason."""
    torch = torch_library()
    batch = torch.export.Dim("batch", min=1)
    training = module.training
    module.eval()
    try:
        try:
            free = tuple({0: batch} if spec.shape else {} for spec in inputs)
            # two rows: torch.export takes a size of 1 in the example for a constant
            program = _traced(module, inputs, rows=2, dynamic=free)
            why = _what_is_lost(program, module, inputs)
        except ModelError as error:
            why = str(error)
        if not why:
            return program, ""
        rows = max([1, *(spec.shape[0] for spec in inputs if spec.shape)])
        program = _traced(module, inputs, rows=rows, dynamic=None)
        if not _answers_alike(program, module, inputs, rows=rows):
            raise ModelError(
                f"torch.export makes another function of {type(module).__name__}: the exported program answers "
                "differently; remove branches on values, and state that forward keeps between calls"
            )
        return program, f"its batch is fixed at {rows}, because torch.export cannot leave it free ({why})"
    finally:
        module.train(training)


def _what_is_lost(program: ExportedProgram, module: Any, inputs: Sequence[TensorSpec]) -> str:
    """Return why a program with a free batch is not what the module is; empty where it is."""
    if not _leaves_only_the_batch_free(program):
        return "an output has its batch at another place than the first, or a size that depends on the data"
    different = [rows for rows in (1, 3) if not _answers_alike(program, module, inputs, rows=rows)]
    return f"the program answers differently for a batch of {different[0]}" if different else ""


def _answers_alike(program: ExportedProgram, module: Any, inputs: Sequence[TensorSpec], *, rows: int) -> bool:
    """Whether program and module agree on seeded random rows: torch.export follows one branch of an ``if`` alone."""
    torch = torch_library()
    chance = torch.Generator().manual_seed(0)
    examples = tuple(_example(spec, rows, chance) for spec in inputs)
    leaves = torch.utils._pytree.tree_leaves  # noqa: SLF001 torch.export's own order of outputs
    try:
        with quiet(), torch.no_grad():
            wanted, given = leaves(module(*examples)), leaves(program.module()(*examples))
    except (RuntimeError, AssertionError, ValueError, TypeError, IndexError):
        return False
    pairs = zip(wanted, given, strict=False)
    return len(wanted) == len(given) and all(
        one.shape == other.shape and torch.allclose(one.double(), other.double(), rtol=1e-3, atol=1e-5, equal_nan=True)
        for one, other in pairs
        if isinstance(one, torch.Tensor)
    )


def _example(spec: TensorSpec, rows: int, chance: Any) -> Any:
    """Return random rows: normal numbers, or 0 and 1 for integers, which every table of embeddings has."""
    torch = torch_library()
    shape = (rows, *spec.shape[1:]) if spec.shape else ()
    if spec.element.is_float:
        return torch.randn(shape, generator=chance).to(_dtype(spec))
    return torch.randint(0, 2, shape, generator=chance).to(_dtype(spec))


def _dtype(spec: TensorSpec) -> Any:
    spelt = next(name for name, element in ELEMENTS.items() if element is spec.element)
    return getattr(torch_library(), spelt.removeprefix("torch."))


def _traced(module: Any, inputs: Sequence[TensorSpec], *, rows: int, dynamic: Any) -> ExportedProgram:
    torch = torch_library()
    arguments = tuple(torch.zeros((rows, *spec.shape[1:]) if spec.shape else (), dtype=_dtype(spec)) for spec in inputs)
    raised = (RuntimeError, ValueError, TypeError, AttributeError, IndexError, KeyError, NotImplementedError)
    dynamo = torch._dynamo.exc.TorchDynamoException  # noqa: SLF001 the only name of that error
    try:
        with quiet():
            program: ExportedProgram = torch.export.export(module, arguments, dynamic_shapes=dynamic)
    except (*raised, AssertionError, dynamo) as error:
        shapes = ", ".join(f"{spec.name} {spec.element.value} {spec.shape}" for spec in inputs)
        raise ModelError(
            f"torch.export cannot follow {type(module).__name__} with inputs {shapes} ({first_line(error)}); "
            "check the shapes, or export a program yourself and pass that"
        ) from error
    return program


def _leaves_only_the_batch_free(program: ExportedProgram) -> bool:
    values = values_by_name(program)
    for name in program.graph_signature.user_outputs:
        shape = getattr(values.get(str(name)), "shape", ())
        if not shape or isinstance(shape[0], int) or not all(isinstance(size, int) for size in shape[1:]):
            return False
    return True
