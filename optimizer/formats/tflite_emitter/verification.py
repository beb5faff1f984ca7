"""Running the written file beside the original: a converter's success message proves nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from optimizer.errors import LibraryMissing, MeasureFailed, PassFailed
from optimizer.formats.onnx_format import OnnxSession
from optimizer.formats.quiet import quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from optimizer.formats.tflite_emitter.emission import Emitted

    Rows = Mapping[str, NDArray[np.generic]]

TOLERANCE_RATIO = 1e-5
"""Largest difference of an output, as a share of the largest absolute value that ONNX Runtime gives."""
_IDS: Final = (8, 2, 1)
"""Integers are drawn below these, one after the other until ONNX Runtime takes them: they may name rows of a table."""
_MASK: Final = 2
"""Masks are drawn below it: they are zeros and ones, and make attention huge where they are not."""
_OTHER_BATCH: Final = 3


def open_original(content: bytes) -> OnnxSession:
    """Return the original as it is run beside what is made of it.

    Raises:
        PassFailed: ONNX Runtime refuses the graph; its own words say why.
    """
    try:
        return OnnxSession(content, name="the original", threads=1)
    except MeasureFailed as error:
        raise PassFailed(f"export-tflite: {error}; export the model again") from error


def check_equal(
    original: bytes | OnnxSession, emitted: Emitted, *, rows: int = 4, seed: int = 0, real: Sequence[Rows] = ()
) -> float:
    """Return the largest difference over random inputs and the real ones, as a share of the output's largest value.

    The first input is given twice, and the others follow it: a file that keeps a state between calls must answer as if
    it kept none. Where the batch is free, one of another size is tried too.

    Args:
        original: the original's bytes, or what ``open_original`` made of them.
        emitted: what was made of it.
        rows: how many random rows are tried.
        seed: what they are drawn from.
        real: inputs of the original, each with a batch as the model takes it.

    Raises:
        PassFailed: the file can't be loaded or run, or differs by more than ``TOLERANCE_RATIO``.
        MeasureFailed: ONNX Runtime refuses the original, or all that is drawn for it.
    """
    random = np.random.default_rng(seed)
    original = open_original(original) if isinstance(original, bytes) else original
    written = _TfliteRun(emitted)
    worst = 0.0
    batches = [1] * rows + ([_OTHER_BATCH] if rows and written.has_free_batch else [])
    drawn = _drawn(original, written, batches, random, masks=emitted.masks)
    for place, (inputs, expected) in enumerate(itertools.chain(_answered(original, real), drawn)):
        for _ in range(1 if place else 2):
            actual = written.run(inputs)
            worst = max([worst, *(_difference(expected[name], actual[name]) for name in expected)])
    if not worst <= TOLERANCE_RATIO:
        raise PassFailed(
            f"export-tflite: the written file differs from the original by {worst:.1e} of its largest output "
            f"(at most {TOLERANCE_RATIO:.0e} is accepted): a bug in the emitter; keep the ONNX candidate and report it"
        )
    return worst


def _answered(original: OnnxSession, given: Sequence[Rows]) -> Iterator[tuple[Rows, Rows]]:
    for inputs in given:
        yield inputs, original.run(inputs)


def _drawn(
    original: OnnxSession,
    written: _TfliteRun,
    batches: Sequence[int],
    random: np.random.Generator,
    *,
    masks: frozenset[str],
) -> Iterator[tuple[Rows, Rows]]:
    """Yield random inputs of these batches with the original's answers; smaller integers where it takes no larger.

    A batch other than 1 that the original does not take, though it leaves its batch free, is left out.
    """
    limits = list(_IDS)
    for batch in batches:
        expected = None
        while expected is None:
            inputs = {
                name: _numbers(random, shape, kind, min(limits[0], _MASK) if name in masks else limits[0])
                for name, shape, kind in written.wanted(batch)
            }
            try:
                expected = original.run(inputs)
            except MeasureFailed:
                if len(limits) > 1 and any(values.dtype.kind in "iu" for values in inputs.values()):
                    limits.pop(0)
                elif batch == 1:
                    raise
                else:
                    break
        if expected is not None:
            yield inputs, expected


def _numbers(random: np.random.Generator, shape: Sequence[int], kind: np.dtype[Any], limit: int) -> NDArray[np.generic]:
    """Return normal floats, either truth, or integers from 0 up to below the limit."""
    if kind.kind == "f":
        return random.standard_normal(shape, dtype=np.float32)
    if kind.kind == "b":
        return random.random(shape) < 0.5
    return random.integers(0, limit, shape).astype(kind)


def _difference(expected: NDArray[np.generic], actual: NDArray[np.generic]) -> float:
    """Return the largest difference over the largest expected value; infinite where shapes or what is finite differ."""
    if expected.shape != actual.shape:
        return float("inf")
    exact, found = expected.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(exact)
    if not np.array_equal(exact[~finite], found[~finite], equal_nan=True) or not np.isfinite(found[finite]).all():
        return float("inf")
    exact, found = exact[finite], found[finite]
    return float(np.abs(exact - found).max(initial=0.0) / max(float(np.abs(exact).max(initial=0.0)), 1e-30))


class _TfliteRun:
    """The written file on LiteRT, one thread."""

    def __init__(self, emitted: Emitted) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise LibraryMissing("ai-edge-litert", "export-tflite") from error
        self._turned = emitted.channel_last
        try:
            with quiet():
                interpreter = Interpreter(model_content=emitted.content, num_threads=1)
                interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise PassFailed(f"export-tflite: the written file can't be loaded: {error}") from error
        self._interpreter = interpreter
        self._inputs = {item["name"]: item for item in interpreter.get_input_details()}
        self._outputs = {item["name"]: item["index"] for item in interpreter.get_output_details()}
        self._shapes = {name: tuple(item["shape"]) for name, item in self._inputs.items()}

    @property
    def has_free_batch(self) -> bool:
        """Whether the file takes any batch."""
        return any(-1 in item["shape_signature"] for item in self._inputs.values())

    def wanted(self, batch: int) -> Iterator[tuple[str, tuple[int, ...], np.dtype[Any]]]:
        """Yield name, shape for that batch and type of each input, as the original takes them."""
        for name, item in self._inputs.items():
            shape = [batch if size == -1 else int(size) for size in item["shape_signature"]]
            if name in self._turned:
                shape.insert(1, shape.pop())
            yield name, tuple(shape), np.dtype(item["dtype"])

    def run(self, inputs: Rows) -> dict[str, NDArray[np.generic]]:
        """Return the outputs for inputs of the original."""
        try:
            with quiet():
                self._set(inputs)
                self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise PassFailed(f"export-tflite: the written file can't be run: {error}") from error
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}

    def _set(self, inputs: Rows) -> None:
        moved = {
            name: np.ascontiguousarray(np.moveaxis(values, 1, -1)) if name in self._turned else values
            for name, values in inputs.items()
        }
        resized = {name: values for name, values in moved.items() if values.shape != self._shapes[name]}
        for name, values in resized.items():
            self._interpreter.resize_tensor_input(self._inputs[name]["index"], values.shape)
            self._shapes[name] = values.shape
        if resized:
            self._interpreter.allocate_tensors()
        self._interpreter.reset_all_variables()
        for name, values in moved.items():
            self._interpreter.set_tensor(self._inputs[name]["index"], values)
