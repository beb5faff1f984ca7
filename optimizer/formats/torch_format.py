"""PyTorch programs: the ``.pt2`` archive of ``torch.export``, read, written and run.

The names that the user gives the inputs travel in the archive as an extra file, because ``torch.export``
keeps the argument names of ``forward``.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from contracts.tensors import ElementType, TensorSpec
from optimizer.errors import LibraryMissing, MeasureFailed, ModelError
from optimizer.formats.quiet import quiet
from optimizer.formats.torch_archive import check_archive
from optimizer.model import Format, Model, ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch.export import ExportedProgram

_NAMES_FILE: Final = "edgeship-inputs.json"
_ELEMENTS: Final = {
    "torch.float32": ElementType.FP32,
    "torch.float16": ElementType.FP16,
    "torch.int8": ElementType.INT8,
    "torch.uint8": ElementType.UINT8,
    "torch.int32": ElementType.INT32,
    "torch.int64": ElementType.INT64,
    "torch.bool": ElementType.BOOL,
}


def load(content: bytes, name: str) -> ModelSpec:
    """Return what a ``.pt2`` archive's bytes say of its tensors.

    Raises:
        ModelError: no torch.export program, or tensors that we do not serve.
        LibraryMissing: torch is not installed.
    """
    program, names = open_program(content, name)
    nodes = {node.name: node for node in program.graph.nodes}
    signature = program.graph_signature
    inputs = tuple(
        _tensor(given, nodes[own].meta["val"], name) for given, own in zip(names, signature.user_inputs, strict=True)
    )
    outputs = tuple(
        _tensor(given, nodes[str(own)].meta["val"], name)
        for given, own in zip(output_names(len(signature.user_outputs)), signature.user_outputs, strict=True)
    )
    return ModelSpec(format=Format.TORCH, name=name, inputs=inputs, outputs=outputs)


def export_program(module: object, inputs: Mapping[str, tuple[int, ...]]) -> bytes:
    """Return the ``.pt2`` archive of a module or program, with a batch of any size for a module.

    Raises:
        ModelError: neither a module nor a program, or torch.export cannot follow it.
        LibraryMissing: torch is not installed.
    """
    torch = _torch()
    if isinstance(module, torch.nn.Module):
        program = _export(module, list(inputs.values()))
    elif isinstance(module, torch.export.ExportedProgram):
        program = module
    else:
        raise ModelError(f"{type(module).__name__} is no torch.nn.Module and no torch.export program; give one of them")
    _check_names(program, list(inputs))
    archive = io.BytesIO()
    torch.export.save(program, archive, extra_files={_NAMES_FILE: json.dumps(list(inputs))})
    return archive.getvalue()


def open_program(content: bytes, name: str) -> tuple[ExportedProgram, list[str]]:
    """Return the program in the archive and the names of its inputs.

    Raises:
        ModelError: the bytes hold no program that this torch can read, or one that would run its own code.
        LibraryMissing: torch is not installed.
    """
    check_archive(content, name)
    torch = _torch()
    extra = {_NAMES_FILE: ""}
    try:
        with quiet():
            program: ExportedProgram = torch.export.load(io.BytesIO(content), extra_files=extra)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, AssertionError) as error:
        raise ModelError(
            f"{name}: not a torch.export program that this torch reads ({_line(error)}); "
            "save it again with torch.export.save"
        ) from error
    stored = extra[_NAMES_FILE]
    names: list[str] = json.loads(stored) if stored else list(program.graph_signature.user_inputs)
    _check_names(program, names)
    return program, names


def output_names(count: int) -> list[str]:
    """Return ``output``, or ``output_0`` and on where there are several: torch does not name outputs."""
    return ["output"] if count == 1 else [f"output_{place}" for place in range(count)]


def session(model: Model, threads: int) -> TorchSession:
    """Return a session of the program; ``threads`` becomes torch's own setting of this process.

    Raises:
        LibraryMissing: torch is not installed.
    """
    _torch().set_num_threads(threads)
    return TorchSession(model)


class TorchSession:
    """One torch.export program in eager mode; takes and gives its own tensors."""

    def __init__(self, model: Model) -> None:
        program, names = open_program(model.content, model.name)
        self._module = program.module()
        self._names = names
        self._outputs = [spec.name for spec in model.outputs]
        self._model_name = model.name

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Mapping[str, NDArray[np.generic]]:
        """Return every output for the inputs."""
        torch = _torch()
        arguments = [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in self._names]
        try:
            with torch.inference_mode():
                results = self._module(*arguments)
        except RuntimeError as error:
            raise MeasureFailed(f"{self._model_name}: torch cannot run the program ({_line(error)})") from error
        tensors = results if isinstance(results, tuple | list) else (results,)
        return {name: tensor.numpy() for name, tensor in zip(self._outputs, tensors, strict=True)}


def _export(module: Any, shapes: Sequence[tuple[int, ...]]) -> ExportedProgram:
    torch = _torch()
    # two rows: torch.export takes a size of 1 in the example for a constant
    arguments = tuple(torch.zeros((2, *shape[1:])) for shape in shapes)
    batch = torch.export.Dim("batch", min=1)
    training = module.training
    try:
        with quiet():
            program: ExportedProgram = torch.export.export(
                module.eval(), arguments, dynamic_shapes=tuple({0: batch} for _ in shapes)
            )
    except (RuntimeError, ValueError, TypeError, AssertionError, torch._dynamo.exc.TorchDynamoException) as error:  # noqa: SLF001 the only name of that error
        raise ModelError(
            f"torch.export cannot follow {type(module).__name__} with inputs {list(shapes)} ({_line(error)}); "
            "check the shapes, or export a program yourself and pass that"
        ) from error
    finally:
        module.train(training)
    return program


def _check_names(program: ExportedProgram, names: Sequence[str]) -> None:
    wanted = len(program.graph_signature.user_inputs)
    if len(names) != wanted:
        raise ModelError(f"the program takes {wanted} tensors and {len(names)} inputs were named: {', '.join(names)}")


def _tensor(tensor: str, value: Any, model: str) -> TensorSpec:
    shape = getattr(value, "shape", None)
    element = _ELEMENTS.get(str(getattr(value, "dtype", "")))
    if shape is None or element is None:
        raise ModelError(f"{model}: {tensor!r} is not a tensor of a type that is served; cast it to float32")
    sizes = [size if isinstance(size, int) else -1 for size in shape]
    if -1 in sizes[1:]:
        raise ModelError(
            f"{model}: {tensor!r} has shape {tuple(sizes)}: only the first size (the batch) may vary; "
            "export it with the others fixed"
        )
    return TensorSpec(name=tensor, element=element, shape=tuple(sizes))


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise LibraryMissing("torch", "a PyTorch model") from error
    return torch


def _line(error: BaseException) -> str:
    """Return the first line of an error, at most 160 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
