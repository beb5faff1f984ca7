"""What a model file is, by its content: the first bytes, and for a zip archive the names in it."""

from __future__ import annotations

import io
import zipfile
from enum import StrEnum
from pathlib import Path
from typing import Final

from optimizer.errors import ModelError

_LARGEST_BYTES: Final = 2**31 - 1
_ZIP = b"PK\x03\x04"
_PICKLE = b"\x80"
_TFLITE = b"TFL3"
_ORT = b"ORTM"
_FOREIGN: Final = {
    b"\x89HDF": "an HDF5 file, as Keras writes; convert it with TensorFlow Lite's converter or tf2onnx",
    b"GGUF": "a GGUF file; give the ONNX or PyTorch model that it was made from",
    b"\x93NUM": "a NumPy array; give the model, and the array as data",
}
TAKEN: Final = "give a .onnx, .tflite or .pt2 file, weights (.safetensors, .pt) with a builder, or module:function"


class FileKind(StrEnum):
    """What a file holds; the first four are whole models."""

    TORCH = "torch"
    ONNX = "onnx"
    ORT = "ort"
    TFLITE = "tflite"
    PICKLED_WEIGHTS = "pickled weights"
    """A pickle: of weights, or of a whole module, which is known only by reading it as weights alone."""
    SAFETENSORS = "safetensors"

    @property
    def is_weights(self) -> bool:
        """Whether it holds at most weights: the network itself is missing."""
        return self in (FileKind.PICKLED_WEIGHTS, FileKind.SAFETENSORS)


def read_file(path: Path) -> bytes:
    """Return the file's bytes.

    Raises:
        ModelError: missing, not readable, no regular file, empty, or larger than a model file can be.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ModelError(f"{path} is no file; {TAKEN}")
        if size > _LARGEST_BYTES:
            raise ModelError(f"{path} has {size / 1e9:.1f} GB; models of at most 2 GB are taken")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read model {path}: {error.strerror}; {TAKEN}") from error
    if not content:
        raise ModelError(f"{path} is empty; {TAKEN}")
    return content


def file_kind(content: bytes, path: Path) -> FileKind:
    """Return what the bytes claim to be; what is nothing else is taken for ONNX, which has no mark.

    Raises:
        ModelError: a kind that is not taken, with the way out.
    """
    if content[4:8] == _TFLITE:
        return FileKind.TFLITE
    if content[4:8] == _ORT:
        return FileKind.ORT
    if content[:4] == _ZIP:
        return _zip_kind(content, path)
    if content[:1] == _PICKLE:
        return FileKind.PICKLED_WEIGHTS
    if content[8:9] == b"{" and (path.suffix == ".safetensors" or int.from_bytes(content[:8], "little") < len(content)):
        return FileKind.SAFETENSORS
    if content[:4] in _FOREIGN:
        raise ModelError(f"{path} is {_FOREIGN[content[:4]]}")
    if path.suffix in (".tflite", ".pt2", ".safetensors", ".pt", ".pth"):
        raise ModelError(
            f"{path} is no {path.suffix[1:]} file: its first bytes are not those of the format; save it again"
        )
    return FileKind.ONNX


def whole_model(kind: FileKind, path: Path) -> None:
    """Refuse a file that holds weights alone.

    Raises:
        ModelError: with the way out.
    """
    if kind.is_weights:
        raise ModelError(f"{path} holds at most weights, without the network: {BUILDER_HINT}")


BUILDER_HINT: Final = "name the function that makes the network, as in --builder nets.py:build or builder='nets:build'"


def pickled(path: Path) -> str:
    """Return why a pickled module is refused, and the way out."""
    return (
        f"{path} is a pickled module: unpickling runs whatever code the file holds, so it is refused; where the "
        "module's code is at hand, save its weights (torch.save(module.state_dict(), 'weights.pt')) and give them with "
        "a builder, or save torch.export.export(module.eval(), args) with torch.export.save(program, 'model.pt2')"
    )


def _zip_kind(content: bytes, path: Path) -> FileKind:
    try:
        names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise ModelError(f"{path} is cut short or damaged ({str(error)[:120]}); save the model again") from error
    if any(name.endswith("/constants.pkl") for name in names):
        raise ModelError(
            f"{path} is a TorchScript file, which PyTorch has retired; save torch.export.export(module, args) "
            "with torch.export.save(program, 'model.pt2')"
        )
    if any(name.endswith(("serialized_exported_program.json", "archive_format")) for name in names):
        return FileKind.TORCH
    if any(name.endswith("data.pkl") for name in names):
        return FileKind.PICKLED_WEIGHTS
    raise ModelError(f"{path} is a zip file but no torch.export program; {TAKEN}")
