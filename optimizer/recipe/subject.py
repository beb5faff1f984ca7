"""What a recipe, a search or a lock is about: where model, data and device are, in words."""

from __future__ import annotations

import dataclasses
import os.path
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from contracts.preprocessing import Step
from device_profiles import load_profile
from device_profiles.profile import DeviceProfile
from optimizer.data.dataset import Dataset
from optimizer.data.splits import DataOptions
from optimizer.errors import RecipeError
from optimizer.model import Model
from optimizer.recipe.toml import table, tables, text, texts, value_in_toml
from optimizer.recipe.words import fields_in_toml, read_fields, read_step
from optimizer.user_function import is_function

KEYS: Final = ("model", "builder", "shapes", "target", "data", "options", "metric", "preprocess")
"""The keys of a recipe that say what it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Where everything is, as the user spelt it.

    Attributes:
        model: a file, or ``module:function``.
        builder: for a file of weights, the function that makes the network.
        shapes: ``NAME=1,3,32,32[:TYPE]`` of inputs whose shapes the model does not tell.
        target: a profile's name, or ``host`` for this machine.
        data: a file, a folder, or ``module:function``; empty where none are needed.
        options: how to read the data.
        metric: what "as good as the original" means; empty: what the data can carry.
        preprocessing: steps from what clients send to what the model takes.
    """

    model: str
    target: str
    data: str = ""
    builder: str = ""
    shapes: tuple[str, ...] = ()
    options: DataOptions = field(default_factory=DataOptions)
    metric: str = ""
    preprocessing: tuple[Step, ...] = ()

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Subject:
        """Return the subject that the keys of a recipe spell.

        Raises:
            RecipeError: a key is missing, unknown, or holds a value of the wrong type.
        """
        return cls(
            model=text(plain, "model"),
            builder=text(plain, "builder", default=""),
            shapes=texts(plain, "shapes"),
            target=text(plain, "target"),
            data=text(plain, "data", default=""),
            options=read_fields(DataOptions, table(plain, "options"), where="options"),
            metric=text(plain, "metric", default=""),
            preprocessing=tuple(read_step(one) for one in tables(plain, "preprocess")),
        )

    def lines(self, *, whole: bool = False) -> list[str]:
        """Return the subject as lines of TOML; options that have their default are left out, unless all are wanted."""
        told = {"model": self.model, "builder": self.builder, "shapes": self.shapes, "target": self.target}
        told |= {"data": self.data, "metric": self.metric}
        lines = [f"{key} = {value_in_toml(value)}" for key, value in told.items() if value]
        options = fields_in_toml(self.options, whole=whole)
        lines += ["", "[options]", *options] if options else []
        for step in self.preprocessing:
            lines += ["", "[[preprocess]]", *fields_in_toml(step)]
        return lines

    def beside(self, folder: Path) -> Subject:
        """Return the subject with its paths made to count from here, where they count from the folder."""
        real = os.path.realpath(folder)  # the way up from a link's target is not the way up from the link
        if folder.is_absolute():
            return self._with_paths(lambda path: os.path.normpath(Path(real) / path))
        return self._with_paths(lambda path: os.path.relpath(Path(real) / path))

    @property
    def functions(self) -> tuple[str, ...]:
        """The code that opening model and data runs: every ``module:function`` and ``file.py:function`` in it."""
        named = (self.model, self.builder, self.data, self.options.transform, self.metric)
        return tuple(one for one in named if is_function(one))

    def seen_from(self, folder: Path) -> Subject:
        """Return the subject with its paths made to count from the folder, where they count from here."""
        real = os.path.realpath(folder)
        return self._with_paths(lambda path: os.path.relpath(path, real))

    def _with_paths(self, made: Callable[[str], str]) -> Subject:
        """Return the subject with each path that is not absolute as it is made."""

        def one(where: str) -> str:
            module = is_function(where) and not where.partition(":")[0].endswith(".py")
            return where if not where or module or Path(where).is_absolute() else made(where)

        return dataclasses.replace(
            self,
            model=one(self.model),
            builder=one(self.builder),
            data=one(self.data),
            options=dataclasses.replace(self.options, transform=one(self.options.transform)),
            metric=one(self.metric) if is_function(self.metric) else self.metric,
        )

    def open_model(self, told: Callable[[str], None] | None = None) -> Model:
        """Return the model.

        Raises:
            ModelError: there is no such model, or it is refused.
        """
        from optimizer.source import open_model, parse_input

        inputs = tuple(parse_input(shape) for shape in self.shapes)
        return open_model(self.model, builder=self.builder, inputs=inputs, told=told)

    def open_dataset(self, model: Model) -> Dataset:
        """Return the data.

        Raises:
            DatasetError: there are no such data, or they cannot be read.
            RecipeError: no data are named.
        """
        from optimizer.data.source import open_dataset

        if not self.data:
            raise RecipeError('no data to judge by; name them: data = "FILE.npz"')
        return open_dataset(self.data, model.inputs, options=self.options)

    def open_target(self) -> DeviceProfile:
        """Return the device's profile.

        Raises:
            ProfileError: there is no such profile.
        """
        return load_profile(self.target)
