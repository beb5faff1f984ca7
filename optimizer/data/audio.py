"""A folder of WAV files as rows of one input: mono, -1 to 1 as float32, at one sample rate, of the model's length.

PCM of 8, 16, 24 and 32 bits and floats of 32 and 64 are read. Channels are averaged. A clip longer than the model's
input is cropped at its end, a shorter one is filled with silence there. A model of features takes a ``transform``.
"""

from __future__ import annotations

import importlib.util
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from contracts.tensors import TensorSpec
from optimizer.data.folder import DecodedFiles, Listing, Unreadable, unreadable_files
from optimizer.data.rows import RowForm
from optimizer.data.splits import Body
from optimizer.errors import DatasetError, LibraryMissing
from optimizer.user_function import call_user

AUDIO_SUFFIXES: Final = frozenset({".wav", ".wave"})
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_KINDS: Final = {(_PCM, 8), (_PCM, 16), (_PCM, 24), (_PCM, 32), (_FLOAT, 32), (_FLOAT, 64)}
_RATES: Final = range(1_000, 768_001)
_MOST_BYTES: Final = 256 * 1024 * 1024
"""Of one clip's samples, where all of them are wanted."""
_LEAST_S: Final = 0.02
"""No clip is shorter: an input that would be takes features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sound:
    """What a WAV file says of its samples, and where in the file they are."""

    kind: tuple[int, int]
    channels: int
    rate: int
    offset: int
    size_bytes: int

    @property
    def frame_bytes(self) -> int:
        return self.channels * self.kind[1] // 8


def audio_body(
    listing: Listing, spec: TensorSpec, *, sample_rate: int, transform: Callable[..., object] | None, how: str
) -> Body:
    """Return one row for each clip of the listing.

    Args:
        listing: the folder's files, all of them with a WAV file's suffix.
        spec: the model's input.
        sample_rate: that each clip is brought to, in samples a second; 0: that of the files, which must agree.
        transform: makes a row of one clip, float32 (samples,); None: the clip is the row.
        how: names the transform.

    Raises:
        DatasetError: a file is no WAV file, rates differ, or the input takes no clip.
        LibraryMissing: clips must be resampled and scipy is not installed.
    """
    rates = _rates(listing)
    rate = sample_rate or next(iter(rates))
    if not sample_rate and len(rates) > 1:
        (one, first), (other, second) = list(rates.items())[:2]
        raise DatasetError(f"has clips of {one} Hz ({first}) and of {other} Hz ({second}); give one sample_rate")
    if set(rates) != {rate}:
        _check_scipy()
    length = _length(spec, rate) if transform is None else 0

    def decode(path: Path) -> NDArray[np.generic]:
        clip = _clip(path, rate, length)
        if transform is not None:
            return np.asarray(call_user(transform, clip, error=DatasetError), dtype=np.float32)
        row = np.zeros(length, dtype=np.float32)
        row[: min(length, len(clip))] = clip[:length]
        return row.reshape(spec.shape[1:])

    kept = RowForm(dtype=np.dtype(np.float32), shape=spec.shape[1:])
    told = f"sound|{rate}|{how}"
    return listing.body(DecodedFiles(listing, tensor=spec.name, kept=kept, decode=decode, how=told).rows())


def _length(spec: TensorSpec, rate: int) -> int:
    """Return how many samples the input takes."""
    length = spec.elements_per_row
    if max(spec.shape[1:], default=1) != length or length < _LEAST_S * rate:
        shown = ", ".join(map(str, ("n", *spec.shape[1:])))
        raise DatasetError(
            f"holds sound, but the model takes {spec.name!r} ({shown}), which is no clip at {rate} Hz; "
            "name the function that makes a row of a clip with transform"
        )
    return length


def _rates(listing: Listing) -> dict[int, str]:
    """Return each sample rate with the first file that has it.

    Raises:
        DatasetError: files are no WAV files.
    """
    rates: dict[int, str] = {}
    unreadable = []
    for name in listing.files:
        try:
            with (listing.root / name).open("rb") as file:
                rates.setdefault(_sound(file).rate, name)
        except OSError as error:
            unreadable.append((name, error.strerror or str(error)))
        except Unreadable as error:
            unreadable.append((name, str(error)))
    if unreadable:
        raise DatasetError(unreadable_files(listing.files, unreadable))
    return rates


def _clip(path: Path, rate: int, length: int) -> NDArray[np.float32]:
    """Return the clip at the rate; the first ``length`` samples of it at least, all where that is 0.

    Raises:
        Unreadable: it is no WAV file, is cut short, or is too long.
    """
    with path.open("rb") as file:
        sound = _sound(file)
        wanted = sound.size_bytes
        if length:
            frames = math.ceil(length * sound.rate / rate) + sound.rate  # a second more, for the filter's edge
            wanted = min(wanted, frames * sound.frame_bytes)
        if wanted > _MOST_BYTES:
            raise Unreadable(f"holds {wanted} bytes of samples, over the limit of {_MOST_BYTES}")
        file.seek(sound.offset)
        data = file.read(wanted)
    samples = _samples(data, sound.kind).reshape(-1, sound.channels).mean(axis=1, dtype=np.float32)
    return samples if sound.rate == rate else _resampled(samples, sound.rate, rate)


def _sound(file: IO[bytes]) -> _Sound:
    """Return what the file says of its samples.

    Raises:
        Unreadable: it is no WAV file of a kind that is read, or is cut short.
    """
    size = file.seek(0, 2)
    file.seek(0)
    riff, _, wave = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
    if (riff, wave) != (b"RIFF", b"WAVE"):
        raise Unreadable("is no WAV file")
    form = None
    for name, offset, length in _chunks(file, size):
        if name == b"fmt ":
            file.seek(offset)
            form = _form(file.read(min(length, 40)))
        elif name == b"data":
            if form is None:
                raise Unreadable("has samples before it says what they are")
            kind, channels, rate = form
            sound = _Sound(kind=kind, channels=channels, rate=rate, offset=offset, size_bytes=length)
            if offset + length > size or length % sound.frame_bytes:
                raise Unreadable(f"is cut short: {length} bytes of samples are said to be there, {size - offset} are")
            if not length:
                raise Unreadable("holds no samples")
            return sound
    raise Unreadable("is cut short: it holds no samples")


def _chunks(file: IO[bytes], size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, offset and length of each chunk."""
    offset = 12
    while offset + 8 <= size:
        file.seek(offset)
        name, length = struct.unpack("<4sI", file.read(8))
        yield name, offset + 8, length
        offset += 8 + length + length % 2


