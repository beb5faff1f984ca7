"""Passes that need no framework: they keep, count, break promises or fail, for tests of what surrounds passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from contracts.ids import digest_of
from device_profiles.profile import DeviceProfile
from optimizer.errors import PassFailed
from optimizer.model import Format, Model, ModelSpec
from optimizer.pass_ import Observations, Pass, Wants
from tests.optimizer.builders import an_onnx_mlp


@dataclass(frozen=True, kw_only=True)
class Reseed(Pass):
    """Return another MLP, and note each time that it really worked."""

    name: ClassVar[str] = "reseed"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    worked: ClassVar[list[int]] = []

    seed: int = field(default=1, metadata={"doc": "of the weights"})

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the MLP of the seed."""
        del seen
        Reseed.worked.append(self.seed)
        return an_onnx_mlp(seed=self.seed, name=model.name)


@dataclass(frozen=True, kw_only=True)
class Forge(Reseed):
    """Claim to compute the same, and return another MLP."""

    name: ClassVar[str] = "forge"
    equivalent: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Fail(Pass):
    """Fail at the work, every time."""

    name: ClassVar[str] = "fail"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX
    worked: ClassVar[list[str]] = []

    def apply(self, model: Model, seen: Observations) -> Model:
        """Raise PassFailed."""
        del seen
        Fail.worked.append(model.name)
        raise PassFailed(f"fail: cannot do {model.name}")


@dataclass(frozen=True, kw_only=True)
class Calibrate(Pass):
    """Refuse to work without rows; keep the model."""

    name: ClassVar[str] = "calibrate"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX

    rows: int = field(default=8, metadata={"doc": "rows wanted"})

    def observes(self, spec: ModelSpec) -> Wants:
        """Ask for the rows."""
        del spec
        return Wants(rows=self.rows)

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the MLP whose seed is the number of rows seen."""
        return an_onnx_mlp(seed=seen.count, name=model.name)


@dataclass(frozen=True, kw_only=True)
class Look(Pass):
    """Refuse to work without statistics of the model's tensors; keep the model."""

    name: ClassVar[str] = "look"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX

    rows: int = field(default=8, metadata={"doc": "rows to look at"})
    knob: int = field(default=1, metadata={"doc": "what changes nothing but the key"})

    def observes(self, spec: ModelSpec) -> Wants:
        """Ask for the statistics alone."""
        del spec
        return Wants(statistics_rows=self.rows)

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the MLP whose seed is the number of rows looked at."""
        if seen.statistics is None or seen.rows or "hidden" not in seen.statistics.tensors:
            raise PassFailed("look: expected statistics, and no rows")
        return an_onnx_mlp(seed=seen.statistics.rows, name=model.name)


@dataclass(frozen=True, kw_only=True)
class Object(Pass):
    """Object twice to every model."""

    name: ClassVar[str] = "object"
    accepts: ClassVar[Format] = Format.TFLITE
    produces: ClassVar[Format] = Format.TFLITE
    needs: ClassVar[tuple[str, ...]] = ("no_such_library",)

    def objections(self, spec: ModelSpec, target: DeviceProfile) -> Iterable[str]:
        """Yield two objections."""
        yield f"{spec.name} is odd"
        yield f"{target.name} is odd"

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return the model."""
        del seen
        return model


@dataclass(frozen=True, kw_only=True)
class Lie(Pass):
    """Break a promise: another number of classes, another format, or bytes that are not the digest's."""

    name: ClassVar[str] = "lie"
    accepts: ClassVar[Format] = Format.ONNX
    produces: ClassVar[Format] = Format.ONNX

    about: str = field(default="tensors", metadata={"doc": "which promise"})

    def apply(self, model: Model, seen: Observations) -> Model:
        """Return what the contract excludes."""
        del seen
        wrong = {
            "tensors": an_onnx_mlp(outputs=5),
            "format": dataclasses.replace(model, spec=dataclasses.replace(model.spec, format=Format.TFLITE)),
            "digest": dataclasses.replace(model, digest=digest_of(b"other")),
        }
        return wrong[self.about]
