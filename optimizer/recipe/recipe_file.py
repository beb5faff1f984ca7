"""A recipe: a pipeline with its model, data and target, spelt in TOML.

    model = "weld.pt2"
    target = "raspberry-pi-4"
    data = "line-3.npz"

    [options]
    label = "grade"

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
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimizer.errors import RecipeError
from optimizer.pass_ import Pass
from optimizer.pipeline import Pipeline
from optimizer.recipe.subject import KEYS, Subject
from optimizer.recipe.toml import refuse_unknown, tables
from optimizer.recipe.words import passes_in_toml, read_pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a recipe file says: what it is about, and the passes."""

    subject: Subject
    steps: tuple[Pass, ...]

    @property
    def pipeline(self) -> Pipeline:
        """The steps as a pipeline."""
        return Pipeline(*self.steps)

    @property
    def functions(self) -> tuple[str, ...]:
        """The code that it runs: every ``module:function`` and ``file.py:function`` of its subject and its passes."""
        return (*self.subject.functions, *(one for step in self.steps for one in step.functions))


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
    return dataclasses.replace(recipe, subject=recipe.subject.beside(path.parent))


def load_text(words: str) -> Recipe:
    """Return the recipe that the TOML text spells.

    Raises:
        RecipeError: no TOML, a missing or unknown key (naming the nearest), or a value of the wrong type.
    """
    return read_recipe(parse(words))


def parse(words: str) -> dict[str, Any]:
    """Return the TOML text as plain values.

    Raises:
        RecipeError: it is no TOML.
    """
    try:
        return tomllib.loads(words)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"not TOML: {error}") from error


def read_recipe(plain: Mapping[str, Any]) -> Recipe:
    """Return the recipe that plain values spell.

    Raises:
        RecipeError: a missing or unknown key (naming the nearest), or a value of the wrong type.
    """
    refuse_unknown(plain, (*KEYS, "pass"), "the recipe")
    return Recipe(subject=Subject.read(plain), steps=read_steps(plain))


def read_steps(plain: Mapping[str, Any]) -> tuple[Pass, ...]:
    """Return the passes that the ``[[pass]]`` tables spell.

    Raises:
        RecipeError: an unknown pass or key, or a value of the wrong type.
    """
    return tuple(read_pass(one) for one in tables(plain, "pass"))


def dump(recipe: Recipe, *, whole: bool = False) -> str:
    """Return the recipe as TOML.

    Args:
        recipe: what to spell.
        whole: also spell what has its default, so that the text means the same where defaults are others.
    """
    passes = [passes_in_toml(recipe.steps, whole=whole), ""] if recipe.steps else []
    return "\n".join([*recipe.subject.lines(whole=whole), "", *passes])
