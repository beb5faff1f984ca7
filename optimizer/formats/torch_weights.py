"""Weights without a network: state dicts (``.pt``, ``.pth``) and ``.safetensors``, and giving them to a module.

A pickle is read with ``weights_only=True``, which makes tensors and nothing else; a file that asks for more is a
pickled module and refused. Keys are matched strictly.
"""

from __future__ import annotations

import difflib
import importlib
import io
import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from optimizer.errors import LibraryMissing, ModelError, first_line
from optimizer.file_kind import FileKind, pickled
from optimizer.formats.quiet import quiet
from optimizer.formats.torch_format import torch_library
from optimizer.telling import Told

if TYPE_CHECKING:
    from torch import Tensor

Weights: TypeAlias = "Mapping[str, Tensor]"

_HOLDERS: Final = ("state_dict", "model_state_dict", "model")
_PREFIXES: Final = ("module.", "model.", "_orig_mod.")
_SHOWN: Final = 4


def read_weights(content: bytes, path: Path, kind: FileKind, *, told: Told | None = None) -> Weights:
    """Return the tensors in the file by their keys.

    Args:
        content: the file.
        path: where it came from, for messages.
        kind: one of the two kinds of weights.
        told: called with a word where a checkpoint holds more than weights.

    Raises:
        ModelError: damaged, a pickled module, or it holds no state dict.
        LibraryMissing: torch or safetensors is not installed.
    """
    if kind is FileKind.SAFETENSORS:
        return _read_safetensors(content, path)
    return _state_dict(_read_pickle(content, path), path, told)


def give_weights(module: Any, weights: Weights, *, path: Path, told: Told | None = None) -> None:
    """Make the module hold the weights: every key matched, every shape the same.

    Args:
        module: a ``torch.nn.Module``; changed.
        weights: by key.
        path: where they came from, for messages.
        told: called with a word where a prefix was taken off.

    Raises:
        ModelError: keys are missing or left over, or shapes differ; all that differ are named, at most four of each.
    """
    own = module.state_dict()
    weights = _without_prefix(weights, own, told)
    missing = [key for key in own if key not in weights and not key.endswith("num_batches_tracked")]
    unknown = [key for key in weights if key not in own and not key.endswith("num_batches_tracked")]
    other = [key for key in own if key in weights and own[key].shape != weights[key].shape]
    found = [
        *([f"it lacks {_listed(missing, list(weights))}"] if missing else []),
        *([f"the network has no {_listed(unknown, missing or list(own))}"] if unknown else []),
        *([f"shapes differ: {_shapes(other, weights, own)}"] if other else []),
    ]
    if found:
        raise ModelError(
            f"{path} does not fit {type(module).__name__}: {'; '.join(found)}; build the network that was trained"
        )
    try:
        module.load_state_dict({key: value for key, value in weights.items() if key in own}, strict=False)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: {type(module).__name__} does not take its weights ({first_line(error)})") from error


def _read_safetensors(content: bytes, path: Path) -> Weights:
    try:
        library = importlib.import_module("safetensors.torch")
    except ImportError as error:
        raise LibraryMissing("safetensors", "a .safetensors file") from error
    damaged = (importlib.import_module("safetensors").SafetensorError, ValueError, KeyError, TypeError, RuntimeError)
    try:
        weights: Weights = library.load(content)
    except (*damaged, AttributeError, struct.error) as error:
        raise ModelError(f"{path} is no safetensors file, or damaged ({first_line(error)}); save it again") from error
    return weights


def _read_pickle(content: bytes, path: Path) -> object:
    torch = torch_library()
    _refuse_packed(content, path)
    damaged = (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError, OSError)
    try:
        with quiet():
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(pickled(path) if _asks_for_code(error) else _damaged(path, error)) from error
    except (*damaged, AssertionError, OverflowError, struct.error, NotImplementedError, zipfile.BadZipFile) as error:
        raise ModelError(_damaged(path, error)) from error


def _refuse_packed(content: bytes, path: Path) -> None:
    """Refuse compressed members: torch never writes them, and they unpack to any size."""
    if content[:2] != b"PK":
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            packed = [one.filename for one in archive.infolist() if one.compress_type != zipfile.ZIP_STORED]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
        raise ModelError(_damaged(path, error)) from error
    if packed:
        raise ModelError(f"{path}: member {packed[0]!r} is compressed, as torch.save never writes it; save it again")


def _asks_for_code(error: pickle.UnpicklingError) -> bool:
    return any(word in str(error) for word in ("GLOBAL", "Unsupported class", "Unsupported global", "persistent id"))


def _damaged(path: Path, error: BaseException) -> str:
    return f"{path} is no state dict that torch reads, or damaged ({first_line(error)}); save it again"


def _state_dict(loaded: Any, path: Path, told: Told | None) -> Weights:
    """Return the state dict: the file's whole content, or what a checkpoint holds under the usual names."""
    if not isinstance(loaded, Mapping):
        raise ModelError(f"{path} holds a {type(loaded).__name__}, no state dict; save module.state_dict()")
    holder = next((key for key in _HOLDERS if isinstance(loaded.get(key), Mapping)), None)
    if holder is not None:
        if told is not None:
            rest = ", ".join(repr(str(key)[:30]) for key in list(loaded)[:6] if key != holder)
            told(f"{path.name} is a checkpoint: its {holder!r} is taken, the rest ({rest or 'nothing'}) is left")
        loaded = loaded[holder]
    tensor = torch_library().Tensor
    strange = [key for key, value in loaded.items() if not (isinstance(key, str) and isinstance(value, tensor))]
    if strange or not loaded:
        what = f"its entry {str(strange[0])[:60]!r} is no tensor" if strange else "it is empty"
        raise ModelError(f"{path} holds no state dict ({what}); save module.state_dict()")
    return dict(loaded)


def _without_prefix(weights: Weights, own: Mapping[str, object], told: Told | None) -> Weights:
    """Take off what DataParallel, a wrapper or torch.compile puts before every key, where the network lacks it."""
    for prefix in _PREFIXES:
        all_have = all(key.startswith(prefix) for key in weights)
        if all_have and not any(key.startswith(prefix) for key in own):
            if told is not None:
                told(f"every key begins with {prefix!r}, which the network's do not: it is taken off")
            weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights


def _listed(keys: list[str], others: list[str]) -> str:
    """Return the first keys, each with the nearest of the others, and how many more there are."""
    shown = []
    for key in keys[:_SHOWN]:
        near = difflib.get_close_matches(key, others, n=1, cutoff=0.6)
        shown.append(f"{key!r}" + (f" (nearest: {near[0]!r})" if near else ""))
    return ", ".join(shown) + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")


def _shapes(keys: list[str], weights: Weights, own: Mapping[str, Any]) -> str:
    shown = [f"{key!r} is {tuple(weights[key].shape)}, wanted {tuple(own[key].shape)}" for key in keys[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")