def _form(data: bytes) -> tuple[tuple[int, int], int, int]:
    """Return kind of sample, number of channels and rate."""
    if len(data) < 16:
        raise Unreadable("is cut short: it does not say what its samples are")
    code, channels, rate, _, _, bits = struct.unpack("<HHIIHH", data[:16])
    if code == _EXTENSIBLE and len(data) >= 26:
        (code,) = struct.unpack("<H", data[24:26])
    if (code, bits) not in _KINDS:
        raise Unreadable(f"has samples of {bits} bits, format {code}; PCM of 8 to 32 bits and float are read")
    if not channels or rate not in _RATES:
        raise Unreadable(f"claims {channels} channels at {rate} Hz")
    return (code, bits), channels, rate


def _samples(data: bytes, kind: tuple[int, int]) -> NDArray[np.float32]:
    """Return the samples, -1 to 1, channels in turn."""
    code, bits = kind
    if code == _FLOAT:
        return np.frombuffer(data, dtype=f"<f{bits // 8}").astype(np.float32)
    if bits == 8:
        return (np.frombuffer(data, dtype=np.uint8).astype(np.float32) - 128) / np.float32(128)
    if bits == 24:
        wide = np.zeros((len(data) // 3, 4), dtype=np.uint8)
        wide[:, 1:] = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3)
        return wide.view("<i4").reshape(-1).astype(np.float32) / np.float32(2**31)
    return np.frombuffer(data, dtype=f"<i{bits // 8}").astype(np.float32) / np.float32(2 ** (bits - 1))


def _resampled(samples: NDArray[np.float32], rate: int, wanted: int) -> NDArray[np.float32]:
    from scipy.signal import resample_poly

    shared = math.gcd(rate, wanted)
    return np.asarray(resample_poly(samples, wanted // shared, rate // shared), dtype=np.float32)


def _check_scipy() -> None:
    if importlib.util.find_spec("scipy") is None:
        raise LibraryMissing("scipy", "resampling sound")
