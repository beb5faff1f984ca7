"""What a measuring command reads and answers: one request, one answer, each a frame of CBOR.

A frame is the mark, the length of what follows (8 bytes, big-endian) and that many bytes. The mark carries the
version of the exchange; whatever stands before it (the banner of a login) is passed over. The file of a model travels
in the request, what is known of its tensors too: the far side needs no library to read either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from contracts.codec import decode, encode
from contracts.errors import DecodeError
from contracts.ids import Digest, digest_of
from contracts.preprocessing import Step
from contracts.tensors import TensorSpec
from optimizer.benchmark.runner import Measurable
from optimizer.benchmark.timing import Effort
from optimizer.errors import MeasureFailed
from optimizer.model import Format, Model, ModelSpec

VERSION: Final = 1
REQUEST_LIMIT_BYTES: Final = 2 * 1024**3
ANSWER_LIMIT_BYTES: Final = 64 * 1024**2
_MARK: Final = b"\nedgeship-measure/"
_VERSION_DIGITS: Final = 4
_LENGTH_BYTES: Final = 8
_HEAD_BYTES: Final = len(_MARK) + _VERSION_DIGITS + 1 + _LENGTH_BYTES

Message = TypeVar("Message")


class Task(StrEnum):
    """What is asked of the far side."""

    DESCRIBE = "describe"
    """Which machine it is."""
    TIME = "time"
    MEMORY = "memory"
    """Of the first model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentArray:
    """Rows of one served input: numpy's word for the element type (``<f4``), shape, and the elements in C order."""

    dtype: str
    shape: tuple[int, ...]
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SentModel:
    """A measurable with its file and everything that is known of its tensors."""

    label: str
    name: str
    format: Format
    digest: Digest
    content: bytes
    own_inputs: tuple[TensorSpec, ...]
    own_outputs: tuple[TensorSpec, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to measure, and how."""

    task: Task
    models: tuple[SentModel, ...] = ()
    rows: Mapping[str, SentArray]
    effort: Effort
    threads: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SentTiming:
    """Wall times of one model, in the request's order."""

    samples_ms: tuple[float, ...]
    warmup: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the far side says: the machine always; figures, or the problem in one line."""

    machine: str
    architecture: str
    runtimes: str
    timings: tuple[SentTiming, ...] = ()
    memory_bytes: int = 0
    problem: str = ""


def frame(message: object) -> bytes:
    """Return the message with its mark and length before it."""
    body = encode(message)
    return b"%s%0*d\n" % (_MARK, _VERSION_DIGITS, VERSION) + len(body).to_bytes(_LENGTH_BYTES, "big") + body


def unframe(kind: type[Message], data: bytes, *, limit_bytes: int) -> Message:
    """Return the message in the bytes, whatever stands before its mark.

    Raises:
        MeasureFailed: there is no frame, it is cut short or over the limit, of another version, or not such a message.
    """
    start = data.find(_MARK)
    if start < 0 or len(data) - start < _HEAD_BYTES:
        said = data.decode(errors="replace").strip().splitlines()
        raise MeasureFailed(f"no {kind.__name__.lower()} in {_shown(said[0]) if said else 'nothing at all'}")
    head, rest = data[start + len(_MARK) : start + _HEAD_BYTES], data[start + _HEAD_BYTES :]
    version = head[:_VERSION_DIGITS].decode(errors="replace")
    if version != f"{VERSION:0{_VERSION_DIGITS}d}":
        raise MeasureFailed(
            f"it speaks version {version} of measuring, this side {VERSION}: install the same edgeship on both"
        )
    length = int.from_bytes(head[-_LENGTH_BYTES:], "big")
    if length > limit_bytes:
        raise MeasureFailed(f"{kind.__name__} of {length} bytes is over the limit of {limit_bytes}; send fewer models")
    if len(rest) < length:
        raise MeasureFailed(
            f"{kind.__name__} cut short: {len(rest)} of {length} bytes; the connection broke: try again"
        )
    try:
        return decode(kind, rest[:length], limit_bytes=limit_bytes)
    except DecodeError as error:
        raise MeasureFailed(f"not understood ({error}); install the same edgeship on both sides") from error


def sent_model(one: Measurable) -> SentModel:
    """Return the measurable as it travels."""
    return SentModel(
        label=one.label,
        name=one.model.name,
        format=one.model.format,
        digest=one.model.digest,
        content=one.model.content,
        own_inputs=one.model.inputs,
        own_outputs=one.model.outputs,
        inputs=one.inputs,
        outputs=one.outputs,
        steps=one.steps,
    )


def measurable(sent: SentModel) -> Measurable:
    """Return the measurable that was sent; its file is not read.

    Raises:
        MeasureFailed: the bytes are not those of the digest.
    """
    if digest_of(sent.content) != sent.digest:
        raise MeasureFailed(f"{sent.label}: its bytes were changed on the way; try again")
    spec = ModelSpec(format=sent.format, name=sent.name, inputs=sent.own_inputs, outputs=sent.own_outputs)
    return Measurable(
        label=sent.label,
        model=Model(spec=spec, content=sent.content, digest=sent.digest),
        inputs=sent.inputs,
        outputs=sent.outputs,
        steps=sent.steps,
    )


def sent_rows(rows: Mapping[str, NDArray[np.generic]], measurables: Sequence[Measurable]) -> dict[str, SentArray]:
    """Return those of the rows that the models are served, as they travel."""
    wanted = {spec.name for one in measurables for spec in one.inputs}
    return {
        name: SentArray(
            dtype=values.dtype.newbyteorder("<").str if values.dtype.itemsize > 1 else values.dtype.str,
            shape=values.shape,
            content=np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes(),
        )
        for name, values in rows.items()
        if name in wanted
    }


def received_rows(sent: Mapping[str, SentArray]) -> dict[str, NDArray[np.generic]]:
    """Return the rows that were sent.

    Raises:
        MeasureFailed: an array is not what it says.
    """
    try:
        return {
            name: np.frombuffer(array.content, dtype=_plain_dtype(array.dtype)).reshape(array.shape)
            for name, array in sent.items()
        }
    except (TypeError, ValueError) as error:
        raise MeasureFailed(f"rows not understood ({error}); install the same edgeship on both sides") from error


def _plain_dtype(word: str) -> np.dtype[np.generic]:
    dtype = np.dtype(word)
    if dtype.kind not in "biuf":
        raise TypeError(f"element type {word!r}")
    return dtype


def _shown(line: str) -> str:
    return repr(line[:120])
