"""Small data in every form that is read."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contracts.tensors import ElementType, TensorSpec


def an_input(*shape: int, name: str = "x", element: ElementType = ElementType.FP32) -> TensorSpec:
    """Return the model's input of that row shape."""
    return TensorSpec(name=name, element=element, shape=(-1, *shape))


def pixels(seed: int, height: int = 9, width: int = 7, channels: int = 3) -> NDArray[np.uint8]:
    """Return seeded noise of 0..255."""
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)


def write_images(folder: Path, images: Mapping[str, NDArray[np.uint8]]) -> Path:
    """Write each image under its name; the suffix says in which format."""
    for name, values in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values).save(folder / name)
    return folder


def wav_bytes(
    frames: NDArray[np.generic], *, rate: int = 16_000, code: int = 1, bits: int | None = None, extra: bytes = b""
) -> bytes:
    """Return a WAV file of frames of shape (n,) or (n, channels), whose bytes are written as they are."""
    channels = frames.shape[1] if frames.ndim > 1 else 1
    width = bits or 8 * frames.dtype.itemsize
    data = frames.tobytes()
    form = struct.pack("<HHIIHH", code, channels, rate, rate * channels * width // 8, channels * width // 8, width)
    parts = [(b"fmt ", form), (b"LIST", extra), (b"data", data)]
    chunks = b"".join(name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) for name, body in parts)
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def write_files(folder: Path, contents: Mapping[str, bytes]) -> Path:
    """Write each file under its name."""
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def a_tone(count: int, *, rate: int = 16_000, hertz: float = 440.0) -> NDArray[np.int16]:
    """Return a sine wave of 16-bit samples."""
    return (12_000 * np.sin(2 * np.pi * hertz * np.arange(count) / rate)).astype("<i2")
