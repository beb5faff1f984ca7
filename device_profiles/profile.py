"""What a device can do, as far as somebody published or measured it.

Units are in the names. ``None`` means nobody published it: a missing fact is never guessed. Each
profile lists its sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from contracts.ids import ProfileName
from contracts.manifest import ModelFormat

_WITHOUT_LITERT: Final = ("armv6", "armv7l", "armv7-a", "armhf")
"""Beginnings of architectures of Linux devices that LiteRT is not built for."""


class DeviceClass(StrEnum):
    """What kind of machine it is: it decides which runtimes make sense."""

    LINUX = "linux"
    MICROCONTROLLER = "microcontroller"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where facts of the profile come from: which fields, and the document."""

    fields: tuple[str, ...]
    document: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProfile:
    """One kind of device.

    ``memory_bytes`` is RAM for everything; ``model_memory_bytes`` what a model may take of it by
    default; ``formats`` the model formats its runtimes read, preferred first; ``full_int8`` says
    that only fully quantized models run there (no float unit or an int8-only accelerator);
    ``computes_fp16`` whether half precision is computed rather than emulated.
    """

    name: ProfileName
    title: str
    device_class: DeviceClass
    architecture: str
    cpu: str
    cores: int
    clock_hz: int
    memory_bytes: int
    model_memory_bytes: int
    storage_bytes: int | None = None
    formats: tuple[ModelFormat, ...]
    full_int8: bool
    computes_fp16: bool
    sources: tuple[Source, ...]

    @property
    def runs_tflite_runtime(self) -> bool:
        """Whether TFLite files run on the older tflite-runtime there: LiteRT is not built for 32-bit Arm."""
        linux = self.device_class is DeviceClass.LINUX and ModelFormat.TFLITE in self.formats
        return linux and self.architecture.startswith(_WITHOUT_LITERT)
