"""What users spell in recipes and on the command line: steps before and after the model, and passes with fields."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from contracts.codec import from_plain
from contracts.errors import DecodeError
from contracts.postprocessing import AnswerStep, AnswerStepKind
from contracts.preprocessing import Step, StepKind
from optimizer.errors import RecipeError
from optimizer.pass_ import Pass
from optimizer.passes import CATALOG
from optimizer.recipe.toml import nearest, refuse_unknown, text, value_in_toml

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Made = TypeVar("Made")
_STEP_FORM: Final = "write TENSOR:scale=FACTOR[:offset=OFFSET] (commas between channels) or TENSOR:channel_last"

_ANSWER_FORM: Final = (
    "write TENSOR:softmax, TENSOR:sigmoid, TENSOR:top_class, TENSOR:threshold=VALUE or "
    "TENSOR:scale=FACTOR[:offset=OFFSET] (commas between channels)"
)
_ANSWER_NUMBERS: Final = MappingProxyType(
    {"threshold": {"threshold": "threshold"}, "scale": {"scale": "factor", "offset": "offset"}}
)
"""Which words of a postprocessing step take numbers, by the step's first word, and the field that each is."""


def parse_step(spelt: str) -> Step:
    """Return the step of ``image:scale=0.0625``, ``image:scale=0.1,0.2,0.3:offset=0,0,0`` or ``image:channel_last``.

    Raises:
        RecipeError: it is none of those.

    >>> parse_step("image:scale=0.5:offset=-1").offset
    (-1.0,)
    """
    tensor, *words = spelt.split(":")
    if not tensor or not words:
        raise RecipeError(f"preprocessing {spelt!r} is no step; {_STEP_FORM}")
    if words == ["channel_last"]:
        return Step(kind=StepKind.CHANNEL_LAST, tensor=tensor)
    told = {key: value for key, _, value in (word.partition("=") for word in words)}
    if not told or set(told) - {"scale", "offset"}:
        raise RecipeError(f"preprocessing {spelt!r} is no step; {_STEP_FORM}")
    factor = _numbers(told.get("scale", "1"), spelt, _STEP_FORM)
    offset = _numbers(told.get("offset", "0"), spelt, _STEP_FORM)
    try:
        return Step(kind=StepKind.SCALE, tensor=tensor, factor=factor, offset=offset)
    except ValueError as error:
        raise RecipeError(f"{error}; {_STEP_FORM}") from error


def parse_answer_step(spelt: str) -> AnswerStep:
    """Return the step of ``scores:softmax``, ``scores:threshold=0.5`` or ``scores:scale=0.1:offset=-1``.

    Raises:
        RecipeError: it is none of those.

    >>> parse_answer_step("scores:threshold=0.25,0.75").threshold
    (0.25, 0.75)
    """
    tensor, *words = spelt.split(":")
    told = {key: value for key, _, value in (word.partition("=") for word in words)}
    kind = next(iter(told), "")
    takes = _ANSWER_NUMBERS.get(kind, {})
    if not tensor or kind not in list(AnswerStepKind) or set(told) - {kind, *takes}:
        raise RecipeError(f"postprocessing {spelt!r} is no step; {_ANSWER_FORM}")
    if kind not in takes and told[kind]:
        raise RecipeError(f"postprocessing {spelt!r}: {kind} takes no numbers; {_ANSWER_FORM}")
    numbers = {takes[key]: _numbers(value, spelt, _ANSWER_FORM) for key, value in told.items() if key in takes}
    try:
        return AnswerStep(kind=AnswerStepKind(kind), tensor=tensor, **numbers)
    except ValueError as error:
        raise RecipeError(f"{error}; {_ANSWER_FORM}") from error


def pass_named(name: str) -> type[Pass]:
    """Return the pass of the catalog with that name.

    Raises:
        RecipeError: there is none; names the nearest.
    """
    for kind in CATALOG:
        if kind.name == name:
            return kind
    raise RecipeError(f"there is no pass {name!r}{nearest(name, [kind.name for kind in CATALOG])}")


def read_pass(table: Mapping[str, Any]) -> Pass:
    """Return the pass that a ``[[pass]]`` table spells: one key a field, ``use`` names it.

    Raises:
        RecipeError: an unknown pass or key, or a value of the wrong type.
    """
    kind = pass_named(text(table, "use"))
    given = {key: value for key, value in table.items() if key != "use"}
    return read_fields(kind, given, where=f"pass {kind.name}")


def read_fields(kind: type[Made], plain: Mapping[str, Any], *, where: str) -> Made:
    """Return the dataclass whose fields a table spells, one key a field.

    Raises:
        RecipeError: an unknown key (naming the nearest), or a value of the wrong type.
    """
    hints = typing.get_type_hints(kind)
    refuse_unknown(plain, [item.name for item in dataclasses.fields(cast("Any", kind))], where)
    arguments: dict[str, Any] = {key: _value(where, key, hints[key], value) for key, value in plain.items()}
    try:
        return kind(**arguments)
    except TypeError as error:
        raise RecipeError(f"{where}: {error}") from error


def _value(where: str, key: str, hint: Any, value: object) -> object:
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        if value not in [member.value for member in hint]:
            raise RecipeError(f"{where}: {key} = {value!r}; give one of {', '.join(hint)}")
        return hint(str(value))
    if hint is float and type(value) is int:
        return float(value)
    if hint == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise RecipeError(f'{where}: {key} = {value!r}; a list of names is wanted, as in ["conv1"]')
        return tuple(value)
    if type(value) is not hint:
        name = getattr(hint, "__name__", str(hint))
        raise RecipeError(f"{where}: {key} = {value!r} is {type(value).__name__}; {name} is wanted")
    return value


def read_step(table: Mapping[str, Any]) -> Step:
    """Return the step that a ``[[preprocess]]`` table spells.

    Raises:
        RecipeError: an unknown key, or a value of the wrong type.
    """
    refuse_unknown(table, [item.name for item in dataclasses.fields(Step)], "preprocess")
    try:
        return from_plain(Step, table)
    except DecodeError as error:
        raise RecipeError(f"preprocess: {error}") from error


def passes_in_toml(steps: Iterable[Pass], *, whole: bool = False) -> str:
    """Return a ``[[pass]]`` table for each pass, as TOML spells it; ``read_pass`` reads each again.

    Args:
        steps: the passes.
        whole: also spell the fields that have their default.
    """
    tables = (
        "\n".join(["[[pass]]", f"use = {value_in_toml(one.name)}", *fields_in_toml(one, whole=whole)]) for one in steps
    )
    return "\n\n".join(tables)


def fields_in_toml(value: DataclassInstance, *, whole: bool = False) -> list[str]:
    """Return a line for each field of a dataclass that has not its default, or for all of them."""
    return [
        f"{item.name} = {value_in_toml(getattr(value, item.name))}"
        for item in dataclasses.fields(value)
        if whole or getattr(value, item.name) != item.default
    ]


def _numbers(words: str, spelt: str, form: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words.split(","))
    except ValueError as error:
        raise RecipeError(f"step {spelt!r}: {words!r} is not numbers; {form}") from error
