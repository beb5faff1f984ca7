"""A model: immutable bytes in one of four formats, and the tensors it takes and gives.

``content`` is always the bytes of the file (``.pt2`` archive, ``.onnx``, ``.ort``, ``.tflite``), so nothing
can change a model behind its digest. Frameworks are imported by ``formats`` alone, when needed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from contracts.ids import Digest, digest_of
from contracts.manifest import ModelFormat
from contracts.preprocessing import Step
from contracts.tensors import ElementType, TensorSpec
from optimizer.errors import ModelError
from optimizer.file_kind import FileKind, file_kind, read_file, whole_model
from optimizer.whole_file import write_whole


class Format(StrEnum):
    """Which framework reads the bytes."""

    TORCH = "torch"
    """A ``torch.export`` program (``.pt2``)."""
    ONNX = "onnx"
    ORT = "ort"
    """What ONNX Runtime saves for itself: the optimized graph, read without onnx; no pass reads it."""
    TFLITE = "tflite"

    @property
    def shipped_as(self) -> ModelFormat | None:
        """The format in an artifact's manifest, which names the runtime; None where no device runs it."""
        return _SHIPPED_AS.get(self)

    @property
    def suffix(self) -> str:
        """File name suffix, with its dot."""
        return _SUFFIXES[self]


_SUFFIXES = {Format.TORCH: ".pt2", Format.ONNX: ".onnx", Format.ORT: ".ort", Format.TFLITE: ".tflite"}
_SHIPPED_AS = {Format.ONNX: ModelFormat.ONNX, Format.ORT: ModelFormat.ONNX, Format.TFLITE: ModelFormat.TFLITE}
_ORT_MARK = b"ORTM"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What is known of a model without running it.

    ``operators`` are the format's own operator names (empty for a torch program: not known before
    export); ``quantized`` says that some of its arithmetic is already integer; ``not_finite`` names the weights
    that hold a NaN or an infinite value: such a model runs, but its ranges mean nothing, so it cannot be quantized.
    """

    format: Format
    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: frozenset[str] = frozenset()
    quantized: bool = False
    not_finite: tuple[str, ...] = ()

    @property
    def fixed_batch(self) -> int:
        """How many rows every run must have; 0 where any number will do."""
        return max((spec.shape[0] for spec in self.inputs if spec.shape and spec.shape[0] > 0), default=0)


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
    def from_torch(
        cls,
        module: object,
        *,
        inputs: Mapping[str, tuple[int, ...]],
        name: str,
        elements: Mapping[str, ElementType] = MappingProxyType({}),
    ) -> Model:
        """Return the model of a ``torch.nn.Module`` or a ``torch.export`` program.

        The module is exported in eval mode with a batch of any size; where torch cannot leave the batch free,
        with the batch of ``inputs``.

        Args:
            module: a ``torch.nn.Module`` or ``torch.export.ExportedProgram``.
            inputs: name and shape, batch first (its size is only an example), of each argument in
                the order of ``forward``.
            name: the model's name, a slug.
            elements: element type of the inputs that are not float32, as in ``{"ids": ElementType.INT64}``.

        Raises:
            ModelError: it is neither, or cannot be exported.
        """
        from optimizer.formats import torch_export

        specs = [
            TensorSpec(name=key, element=elements.get(key, ElementType.FP32), shape=shape)
            for key, shape in inputs.items()
        ]
        return cls.from_bytes(Format.TORCH, torch_export.export_program(module, specs).content, name=name)

    @classmethod
    def load(cls, path: Path | str, *, name: str | None = None, inputs: Sequence[TensorSpec] = ()) -> Model:
        """Return the model in the file: ``.onnx``, ``.tflite`` or ``.pt2``.

        For a file that you made yourself: a hostile one may crash the native code that reads it.
        ``optimizer.source.open_model`` tries a file in a process of its own first.

        Args:
            path: the file; its content decides the format, not its suffix. Weights of an ONNX model that lie in
                files beside it become part of the model.
            name: the model's name; by default a slug made of the file's name.
            inputs: sizes for those that an ONNX file leaves free, beside the batch.

        Raises:
            ModelError: the file is missing, empty, cut short, a pickled module, weights alone, or no model.
        """
        path = Path(path)
        content = read_file(path)
        kind = file_kind(content, path)
        whole_model(kind, path)
        name = name or slug(path.stem)
        if kind is FileKind.ONNX:
            from optimizer.formats import onnx_gathering

            content = onnx_gathering.gather(content, name, folder=path.parent, inputs=inputs)
        elif inputs:
            raise ModelError(f"{path}: shapes are fixed in ONNX files alone; leave them out for a {kind} file")
        return cls.from_bytes(Format(kind.value), content, name=name)

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
    def fixed_batch(self) -> int:
        """How many rows every run must have; 0 where any number will do."""
        return self.spec.fixed_batch

    @property
    def size_bytes(self) -> int:
        """Length of the file."""
        return len(self.content)

    @property
    def suffix(self) -> str:
        """File name suffix of the format, with its dot."""
        return self.format.suffix


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


def _format_module_load(kind: Format, content: bytes, name: str) -> ModelSpec:
    if kind is Format.TORCH:
        from optimizer.formats import torch_format

        return torch_format.load(content, name)
    if kind is Format.ORT or (kind is Format.ONNX and content[4:8] == _ORT_MARK):
        from optimizer.formats import ort_format

        return ort_format.load(content, name)
    if kind is Format.ONNX:
        from optimizer.formats import onnx_format

        return onnx_format.load(content, name)
    from optimizer.formats import tflite_format

    return tflite_format.load(content, name)
