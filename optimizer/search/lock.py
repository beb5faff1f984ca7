"""The lock of a search: the winner's recipe, and everything that its bytes depend on, in one TOML file.

It is a recipe with one more table:

    [lock]
    schema = 1
    edgeship = "0.1.0"       version that wrote it
    label = "onnx int8 static u8s8"
    model = "9f1c..."        digest of the model as it was opened
    data = "04ab..."         digest of the data, rows and split
    result = "7d20..."       digest of the winner's file
    size_bytes = 331000
    tools = ["onnx 1.23.2", "onnxruntime 1.31.1"]

``replay`` makes the file again and refuses where something that the bytes depend on has changed, naming it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contracts.ids import Digest
from optimizer.calibration.rows import CalibrationSet
from optimizer.errors import LockError, RecipeError
from optimizer.pipeline import Pipeline
from optimizer.plan import tool_versions
from optimizer.recipe import Recipe, Subject, dump
from optimizer.recipe.recipe_file import parse, read_recipe, read_steps
from optimizer.recipe.toml import table
from optimizer.recipe.words import changed_fields, read_fields
from optimizer.search.candidate import Product, Search
from optimizer.store import Store
from optimizer.whole_file import write_whole

SCHEMA: Final = 1
FILE: Final = "winner.lock.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What must be the same for the bytes to be the same; see the module."""

    schema: int = 0
    edgeship: str = ""
    label: str = ""
    model: str = ""
    data: str = ""
    result: str = ""
    size_bytes: int = 0
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
        subject: where its model, data and target are.
        edgeship: our own version.

    Raises:
        LockError: the search has no winner.
    """
    winner = search.winner
    if winner is None:
        raise LockError("the search has no winner, so there is nothing to lock; loosen a budget")
    steps = read_steps(parse(search.recipes[winner.label]))
    lock = Lock(
        schema=SCHEMA,
        edgeship=edgeship,
        label=winner.label,
        model=search.original.digest,
        data=search.data,
        result=winner.model.digest,
        size_bytes=winner.size_bytes,
        tools=_tools(Pipeline(*steps)),
    )
    return LockedRecipe(recipe=Recipe(subject=subject, steps=steps), lock=lock)


def write_lock(locked: LockedRecipe, path: Path) -> None:
    """Write the lock file.

    Raises:
        LockError: it cannot be written.
    """
    words = dump(locked.recipe) + "\n".join(["", "[lock]", *changed_fields(locked.lock)]) + "\n"
    try:
        write_whole(path, words.encode())
    except OSError as error:
        raise LockError(f"cannot write {path}: {error.strerror}; give a folder that has room") from error


def read_lock(path: Path) -> LockedRecipe:
    """Return the lock in the file, its paths made to count from here.

    Raises:
        LockError: unreadable, no lock, or one of a newer edgeship.
    """
    try:
        plain = parse(path.read_text(encoding="utf-8"))
        lock = read_fields(Lock, table(plain, "lock"), where="lock")
        recipe = read_recipe({key: value for key, value in plain.items() if key != "lock"})
    except OSError as error:
        raise LockError(f"cannot read lock {path}: {error.strerror}; give the file that optimize wrote") from error
    except (UnicodeDecodeError, RecipeError) as error:
        raise LockError(f"{path}: {error}") from error
    if lock.schema != SCHEMA:
        found = f"has schema {lock.schema}" if lock.schema else "has no [lock] table"
        raise LockError(f"{path} {found}, this edgeship reads {SCHEMA}; run optimize again to write a new lock")
    subject = recipe.subject.beside(path.parent)
    return LockedRecipe(recipe=Recipe(subject=subject, steps=recipe.steps), lock=lock)


def replay(locked: LockedRecipe, *, store: Store, told: Callable[[str], None] = lambda _: None) -> Product:
    """Return the product made again, of which the bytes are those of the lock.

    Raises:
        LockError: the model, the data or a tool's version is another one, or the bytes differ all the same.
    """
    subject, lock = locked.recipe.subject, locked.lock
    pipeline = locked.recipe.pipeline
    told("opening the model and the data")
    model = subject.open_model()
    _require("the model", subject.model, lock.model, model.digest)
    calibration = None
    if subject.data:
        dataset = subject.open_dataset(model)
        _require("the data", subject.data, lock.data, dataset.digest)
        calibration = CalibrationSet.of(dataset.calibration, preprocessing=subject.preprocessing)
    _require_tools(lock.tools, _tools(pipeline))
    plan = pipeline.plan(model, subject.open_target(), calibration=calibration, store=store, label=lock.label)
    product = plan.run(told=told, progress=lambda what, share: told(f"{what}, {share:.0%}"))
    if product.model.digest != lock.result:
        raise LockError(
            f"the same recipe on the same model and data gave other bytes ({product.model.digest[:12]}, locked "
            f"{lock.result[:12]}): the processor may compute otherwise; run it where the lock was written"
        )
    return product


def _tools(pipeline: Pipeline) -> tuple[str, ...]:
    versions: Mapping[str, Any] = tool_versions(pipeline.steps)
    return tuple(f"{name} {version}" for name, version in sorted(versions.items()))


def _require(what: str, where: str, locked: str, found: Digest) -> None:
    if found != locked:
        raise LockError(
            f"{what} at {where} has digest {found[:12]}, the lock names {locked[:12]}: it is not the one that was "
            "locked; put that one there, or run optimize again"
        )


def _require_tools(locked: tuple[str, ...], found: tuple[str, ...]) -> None:
    changed = [f"{old.split()[0]} (locked {old.split()[-1]})" for old in locked if old not in found]
    if changed:
        raise LockError(
            f"other versions are installed than were locked: {', '.join(changed)}, here {', '.join(found)}; install "
            "the locked ones, or run optimize again"
        )
