"""A model: immutable bytes in one of three formats, and the tensors it takes and gives.

``content`` is always the bytes of the file (``.pt2`` archive, ``.onnx``, ``.tflite``), so nothing
can change a model behind its digest. Frameworks are imported by ``formats`` alone, when needed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from contracts.ids import Digest, digest_of
from contracts.preprocessing import Step
from contracts.tensors import ElementType, TensorSpec
from optimizer.errors import ModelError
from optimizer.whole_file import write_whole

_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_TFLITE = b"TFL3"


class Format(StrEnum):
    """Which framework reads the bytes."""

    TORCH = "torch"
    """A ``torch.export`` program (``.pt2``)."""
    ONNX = "onnx"
    TFLITE = "tflite"


_SUFFIXES = {Format.TORCH: ".pt2", Format.ONNX: ".onnx", Format.TFLITE: ".tflite"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What is known of a model without running it.

    ``operators`` are the format's own operator names (empty for a torch program: not known before
    export); ``quantized`` says that some of its arithmetic is already integer.
    """

    format: Format
    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: frozenset[str] = frozenset()
    quantized: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model file in memory.

    ``adapter`` are the steps that lead from the inputs of the model that the user gave to this
    file's own inputs (a TFLite file made from a channel-first model takes channel-last images);
    they name the user's input tensors, which pair with this file's by place.
    """

    spec: ModelSpec
    content: bytes
    digest: Digest
    adapter: tuple[Step, ...] = ()

    @classmethod
    def from_bytes(cls, kind: Format, content: bytes, *, name: str, adapter: tuple[Step, ...] = ()) -> Model:
        """Return the model that the bytes of that format hold.

        Raises:
            ModelError: the bytes are not a model of the format.
            LibraryMissing: the format's library is not installed.
        """
        spec = _format_module_load(kind, content, name)
        return cls(spec=spec, content=content, digest=digest_of(content), adapter=adapter)

    @classmethod
    def from_torch(cls, module: object, *, inputs: Mapping[str, tuple[int, ...]], name: str) -> Model:
        """Return the model of a ``torch.nn.Module`` or a ``torch.export`` program.

        The module is exported in eval mode with a batch of any size.

        Args:
            module: a ``torch.nn.Module`` or ``torch.export.ExportedProgram``.
            inputs: name and shape, batch first (its size is only an example), of each argument in
                the order of ``forward``; float32.
            name: the model's name, a slug.

        Raises:
            ModelError: it is neither, or cannot be exported.
        """
        from optimizer.formats import torch_format

        return cls.from_bytes(Format.TORCH, torch_format.export_program(module, inputs), name=name)

    @classmethod
    def load(cls, path: Path | str, *, name: str | None = None) -> Model:
        """Return the model in the file: ``.onnx``, ``.tflite`` or ``.pt2``.

        Args:
            path: the file; its content decides the format, not its suffix.
            name: the model's name; by default a slug made of the file's name.

        Raises:
            ModelError: the file is missing, empty, cut short, a pickled module, or no model.
        """
        path = Path(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"cannot read model {path}: {error.strerror}; give a .onnx, .tflite or .pt2 file"
            ) from error
        kind = _sniff(content, path)
        return cls.from_bytes(kind, content, name=name or slug(path.stem))

    def save(self, path: Path | str) -> None:
        """Write the bytes to the file.

        Raises:
            ModelError: the file cannot be written.
        """
        try:
            write_whole(Path(path), self.content)
        except OSError as error:
            raise ModelError(f"cannot write model {path}: {error.strerror}; give a folder that has room") from error

    @property
    def format(self) -> Format:
        """Which framework reads it."""
        return self.spec.format

    @property
    def name(self) -> str:
        """The model's name, a slug."""
        return self.spec.name

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The file's own inputs, in its order."""
        return self.spec.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The file's own outputs, in its order."""
        return self.spec.outputs

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return len(self.content)

    @property
    def suffix(self) -> str:
        """File name suffix of the format, with its dot."""
        return _SUFFIXES[self.format]


def slug(text: str) -> str:
    """Return the text as a model name: lower-case letters, digits and hyphens, at most 63.

    >>> slug("ResNet20 (final)_v2")
    'resnet20-final-v2'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-") or "model"


def served_spec(own: TensorSpec) -> TensorSpec:
    """Return a file's tensor as it is served: real values where it is quantized, a batch of any size."""
    real = own if own.quantization is None else dataclasses.replace(own, element=ElementType.FP32, quantization=None)
    return dataclasses.replace(real, shape=(-1, *own.shape[1:]))


def _sniff(content: bytes, path: Path) -> Format:
    """Return the format that the bytes claim, or raise ModelError with the way out."""
    if not content:
        raise ModelError(f"{path} is empty; give a .onnx, .tflite or .pt2 file")
    if content[4:8] == _TFLITE:
        return Format.TFLITE
    if content[:4] == _ZIP:
        return _sniff_zip(content, path)
    if content[:1] == _PICKLE:
        raise ModelError(_pickled(path))
    if path.suffix == Format.TFLITE.value or path.suffix in (".tflite", ".pt2"):
        raise ModelError(
            f"{path} is no {path.suffix[1:]} model: its first bytes are not those of the format; export it again"
        )
    return Format.ONNX


def _sniff_zip(content: bytes, path: Path) -> Format:
    import io
    import zipfile

    try:
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    except zipfile.BadZipFile as error:
        raise ModelError(f"{path} is cut short or damaged ({error}); save the model again") from error
    if any(name.endswith(("serialized_exported_program.json", "archive_format")) for name in names) and not any(
        name.endswith("/constants.pkl") for name in names
    ):
        return Format.TORCH
    if any(name.endswith("/constants.pkl") for name in names):
        raise ModelError(
            f"{path} is a TorchScript file, which PyTorch has retired; save torch.export.export(module, args) "
            "with torch.export.save(program, 'model.pt2')"
        )
    if any(name.endswith("data.pkl") for name in names):
        raise ModelError(_pickled(path))
    raise ModelError(f"{path} is a zip file but no torch.export program; give a .onnx, .tflite or .pt2 file")


def _pickled(path: Path) -> str:
    return (
        f"{path} is a pickled module: unpickling runs whatever code the file holds, so it is refused; where the "
        "module's code is at hand, save torch.export.export(module.eval(), args) with "
        "torch.export.save(program, 'model.pt2'), or pass the module to Model.from_torch"
    )


def _format_module_load(kind: Format, content: bytes, name: str) -> ModelSpec:
    if kind is Format.TORCH:
        from optimizer.formats import torch_format

        return torch_format.load(content, name)
    if kind is Format.ONNX:
        from optimizer.formats import onnx_format

        return onnx_format.load(content, name)
    from optimizer.formats import tflite_format

    return tflite_format.load(content, name)
