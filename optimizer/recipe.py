"""A recipe: a pipeline with its model, data and target, spelt in TOML.

    model = "weld.pt2"
    target = "raspberry-pi-4"
    data = "line-3.npz"

    [[preprocess]]
    tensor = "image"
    kind = "scale"
    factor = [0.0039]

    [[pass]]
    use = "export-onnx"

    [[pass]]
    use = "quantize-static"
    rows = 256

Each ``[[pass]]`` table is a constructor call, one key a field; an unknown key is an error that names the
nearest. ``load_text(dump(recipe))`` is the recipe again. Paths count from the recipe's own folder.
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from contracts.codec import from_plain
from contracts.errors import DecodeError
from contracts.preprocessing import Step, StepKind
from optimizer.errors import RecipeError
from optimizer.pass_ import Pass
from optimizer.passes import CATALOG
from optimizer.pipeline import Pipeline

_STEP_FORM = "write TENSOR:scale=FACTOR[:offset=OFFSET] (commas between channels) or TENSOR:channel_last"
_KEYS = ("model", "target", "data", "preprocess", "pass")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a recipe file says; ``data`` is empty where no step needs any."""

    model: str
    target: str
    data: str
    preprocessing: tuple[Step, ...]
    steps: tuple[Pass, ...]

    @property
    def pipeline(self) -> Pipeline:
        """The steps as a pipeline."""
        return Pipeline(*self.steps)


def load(path: Path) -> Recipe:
    """Return the recipe in the file, its paths made to count from here.

    Raises:
        RecipeError: unreadable, no TOML, or not a recipe; the message names the file.
    """
    try:
        recipe = load_text(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read recipe {path}: {error.strerror}; give a .toml file") from error
    except (UnicodeDecodeError, RecipeError) as error:
        raise RecipeError(f"{path}: {error}") from error
    folder = path.parent
    return dataclasses.replace(
        recipe, model=str(folder / recipe.model), data=str(folder / recipe.data) if recipe.data else ""
    )


def load_text(text: str) -> Recipe:
    """Return the recipe that the TOML text spells.

    Raises:
        RecipeError: no TOML, a missing or unknown key (naming the nearest), or a value of the wrong type.
    """
    try:
        plain = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"not TOML: {error}") from error
    _refuse_unknown(plain, _KEYS, "the recipe")
    passes = _tables(plain, "pass")
    return Recipe(
        model=_text(plain, "model"),
        target=_text(plain, "target"),
        data=_text(plain, "data", default=""),
        preprocessing=tuple(_step(table) for table in _tables(plain, "preprocess")),
        steps=tuple(_pass(table) for table in passes),
    )


def dump(recipe: Recipe) -> str:
    """Return the recipe as TOML; fields that have their default are left out."""
    lines = [f"model = {_toml(recipe.model)}", f"target = {_toml(recipe.target)}"]
    lines += [f"data = {_toml(recipe.data)}"] if recipe.data else []
    for step in recipe.preprocessing:
        lines += ["", "[[preprocess]]", *_changed_fields(step)]
    for one in recipe.steps:
        lines += ["", "[[pass]]", f"use = {_toml(one.name)}", *_changed_fields(one)]
    return "\n".join(lines) + "\n"


def parse_step(text: str) -> Step:
    """Return the step of ``image:scale=0.0625``, ``image:scale=0.1,0.2,0.3:offset=0,0,0`` or ``image:channel_last``.

    Raises:
        RecipeError: it is none of those.

    >>> parse_step("image:scale=0.5:offset=-1").offset
    (-1.0,)
    """
    tensor, *words = text.split(":")
    if not tensor or not words:
        raise RecipeError(f"preprocessing {text!r} is no step; {_STEP_FORM}")
    if words == ["channel_last"]:
        return Step(kind=StepKind.CHANNEL_LAST, tensor=tensor)
    told = {key: value for key, _, value in (word.partition("=") for word in words)}
    if not told or set(told) - {"scale", "offset"}:
        raise RecipeError(f"preprocessing {text!r} is no step; {_STEP_FORM}")
    return Step(
        kind=StepKind.SCALE,
        tensor=tensor,
        factor=_numbers(told.get("scale", "1"), text),
        offset=_numbers(told.get("offset", "0"), text),
    )


def pass_named(name: str) -> type[Pass]:
    """Return the pass of the catalog with that name.

    Raises:
        RecipeError: there is none; names the nearest.
    """
    for kind in CATALOG:
        if kind.name == name:
            return kind
    raise RecipeError(f"there is no pass {name!r}{_nearest(name, [kind.name for kind in CATALOG])}")


def _pass(table: Mapping[str, Any]) -> Pass:
    kind = pass_named(_text(table, "use"))
    fields = [item.name for item in dataclasses.fields(kind)]
    _refuse_unknown(table, ("use", *fields), f"pass {kind.name}")
    hints = typing.get_type_hints(kind)
    arguments = {key: _value(kind.name, key, hints[key], value) for key, value in table.items() if key != "use"}
    try:
        return kind(**arguments)
    except TypeError as error:
        raise RecipeError(f"pass {kind.name}: {error}") from error


def _value(where: str, key: str, hint: Any, value: object) -> object:
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if value not in [member.value for member in hint]:
            raise RecipeError(f"pass {where}: {key} = {value!r}; give one of {', '.join(hint)}")
        return hint(str(value))
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        name = getattr(hint, "__name__", str(hint))
        raise RecipeError(f"pass {where}: {key} = {value!r} is {type(value).__name__}; {name} is wanted")
    return value


def _step(table: Mapping[str, Any]) -> Step:
    _refuse_unknown(table, [item.name for item in dataclasses.fields(Step)], "preprocess")
    try:
        return from_plain(Step, table)
    except DecodeError as error:
        raise RecipeError(f"preprocess: {error}") from error


def _tables(plain: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    tables = plain.get(key, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RecipeError(f"{key} must be tables, each headed [[{key}]]")
    return tables


def _text(plain: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = plain.get(key, default)
    if value is None:
        raise RecipeError(f'{key} is missing; write {key} = "..."')
    if not isinstance(value, str):
        raise RecipeError(f"{key} = {value!r} must be text in quotes")
    return value


def _refuse_unknown(plain: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    names = list(known)
    for key in plain:
        if key not in names:
            raise RecipeError(f"{where} has no key {key!r}{_nearest(key, names)}")


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; there is {', '.join(known)}"


def _changed_fields(value: Pass | Step) -> list[str]:
    return [
        f"{item.name} = {_toml(getattr(value, item.name))}"
        for item in dataclasses.fields(value)
        if getattr(value, item.name) != item.default
    ]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return repr(value)


def _numbers(words: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words.split(","))
    except ValueError as error:
        raise RecipeError(f"preprocessing {text!r}: {words!r} is not numbers; {_STEP_FORM}") from error
