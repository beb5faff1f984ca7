"""A search on disk: ``search.json`` with every figure and what it is about, and the model files beside it.

``read_search(write_search(...))`` gives the search again, so that comparing and packing need not repeat it.
"""

from __future__ import annotations

import dataclasses
import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from contracts.codec import from_plain, to_plain
from contracts.errors import ContractError
from contracts.ids import Digest, digest_of, parse_digest
from contracts.preprocessing import Step
from optimizer.errors import ModelError, OptimizerError, RecipeError
from optimizer.model import Format, Model
from optimizer.recipe import Recipe, Subject, dump, load_text
from optimizer.search.candidate import Candidate, Search
from optimizer.whole_file import write_whole

_FACTS: Final = "search.json"
_MODELS: Final = "models"
_WINNER: Final = "winner"
"""The winner's file has a name of its own: the folder may be the one where the user's model lies."""
_SHIPPED: Final = (".onnx", ".ort", ".tflite")
_SUBJECT: Final = "subject"
"""Key of the recipe, in TOML, that has no passes and says where model and data lie."""


def write_search(search: Search, folder: Path, *, subject: Subject | None = None) -> Path:
    """Write the search into the folder and return the winner's file, or the folder where nothing won.

    Args:
        search: what to write.
        folder: where to; made where it is missing.
        subject: where model and data lie, paths counted from here; with it candidates can be packed and replayed.

    Raises:
        OptimizerError: the folder cannot be written.
    """
    models = [search.original, *(candidate.model for candidate in search.candidates)]
    plain: Any = to_plain(search)
    for model, slot in zip(models, _model_slots(plain), strict=True):
        slot["model"] = _reference(model)
    plain[_SUBJECT] = dump(Recipe(subject=subject.seen_from(folder), steps=()), whole=True) if subject else ""
    make_folder(folder)
    try:
        for model in models:
            model.save(folder / _file(model))
        write_whole(folder / _FACTS, (json.dumps(plain, indent=1) + "\n").encode())
    except OSError as error:
        raise _unwritten(folder, error) from error
    return folder if search.winner is None else save_model(search.winner.model, folder)


def save_model(model: Model, folder: Path) -> Path:
    """Write the winner into the folder in the place of an earlier one, and return its file.

    Raises:
        OptimizerError: the folder cannot be written.
    """
    file = folder / f"{_WINNER}{model.suffix}"
    try:
        for suffix in _SHIPPED:
            (folder / f"{_WINNER}{suffix}").unlink(missing_ok=True)
        model.save(file)
    except OSError as error:
        raise _unwritten(folder, error) from error
    return file


def check_folder(folder: Path, model: Model) -> None:
    """Return where the folder holds no search of another model: its winner would be lost.

    Raises:
        OptimizerError: it does; names that model.
    """
    try:
        told = _facts(folder)["original"]["model"]
        other, digest = str(told["name"]), str(told["digest"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    if digest != model.digest:
        raise OptimizerError(f"{folder} holds the search of another model ({other}); give a folder of its own with -o")


def make_folder(folder: Path) -> None:
    """Make the folder for a search, so that a wrong one is said before the work.

    Raises:
        OptimizerError: it cannot be made.
    """
    try:
        (folder / _MODELS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptimizerError(f"cannot write {folder}: {error.strerror}; give a folder that can be made") from error


def read_search(folder: Path) -> Search:
    """Return the search that was written into the folder.

    Raises:
        OptimizerError: the folder holds no search, or a damaged one.
    """
    try:
        plain = _facts(folder)
        plain.pop(_SUBJECT, "")
        models = [_restore(slot, folder) for slot in _model_slots(plain)]
        for model, slot in zip(models, _model_slots(plain), strict=True):
            slot["model"] = _without_operators(model)
        plain["original"] = plain["original"]["model"]
        search = from_plain(Search, plain)
    except OSError as error:
        raise _unread(folder, error) from error
    except (ValueError, KeyError, TypeError, RecursionError, ModelError, ContractError) as error:
        raise _damaged(folder, error) from error
    candidates = tuple(_with_model(one, model) for one, model in zip(search.candidates, models[1:], strict=True))
    return dataclasses.replace(search, original=models[0], candidates=candidates)


def read_subject(folder: Path) -> Subject | None:
    """Return what the search in the folder is about, paths made to count from here; None where that was not kept.

    Raises:
        OptimizerError: the folder holds no search, or a damaged one.
    """
    try:
        words = str(_facts(folder).get(_SUBJECT, ""))
        return load_text(words).subject.beside(folder) if words else None
    except OSError as error:
        raise _unread(folder, error) from error
    except (ValueError, AttributeError, RecipeError) as error:
        raise _damaged(folder, error) from error


def _facts(folder: Path) -> dict[str, Any]:
    plain = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    return dict(plain)


def _unwritten(folder: Path, error: OSError) -> OptimizerError:
    return OptimizerError(f"cannot write {folder}: {error.strerror}; give a folder that has room")


def _unread(folder: Path, error: OSError) -> OptimizerError:
    return OptimizerError(f"cannot read {folder / _FACTS}: {error.strerror}; give a folder that optimize wrote")


def _damaged(folder: Path, error: Exception) -> OptimizerError:
    return OptimizerError(f"{folder / _FACTS} is no search, or damaged ({error}); run optimize again")


def _model_slots(plain: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the maps that hold a model under ``model``: the original's, then each candidate's product."""
    if "model" not in plain["original"]:
        plain["original"] = {"model": plain["original"]}
    yield plain["original"]
    for candidate in plain["candidates"]:
        yield candidate["product"]


def _reference(model: Model) -> dict[str, Any]:
    return {
        "format": model.format.value,
        "name": model.name,
        "digest": model.digest,
        "adapter": to_plain(model.adapter),
    }


def _restore(slot: Mapping[str, Any], folder: Path) -> Model:
    told = slot["model"]
    kind, digest = Format(told["format"]), parse_digest(told["digest"])
    path = folder / _file_of(digest, kind)
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ModelError(f"{path.name} is no file of its own")
    content = path.read_bytes()
    if digest_of(content) != digest:
        raise ModelError(f"{path.name} differs from its digest")
    adapter = tuple(from_plain(Step, step) for step in told["adapter"])
    return Model.from_bytes(kind, content, name=told["name"], adapter=adapter)


def _without_operators(model: Model) -> dict[str, Any]:
    """Return the model as maps for the codec, which knows no sets."""
    plain: Any = to_plain(model)
    del plain["spec"]["operators"]
    return dict(plain)


def _with_model(candidate: Candidate, model: Model) -> Candidate:
    return dataclasses.replace(candidate, product=dataclasses.replace(candidate.product, model=model))


def _file(model: Model) -> str:
    return _file_of(model.digest, model.format)


def _file_of(digest: Digest, kind: Format) -> str:
    """Return where a model lies: its name follows from its digest, whatever ``search.json`` says."""
    return f"{_MODELS}/{digest[:16]}{kind.suffix}"
