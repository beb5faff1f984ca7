"""PyTorch programs: the ``.pt2`` archive of ``torch.export``, read, written and run.

The names that the user gives the inputs travel in the archive as an extra file, because ``torch.export``
keeps the argument names of ``forward``.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from contracts.telemetry import forbid_telemetry
from contracts.tensors import ElementType, TensorSpec
from optimizer.errors import LibraryMissing, MeasureFailed, ModelError, first_line
from optimizer.formats.quiet import quiet
from optimizer.formats.torch_archive import check_archive
from optimizer.model import Format, Model, ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch.export import ExportedProgram

NAMES_FILE: Final = "edgeship-inputs.json"
ELEMENTS: Final = {
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
    values = values_by_name(program)
    signature = program.graph_signature
    given = output_names(program, names)
    return ModelSpec(
        format=Format.TORCH,
        name=name,
        inputs=tuple(
            _tensor(tensor, values.get(str(own)), name)
            for tensor, own in zip(names, signature.user_inputs, strict=True)
        ),
        outputs=tuple(
            _tensor(tensor, values.get(str(own)), name)
            for tensor, own in zip(given, signature.user_outputs, strict=True)
        ),
        not_finite=not_finite(program.state_dict),
    )


def open_program(content: bytes, name: str) -> tuple[ExportedProgram, list[str]]:
    """Return the program in the archive and the names of its inputs.

    Raises:
        ModelError: the bytes hold no program that this torch can read, or one that would run its own code.
        LibraryMissing: torch is not installed.
    """
    check_archive(content, name)
    torch = torch_library()
    extra = {NAMES_FILE: ""}
    raised = (RuntimeError, ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, AssertionError)
    try:
        with quiet():
            program: ExportedProgram = torch.export.load(io.BytesIO(content), extra_files=extra)
    except (*raised, IndexError, NotImplementedError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{name}: not a torch.export program that this torch reads ({first_line(error)}); "
            "save it again with torch.export.save"
        ) from error
    names = _stored_names(extra[NAMES_FILE], name) or list(map(str, program.graph_signature.user_inputs))
    check_names(program, names)
    return program, names


def output_names(program: ExportedProgram, inputs: Sequence[str]) -> list[str]:
    """Return the keys of a program that gives a dict; else ``output``, or ``output_0`` and on where there are several.

    Keys are passed over where one of them is also an input's name: two tensors of one name fit no file.
    """
    count = len(program.graph_signature.user_outputs)
    tree = program.call_spec.out_spec
    if tree is not None and tree.type is dict and tree.num_children == tree.num_leaves == count:
        keys = [str(key) for key in tree.context]
        if not set(keys) & set(inputs):
            return keys
    plain = ["output"] if count == 1 else [f"output_{place}" for place in range(count)]
    return [f"{name}_of" if name in inputs else name for name in plain]


def values_by_name(program: ExportedProgram) -> dict[str, Any]:
    """Return what torch knows of each value of a program: a tensor without contents, for most."""
    return {node.name: node.meta.get("val") for node in program.graph.nodes}


def not_finite(weights: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the tensors that hold a NaN or an infinite value."""
    floating = {name: one for name, one in weights.items() if getattr(one, "is_floating_point", bool)()}
    return tuple(name for name, one in floating.items() if not bool(torch_library().isfinite(one).all()))


def session(model: Model, threads: int) -> TorchSession:
    """Return a session of the program; ``threads`` becomes torch's own setting of this process.

    Raises:
        LibraryMissing: torch is not installed.
    """
    torch_library().set_num_threads(threads)
    return TorchSession(model)


class TorchSession:
    """One torch.export program in eager mode; takes and gives its own tensors."""

    def __init__(self, model: Model) -> None:
        program, names = open_program(model.content, model.name)
        self._module = program.module()
        self._arguments = program.call_spec.in_spec
        self._names = names
        self._outputs = [spec.name for spec in model.outputs]
        self._model_name = model.name

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> Mapping[str, NDArray[np.generic]]:
        """Return every output for the inputs."""
        torch = torch_library()
        tensors = [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in self._names]
        positional, named = torch.utils._pytree.tree_unflatten(tensors, self._arguments)  # noqa: SLF001 torch.export's own tree
        try:
            with torch.inference_mode():
                results = self._module(*positional, **named)
        except (RuntimeError, IndexError, ValueError, TypeError, AssertionError) as error:
            raise MeasureFailed(f"{self._model_name}: torch cannot run the program ({first_line(error)})") from error
        leaves = torch.utils._pytree.tree_leaves(results)  # noqa: SLF001 as above
        return {name: tensor.numpy() for name, tensor in zip(self._outputs, leaves, strict=True)}


def check_names(program: ExportedProgram, names: Sequence[str]) -> None:
    """Refuse names that are not one for each tensor that the program takes.

    Raises:
        ModelError: too many or too few, or two alike.
    """
    wanted = len(program.graph_signature.user_inputs)
    if len(set(names)) != len(names):
        raise ModelError(f"two inputs have one name: {', '.join(names)}; name each differently")
    if len(names) != wanted:
        raise ModelError(f"the program takes {wanted} tensors and {len(names)} inputs were named: {', '.join(names)}")


def _stored_names(text: str, model: str) -> list[str]:
    """Return the input names that the archive carries, or none where it carries none."""
    try:
        names = json.loads(text) if text else []
    except ValueError as error:
        raise ModelError(f"{model}: the names of its inputs are damaged; save it again") from error
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ModelError(f"{model}: the names of its inputs are damaged; save it again")
    return names


def _tensor(tensor: str, value: Any, model: str) -> TensorSpec:
    shape = getattr(value, "shape", None)
    element = ELEMENTS.get(str(getattr(value, "dtype", "")))
    if shape is None or element is None:
        raise ModelError(
            f"{model}: {tensor!r} is {getattr(value, 'dtype', 'no tensor')}, which is not served; "
            "take and give tensors alone, of float32 or a served integer type"
        )
    sizes = [size if isinstance(size, int) else -1 for size in shape]
    if -1 in sizes[1:]:
        raise ModelError(
            f"{model}: {tensor!r} has shape {tuple(sizes)}: only the first size (the batch) may vary; "
            "export it with the others fixed"
        )
    if 0 in sizes:
        raise ModelError(f"{model}: {tensor!r} has shape {tuple(sizes)}: it holds nothing; leave it out")
    return TensorSpec(name=tensor, element=element, shape=tuple(sizes))


def torch_library() -> Any:
    """Return the module ``torch``, imported now.

    Raises:
        LibraryMissing: it is not installed.
    """
    forbid_telemetry()  # torch's exporter looks for ONNX Runtime, and may load it
    try:
        import torch
    except ImportError as error:
        raise LibraryMissing("torch", "a PyTorch model") from error
    return torch
