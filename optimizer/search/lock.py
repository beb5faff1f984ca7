"""The lock of a search: the winner's recipe, and everything that its bytes depend on, in one TOML file.

It is a recipe with one more table:

    [lock]
    schema = 1
    edgeship = "0.1.0"       version that wrote it
    label = "onnx int8 static u8s8"
    recipe = "51ee..."       digest of the target, the preprocessing and the passes
    model = "9f1c..."        digest of the model as it was opened
    data = "04ab..."         digest of the data, rows and split
    result = "7d20..."       digest of the winner's file
    size_bytes = 331000
    passes = ["simplify-onnx 1", "quantize-static 3"]
    tools = ["onnx 1.23.2", "onnxruntime 1.31.1"]

Its paths count from the lock's own folder. ``replay`` makes the file again and refuses where something that the
bytes depend on has changed, naming it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contracts.ids import Digest, digest_of
from optimizer.calibration.rows import CalibrationSet
from optimizer.errors import LockError, RecipeError
from optimizer.plan import tool_versions
from optimizer.recipe import Recipe, Subject, dump
from optimizer.recipe.recipe_file import parse, read_recipe, read_steps
from optimizer.recipe.toml import table
from optimizer.recipe.words import fields_in_toml, read_fields
from optimizer.search.candidate import Product, Search
from optimizer.store import Store
from optimizer.whole_file import write_whole

SCHEMA: Final = 1
FILE: Final = "winner.lock.toml"
_MAY_BE_EMPTY: Final = frozenset({"passes", "tools"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What must be the same for the bytes to be the same; see the module."""

    schema: int = 0
    edgeship: str = ""
    label: str = ""
    recipe: str = ""
    model: str = ""
    data: str = ""
    result: str = ""
    size_bytes: int = 0
    passes: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedRecipe:
    """A recipe and its lock."""

    recipe: Recipe
    lock: Lock


def lock_of(search: Search, subject: Subject, *, edgeship: str) -> LockedRecipe:
    """Return the lock of the search's winner.

    Args:
        search: a search that has a winner.
        subject: where its model, data and target are, paths counted from here.
        edgeship: our own version.

    Raises:
        LockError: the search has no winner.
    """
    winner = search.winner
    if winner is None:
        raise LockError("the search has no winner, so there is nothing to lock; loosen a budget")
    recipe = Recipe(subject=subject, steps=read_steps(parse(search.recipes[winner.label])))
    lock = Lock(
        schema=SCHEMA,
        edgeship=edgeship,
        label=winner.label,
        recipe=_recipe_digest(recipe),
        model=search.original.digest,
        data=search.data,
        result=winner.model.digest,
        size_bytes=winner.size_bytes,
        passes=_passes(recipe),
        tools=_tools(recipe),
    )
    return LockedRecipe(recipe=recipe, lock=lock)


def write_lock(locked: LockedRecipe, path: Path) -> None:
    """Write the lock file, its paths made to count from its folder.

    Raises:
        LockError: it cannot be written.
    """
    subject = locked.recipe.subject.seen_from(path.parent)
    words = dump(dataclasses.replace(locked.recipe, subject=subject), whole=True)
    words += "\n".join(["", "[lock]", *fields_in_toml(locked.lock)]) + "\n"
    try:
        write_whole(path, words.encode())
    except OSError as error:
        raise LockError(f"cannot write {path}: {error.strerror}; give a folder that has room") from error


def read_lock(path: Path) -> LockedRecipe:
    """Return the lock in the file, its paths made to count from here.

    Raises:
        LockError: unreadable, no lock, one of another edgeship, or edited since it was written.
    """
    try:
        plain = parse(path.read_text(encoding="utf-8"))
        told = table(plain, "lock")
        _require_schema(told.get("schema"), path)
        lock = read_fields(Lock, told, where="lock")
        recipe = read_recipe({key: value for key, value in plain.items() if key != "lock"})
    except OSError as error:
        raise LockError(f"cannot read lock {path}: {error.strerror}; give the lock that optimize wrote") from error
    except (UnicodeDecodeError, RecipeError) as error:
        raise LockError(f"{path} is damaged ({error}); take the lock that optimize wrote") from error
    missing = [
        item.name
        for item in dataclasses.fields(Lock)
        if item.name not in _MAY_BE_EMPTY and not getattr(lock, item.name)
    ]
    if missing:
        raise LockError(f"{path} is damaged: its lock has no {', '.join(missing)}; take the lock that optimize wrote")
    if _recipe_digest(recipe) != lock.recipe:
        raise LockError(
            f"{path}: its target, preprocessing or passes were edited after it was locked; take the lock that optimize "
            "wrote, or take the [lock] table out and use it as a recipe (edgeship recipe run)"
        )
    return LockedRecipe(
        recipe=dataclasses.replace(recipe, subject=recipe.subject.beside(path.parent)),
        lock=lock,
    )


