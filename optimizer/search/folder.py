"""A search on disk: ``search.json`` with every figure, and the model files beside it.

``read_search(write_search(...))`` gives the search again, so that comparing and packing need not repeat it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from contracts.codec import from_plain, to_plain
from contracts.errors import DecodeError
from contracts.preprocessing import Step
from optimizer.errors import ModelError, OptimizerError
from optimizer.model import Format, Model
from optimizer.search.candidate import Candidate, Search
from optimizer.whole_file import write_whole

_FACTS: Final = "search.json"
_MODELS: Final = "models"


def write_search(search: Search, folder: Path) -> Path:
    """Write the search into the folder and return the winner's file, or the folder where nothing won.

    Raises:
        OptimizerError: the folder cannot be written.
    """
    models = [search.original, *(candidate.model for candidate in search.candidates)]
    plain: Any = to_plain(search)
    for model, slot in zip(models, _model_slots(plain), strict=True):
        slot["model"] = _reference(model)
    make_folder(folder)
    try:
        for model in models:
            model.save(folder / _file(model))
        write_whole(folder / _FACTS, (json.dumps(plain, indent=1) + "\n").encode())
        if search.winner is None:
            return folder
        best = folder / f"{search.winner.model.name}{search.winner.model.suffix}"
        search.winner.model.save(best)
    except OSError as error:
        raise OptimizerError(f"cannot write {folder}: {error.strerror}; give a folder that has room") from error
    return best


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
    path = folder / _FACTS
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        models = [_restore(slot, folder) for slot in _model_slots(plain)]
        for model, slot in zip(models, _model_slots(plain), strict=True):
            slot["model"] = _without_operators(model)
        plain["original"] = plain["original"]["model"]
        search = from_plain(Search, plain)
    except OSError as error:
        raise OptimizerError(f"cannot read {path}: {error.strerror}; give a folder that optimize wrote") from error
    except (ValueError, KeyError, TypeError, ModelError, DecodeError) as error:
        raise OptimizerError(f"{path} is no search, or damaged ({error}); run optimize again") from error
    candidates = tuple(_with_model(one, model) for one, model in zip(search.candidates, models[1:], strict=True))
    return dataclasses.replace(search, original=models[0], candidates=candidates)


def _model_slots(plain: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the maps that hold a model under ``model``: the original's, then each candidate's product."""
    if "model" not in plain["original"]:
        plain["original"] = {"model": plain["original"]}
    yield plain["original"]
    for candidate in plain["candidates"]:
        yield candidate["product"]


def _reference(model: Model) -> dict[str, Any]:
    return {
        "file": _file(model),
        "format": model.format.value,
        "name": model.name,
        "digest": model.digest,
        "adapter": to_plain(model.adapter),
    }


def _restore(slot: Mapping[str, Any], folder: Path) -> Model:
    told = slot["model"]
    content = (folder / str(told["file"])).read_bytes()
    adapter = tuple(from_plain(Step, step) for step in told["adapter"])
    model = Model.from_bytes(Format(told["format"]), content, name=told["name"], adapter=adapter)
    if model.digest != told["digest"]:
        raise ModelError(f"{told['file']} differs from its digest")
    return model


def _without_operators(model: Model) -> dict[str, Any]:
    """Return the model as maps for the codec, which knows no sets."""
    plain: Any = to_plain(model)
    del plain["spec"]["operators"]
    return dict(plain)


def _with_model(candidate: Candidate, model: Model) -> Candidate:
    return dataclasses.replace(candidate, product=dataclasses.replace(candidate.product, model=model))


def _file(model: Model) -> str:
    return f"{_MODELS}/{model.digest[:16]}{model.suffix}"