def replay(
    locked: LockedRecipe,
    *,
    store: Store,
    told: Callable[[str], None] = lambda _: None,
    progress: Callable[[str, float], None] | None = None,
) -> Product:
    """Return the product made again, of which the bytes are those of the lock.

    Args:
        locked: what to make.
        store: where results of passes are kept.
        told: called with each step's words as it begins, the opening of model and data first.
        progress: called while a step's calibration rows are looked at, with a sentence and the share of them done.

    Raises:
        LockError: the model, the data or a tool's version is another one, or the bytes differ all the same.
        OptimizerError: model or data cannot be opened.
    """
    subject, lock = locked.recipe.subject, locked.lock
    told("opening the model and the data")
    _require_passes(lock, _passes(locked.recipe))
    _require_tools(lock.tools, _tools(locked.recipe))
    model = subject.open_model()
    _require(f"the model {subject.model}", lock.model, model.digest, way_out="MODEL")
    calibration = None
    if subject.data:
        dataset = subject.open_dataset(model)
        read_as = f"the data {subject.data} (split with seed {subject.options.seed})"
        _require(read_as, lock.data, dataset.digest, way_out="--data")
        calibration = CalibrationSet.of(dataset.calibration, preprocessing=subject.preprocessing)
    plan = locked.recipe.pipeline.plan(
        model, subject.open_target(), calibration=calibration, store=store, label=lock.label
    )
    product = plan.run(told=told, progress=progress)
    if product.model.digest != lock.result:
        raise LockError(
            f"the locked recipe gave other bytes ({product.model.digest[:12]}, locked {lock.result[:12]} by edgeship "
            f"{lock.edgeship}) of the same model and data: another processor may round otherwise; run it where the "
            "lock was written, or run optimize again"
        )
    return product


def _recipe_digest(recipe: Recipe) -> Digest:
    """Return the digest of the part of a recipe that says what is done, wherever model and data lie."""
    subject = Subject(model="", target=recipe.subject.target, preprocessing=recipe.subject.preprocessing)
    return digest_of(dump(Recipe(subject=subject, steps=recipe.steps), whole=True).encode())


def _passes(recipe: Recipe) -> tuple[str, ...]:
    return tuple(sorted({f"{step.name} {step.version}" for step in recipe.steps}))


def _tools(recipe: Recipe) -> tuple[str, ...]:
    versions: Mapping[str, Any] = tool_versions(recipe.steps)
    return tuple(f"{name} {version}" for name, version in sorted(versions.items()))


def _require_schema(found: object, path: Path) -> None:
    if found == SCHEMA:
        return
    if found is None:
        raise LockError(f"{path} has no [lock] table, so it is no lock; give the lock that optimize wrote")
    raise LockError(f"{path} has lock schema {found}, this edgeship reads {SCHEMA}; use the edgeship that wrote it")


def _require(what: str, locked: str, found: Digest, *, way_out: str) -> None:
    if found != locked:
        raise LockError(
            f"{what} has digest {found[:12]}, the lock names {locked[:12]}: it is another one, or it was changed; put "
            f"back the one that was locked, or say with {way_out} where it lies"
        )


def _require_passes(lock: Lock, found: tuple[str, ...]) -> None:
    if lock.passes != found:
        raise LockError(
            f"the lock was made by the passes {', '.join(lock.passes)}, here they are {', '.join(found)}: use edgeship "
            f"{lock.edgeship}, which wrote it, or run optimize again"
        )


def _require_tools(locked: tuple[str, ...], found: tuple[str, ...]) -> None:
    here = dict(one.split(" ", 1) for one in found)
    changed = [one for one in locked if one not in found]
    if changed:
        wanted = ", ".join(f"{one} (here {here.get(one.split()[0], 'absent')})" for one in changed)
        install = " ".join(one.replace(" ", "==") for one in changed)
        raise LockError(f"the lock was written with {wanted}; pip install {install}, or run optimize again")
